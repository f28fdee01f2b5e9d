"""Where each key and value of a TOML text stands: tomllib keeps no positions, and a problem must name line and column.

Reads only texts that tomllib has accepted, so that it need not know what is forbidden; used only to report.
"""

import bisect
from typing import Any

from kiribi_cli.core.records import dataclass

Path = tuple[str | int, ...]

_BARE_END = set(" \t\r\n=.,#[]{}\"'")


@dataclass(frozen=True, slots=True)
class Position:
    """Line and column, from 1, of a key and of its value. A table's value stands where its header or brace does."""

    key: tuple[int, int]
    value: tuple[int, int]


def locate(text: str) -> dict[Path, Position]:
    """Map every path of a valid TOML text to its position; elements of arrays have their index as last step.

    >>> locate('a = [1, 2]\\n[b.c]\\nd = "x"')[("a", 1)].value, locate('[b.c]\\nd = "x"')[("b", "c", "d")]
    ((1, 9), Position(key=(2, 1), value=(2, 5)))
    """
    # tomllib counts "\r\n" as one line end, and so do editors.
    scan = _Scan(text)
    scan.document()
    starts = [0, *(i + 1 for i, character in enumerate(text) if character == "\n")]

    def line_column(offset: int) -> tuple[int, int]:
        line = bisect.bisect_right(starts, offset)
        return line, offset - starts[line - 1] + 1

    return {path: Position(line_column(key), line_column(value)) for path, (key, value) in scan.found.items()}


class _Scan:
    """One pass over the text; `found` maps a path to the offsets of key and value."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[Path, tuple[int, int]] = {}
        self.tables_in: dict[Path, int] = {}

    def document(self) -> None:
        prefix: Path = ()
        while self._blank():
            start = self.at
            if self.text.startswith("[[", self.at):
                self.at += 2
                prefix = self._element(self._resolved(self._key()))
                self._note(prefix, start, start)
                self.at = self.text.index("]", self.at) + 2
            elif self.text[self.at] == "[":
                self.at += 1
                prefix = self._resolved(self._key())
                self._note(prefix, start, start)
                self.at = self.text.index("]", self.at) + 1
            else:
                self._pair(prefix)

    def _pair(self, prefix: Path) -> None:
        start = self.at
        path = prefix + self._key()
        self.at = self.text.index("=", self.at) + 1
        self._spaces()
        self._note(path, start, self.at)
        self._value(path)

    def _value(self, path: Path) -> None:
        match self.text[self.at]:
            case '"' | "'":
                self._string()
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case _:
                while self.at < len(self.text) and self.text[self.at] not in "\r\n,]}#":
                    self.at += 1

    def _array(self, path: Path) -> None:
        self.at += 1
        index = 0
        while self._blank() and self.text[self.at] != "]":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self.found[(*path, index)] = (self.at, self.at)
            self._value((*path, index))
            index += 1
        self.at += 1

    def _inline_table(self, path: Path) -> None:
        self.at += 1
        while self._blank() and self.text[self.at] != "}":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self._pair(path)
        self.at += 1

    def _key(self) -> tuple[str, ...]:
        steps = []
        while True:
            self._spaces()
            steps.append(self._key_part())
            self._spaces()
            if self.text[self.at] != ".":
                return tuple(steps)
            self.at += 1

    def _key_part(self) -> str:
        start = self.at
        if self.text[start] in "\"'":
            self._string()
            return _unquoted(self.text[start : self.at])
        while self.at < len(self.text) and self.text[self.at] not in _BARE_END:
            self.at += 1
        return self.text[start : self.at]

    def _string(self) -> None:
        quote = self.text[self.at]
        long = quote * 3
        if not self.text.startswith(long, self.at):
            self.at = self._closing(quote, self.at + 1) + 1
            return
        self.at = self._closing(long, self.at + 3) + 3
        # Up to two quotes may stand directly before the closing three.
        while self.text.startswith(quote, self.at):
            self.at += 1

    def _closing(self, quotes: str, at: int) -> int:
        while not self.text.startswith(quotes, at):
            at += 2 if quotes[0] == '"' and self.text[at] == "\\" else 1
        return at

    def _note(self, path: Path, key: int, value: int) -> None:
        self.found.setdefault(path, (key, value))
        # A table that only dotted keys or deeper headers name stands where it is named first.
        for depth in range(1, len(path)):
            self.found.setdefault(path[:depth], (key, key))

    def _resolved(self, path: Path) -> Path:
        # [a.b] after [[a]] goes into the newest element of a.
        resolved: Path = ()
        for step in path:
            resolved = (*resolved, step)
            if resolved in self.tables_in:
                resolved = (*resolved, self.tables_in[resolved])
        return resolved

    def _element(self, path: Path) -> Path:
        array = path[:-1] if path and isinstance(path[-1], int) else path
        self.tables_in[array] = self.tables_in.get(array, -1) + 1
        return (*array, self.tables_in[array])

    def _spaces(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in " \t":
            self.at += 1

    def _blank(self) -> bool:
        """Skip blanks, line ends and comments; tell whether something follows."""
        while self.at < len(self.text):
            if self.text[self.at] == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif self.text[self.at] not in " \t\r\n":
                return True
            else:
                self.at += 1
        return False


def _unquoted(quoted: str) -> str:
    import tomllib

    if quoted.startswith("'"):
        return quoted[1:-1]
    parsed: dict[str, Any] = tomllib.loads(f"k = {quoted}")
    return str(parsed["k"])
