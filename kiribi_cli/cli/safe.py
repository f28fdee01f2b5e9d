"""Text of strangers on its way to a terminal: the escape sequences that it may hold must not get there."""

import re

# C0 but newline and tab, DEL, C1; and the marks that turn the direction of writing, which can make text lie.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_COLOUR = re.compile("\x1b\\[[0-9;:]*m")


def safe(text: str) -> str:
    r"""Replace every control character by what it is called in a string.

    >>> print(safe("a\x1b]0;title\x07b"))
    a\x1b]0;title\x07b
    """
    if text.isprintable():
        return text
    return _CONTROL.sub(_spelled, text)


def one_line(text: str) -> str:
    r"""As `safe`, with line breaks and tabs as blanks: for what has one line to stand in.

    >>> one_line("first\nsecond\tthird")
    'first second third'
    """
    return text if text.isprintable() else safe(text.replace("\n", " ").replace("\t", " "))


def colours_only(text: str, *, reset: bool = True) -> str:
    r"""Let colours (SGR) pass and spell the rest; adds a reset where colours were used.

    >>> colours_only("\x1b[31mred\x1b[2Jclear")
    '\x1b[31mred\\x1b[2Jclear\x1b[0m'
    """
    if text.isprintable():
        return text
    parts, end = [], 0
    for match in _COLOUR.finditer(text):
        parts += [safe(text[end : match.start()]), match[0]]
        end = match.end()
    return "".join([*parts, safe(text[end:])]) + ("\x1b[0m" if end and reset else "")


def _spelled(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
