"""Text of strangers on its way to a terminal: the escape sequences that it may hold must not get there."""

import re
from codecs import getincrementaldecoder

# C0 but newline and tab, DEL, C1; and the marks that turn the direction of writing, which can make text lie.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
# SGR of a sane length, as far as a terminal can be expected to read it.
_COLOUR = re.compile("\x1b\\[[0-9;:]{0,64}m")
# The beginning of what may become a colour, or of a line end, when the rest comes with the next piece.
_UNFINISHED = re.compile("(\x1b(\\[[0-9;:]{0,64})?|\r)$")
RESET = "\x1b[0m"
_RESETS = (RESET, "\x1b[m")


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
    return "".join([*parts, safe(text[end:])]) + (RESET if end and reset else "")


def with_reset(text: str) -> str:
    r"""Add a reset where a colour was left on.

    >>> with_reset("\x1b[31mred\x1b[0m"), with_reset("\x1b[31mred")
    ('\x1b[31mred\x1b[0m', '\x1b[31mred\x1b[0m')
    """
    colours = _COLOUR.findall(text)
    return text + RESET if colours and colours[-1] not in _RESETS else text


def plain(text: str) -> str:
    r"""Drop colours and spell the rest.

    >>> plain("\x1b[31mred\x1b[2Jclear")
    'red\\x1b[2Jclear'
    """
    return text if text.isprintable() else safe(_COLOUR.sub("", text))


def line_ends(text: str) -> str:
    """Make a new line of each carriage return: what goes back to the start of a line could write over it."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def in_json(text: str) -> str:
    r"""Escape what JSON allows in a string and a terminal would obey; its own line ends stay.

    >>> in_json('["\x9b2J"]')
    '["\\u009b2J"]'
    """
    return text if text.isprintable() else _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class Cleaner:
    """One stream of output on its way to people; characters and sequences may be cut in two by the pieces.

    `colours`: they pass, and the rest is spelled; else they are dropped. `is_coloured` tells whether one was let pass
    that nothing has reset yet.
    """

    def __init__(self, *, colours: bool) -> None:
        self._decoder = getincrementaldecoder("utf-8")("backslashreplace")
        self._colours = colours
        self._held = ""
        self.is_coloured = False

    def feed(self, data: bytes) -> str:
        """Give what can be shown by now."""
        text = self._held + self._decoder.decode(data)
        found = _UNFINISHED.search(text)
        self._held = found[0] if found else ""
        return self._made(text[: found.start()] if found else text)

    def rest(self) -> str:
        """Give what waited for its end in vain, and the colours back to what they were."""
        text = self._made(self._held + self._decoder.decode(b"", final=True))
        reset = RESET if self.is_coloured else ""
        self._held, self.is_coloured = "", False
        return text + reset

    def _made(self, text: str) -> str:
        text = line_ends(text)
        if not self._colours:
            return plain(text)
        if colours := _COLOUR.findall(text):
            self.is_coloured = colours[-1] not in _RESETS
        return colours_only(text, reset=False)


def _spelled(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
