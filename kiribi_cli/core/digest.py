"""SHA-256 without OpenSSL: hashlib loads it for what Python has built in, 3 ms and 3.5 MB of every worker."""

TYPE_CHECKING = False  # typing costs 3 ms
if TYPE_CHECKING:
    from typing import Any


def sha256(content: bytes) -> bytes:
    """Hash it.

    >>> sha256(b"kiribi").hex()[:8]
    '2d914e7e'
    """
    return bytes(_made()(content).digest())


def _made() -> "Any":
    # What the module is called in Python 3.12 and later, and before.
    for module in ("_sha2", "_sha256"):
        try:
            return __import__(module).sha256
        except ImportError:
            continue
    from hashlib import sha256

    return sha256
