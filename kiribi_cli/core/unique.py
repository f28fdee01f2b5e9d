"""When are two jobs the same: the form in which the database compares unique keys. On the hot path: light."""

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
    if len(form) <= PLAIN_MAX:
        return form
    from kiribi_cli.core.digest import sha256

    return sha256(form)[:16]
