"""When are two jobs the same: the hash under which the database holds a unique key. Used on the hot path: light imports."""


def unique_hash(definition: str, key: str) -> bytes:
    """16 bytes of SHA-256 over definition name ('' for ad-hoc jobs) and key: who collides is decided by the database.

    >>> unique_hash("Import", "7") == unique_hash("Import", "7")
    True
    >>> unique_hash("Import", "7") == unique_hash("", "Import7")
    False
    """
    from hashlib import sha256

    # A length prefix, so that no pair of (name, key) can be read as another pair.
    return sha256(f"{len(definition)}:{definition}{key}".encode()).digest()[:16]
