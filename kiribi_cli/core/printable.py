"""Text from outside made fit for a terminal: no control character of it is ever obeyed."""

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def storable(text: str) -> str:
    """Spell out what is no text: bytes of a path that are not UTF-8 arrive as lone surrogates, which no database holds.

    >>> storable("/srv/caf\\udce9")
    '/srv/caf\\\\udce9'
    """
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def printable(text: str) -> str:
    """Replace control characters, direction overrides and lone surrogates by visible escapes.

    >>> printable("red \\x1b[31m alert\\n")
    'red \\\\x1b[31m alert\\\\n'
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
