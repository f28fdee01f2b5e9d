"""When are two jobs the same: the hash under which the database holds a unique key. On the hot path: light."""

TYPE_CHECKING = False  # typing costs 3 ms
if TYPE_CHECKING:
    from typing import Any


def unique_hash(definition: str, key: str) -> bytes:
    """16 bytes of SHA-256 over definition name ('' for ad-hoc jobs) and key: who collides is decided by the database.

    >>> unique_hash("Import", "7") == unique_hash("Import", "7")
    True
    >>> unique_hash("Import", "7") == unique_hash("", "Import7")
    False
    """
    # A length prefix, so that no pair of (name, key) can be read as another pair.
    return bytes(_sha256()(f"{len(definition)}:{definition}{key}".encode()).digest()[:16])


def _sha256() -> "Any":
    # hashlib loads OpenSSL for what these have built in: 3 ms.
    for module in ("_sha2", "_sha256"):
        try:
            return __import__(module).sha256
        except ImportError:
            continue
    from hashlib import sha256

    return sha256
