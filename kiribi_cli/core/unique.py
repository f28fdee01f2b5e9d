"""When are two jobs the same: the form in which the database compares unique keys. On the hot path: light."""

TYPE_CHECKING = False  # typing costs 3 ms
if TYPE_CHECKING:
    from typing import Any

# Bytes. What is longer is hashed, which SQL cannot do: the view `enqueue` refuses it.
PLAIN_MAX = 255


def unique_hash(definition: str, key: str) -> bytes:
    """Join definition name ('' for ad-hoc jobs) and key; who collides is decided by the database.

    >>> unique_hash("Import", "7")
    b'6:Import7'
    >>> unique_hash("Import", "7") == unique_hash("", "Import7")
    False
    >>> len(unique_hash("Import", "7" * 1000))
    16
    """
    # A length prefix, so that no pair of (name, key) can be read as another pair.
    form = f"{len(definition)}:{definition}{key}".encode()
    return form if len(form) <= PLAIN_MAX else bytes(_sha256()(form).digest()[:16])


def _sha256() -> "Any":
    # hashlib loads OpenSSL for what these have built in: 3 ms.
    for module in ("_sha2", "_sha256"):
        try:
            return __import__(module).sha256
        except ImportError:
            continue
    from hashlib import sha256

    return sha256
