"""The answer of a command in each of its forms (cli.md, 3): table, TSV, JSON, JSON lines; --fields, --quiet, --silent.

stdout is the answer, stderr is talk. Nothing that came from a job or a file reaches a terminal unsanitised.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Literal

from kiribi_cli.cli.safe import colours_only, in_json, one_line, safe, with_reset
from kiribi_cli.core.records import dataclass
from kiribi_cli.errors import Code, KiribiError

if TYPE_CHECKING:
    from datetime import tzinfo

Form = Literal["table", "tsv", "json", "jsonl"]
View = Mapping[str, Any]

HOME_AND_CLEAR = "\x1b[H\x1b[J"
STYLES = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36", "dim": "2", "bold": "1"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a list. `name`: the field in --fields and JSON; `head`: its title in a table.

    `raw` gives the value in TSV (default: the field), `cell` the text in a table (default: the raw value),
    `style` a colour name for it. `right`: numbers. `grow`: takes what room is left and is cut there.
    """

    name: str
    head: str
    raw: Callable[[View], Any] | None = None
    cell: Callable[[View], str] | None = None
    style: Callable[[View], str | None] | None = None
    right: bool = False
    grow: bool = False

    def value(self, view: View) -> Any:
        return self.raw(view) if self.raw else view.get(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Out:
    """Where the answer goes. `zone` and `now` are for times shown to people."""

    form: Form
    fields: tuple[str, ...] = ()
    quiet: bool = False
    silent: bool = False
    color: Literal["auto", "always", "never"] = "auto"
    pager: bool = True
    zone: "Callable[[], tzinfo]"
    now: Callable[[], int]

    # -- the answer
    def list(
        self, rows: Iterable[View], columns: Sequence[Column], *, name: str = "id", known: Sequence[str] = ()
    ) -> int:
        """Write many things in the form asked for; returns how many. `name`: the field that --quiet prints.

        `known`: all fields there are, for --fields (default: those of the columns).
        """
        self.check_fields(columns, known)
        counted = _Counted(rows)
        if self.quiet:
            self._write(f"{_tsv(row.get(name))}\n" for row in counted)
        elif self.form == "json":
            self._json_array(self._picked(row) for row in counted)
        elif self.form == "jsonl":
            self._write(f"{compact(self._picked(row))}\n" for row in counted)
        elif self.form == "table":
            self._table(counted, self._columns(columns))
        else:
            shown = self._columns(columns)
            self._write("\t".join(_tsv(column.value(row)) for column in shown) + "\n" for row in counted)
        return counted.count

    def thing(
        self, view: View, page: Callable[[], Iterable[str]], *, name: str = "id", known: Sequence[str] = ()
    ) -> None:
        """Write one thing: a JSON object, its --fields, or the lines of `page` (table and TSV alike)."""
        self.check_fields((), known or tuple(view))
        if self.quiet:
            self.line(_tsv(view.get(name)))
        elif self.form == "json":
            self._write([self._document(self._picked(view)) + "\n"])
        elif self.form == "jsonl":
            self._write([compact(self._picked(view)) + "\n"])
        elif self.fields:
            self._write(["\t".join(_tsv(view.get(field)) for field in self.fields) + "\n"])
        else:
            self._paged(f"{line}\n" for line in page())

    def document(self, value: Any) -> None:
        """Write one JSON document as it is (for commands whose answer is no list of things)."""
        self._write([(compact(value) if self.form == "jsonl" else self._document(value)) + "\n"])

    def line(self, text: str) -> None:
        """Write one line of the answer as it is; pass text of strangers through `shown` first."""
        self._write([text + "\n"])

    def text(self, text: str) -> None:
        """Write text of the answer that is no whole line."""
        if text and not self.silent:
            stream = stdout()
            stream.write(colours_only(text, reset=False) if self.tty else text)
            stream.flush()

    def row(self, view: View) -> None:
        """Write one JSON object on one line, for answers that come bit by bit."""
        self._write([compact(self._picked(view)) + "\n"])

    def raw(self, data: bytes) -> None:
        """Write bytes of the answer."""
        if self.silent:
            return
        stream = stdout()
        stream.flush()
        stream.buffer.write(data)
        stream.buffer.flush()

    @property
    def as_json(self) -> bool:
        """Whether a program reads the answer as JSON."""
        return self.form in ("json", "jsonl")

    # -- talk
    @property
    def talks(self) -> bool:
        """Whether a person reads stderr: notes, progress bars and friendly sentences appear only then."""
        return bool(sys.stderr and sys.stderr.isatty()) and not self.silent

    def note(self, text: str) -> None:
        """Say something friendly on stderr, if a person reads it."""
        if self.talks:
            self.talk(text)

    def warn(self, text: str) -> None:
        """Say on stderr what the caller should know, whoever reads it."""
        self.talk(f"Warning: {text}")

    def talk(self, text: str) -> None:
        """Write a line to stderr."""
        if sys.stderr:
            sys.stderr.write(safe(text) + "\n")
            sys.stderr.flush()

    # -- looks
    @property
    def tty(self) -> bool:
        return bool(sys.stdout and sys.stdout.isatty())

    @property
    def coloured(self) -> bool:
        if self.color == "auto":
            return self.tty and os.environ.get("TERM") != "dumb"
        return self.color == "always"

    def style(self, text: str, *names: str | None) -> str:
        """Colour text (sanitised already), where colours are wanted."""
        codes = ";".join(STYLES[name] for name in names if name)
        return f"\x1b[{codes}m{text}\x1b[0m" if codes and self.coloured else text

    def shown(self, text: str) -> str:
        """Make text of strangers fit for one line on a terminal."""
        return one_line(text)

    @property
    def unicode(self) -> bool:
        """Whether symbols beyond ASCII can be printed."""
        return (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "").startswith("utf")

    # -- forms
    def _columns(self, columns: Sequence[Column]) -> Sequence[Column]:
        if not self.fields:
            return columns
        by_name = {column.name: column for column in columns}
        return [by_name.get(field) or Column(field, field.upper().replace("_", " ")) for field in self.fields]

    def _picked(self, view: View) -> View:
        return {field: view.get(field) for field in self.fields} if self.fields else view

    def check_fields(self, columns: Sequence[Column], known: Sequence[str]) -> None:
        """Refuse unknown --fields; an acting command asks this before it acts. `--fields help` ends here."""
        names = list(dict.fromkeys([*known, *(column.name for column in columns)]))
        if self.fields == ("help",):
            self._write(f"{name}\n" for name in names)
            raise SystemExit(0)
        for field in self.fields:
            if field not in names:
                raise KiribiError(Code.USAGE, f'there is no field "{field}"', hint=f"one of: {', '.join(names)}")

    def _document(self, value: Any) -> str:
        return in_json(json.dumps(value, ensure_ascii=False, indent=2 if self.tty else None))

    def _json_array(self, rows: Iterable[View]) -> None:
        if self.tty:
            self._write([self._document(list(rows)) + "\n"])
            return
        # Piece by piece, so that a long history does not have to fit into memory.
        pieces = chain.from_iterable((", " if n else "", compact(row)) for n, row in enumerate(rows))
        self._write(chain(["["], pieces, ["]\n"]))

    def _table(self, rows: Iterable[View], columns: Sequence[Column]) -> None:
        shown = [(row, [self._cell(column, row) for column in columns]) for row in rows]
        if not shown:
            return
        from kiribi_cli.cli.render import table

        styles = [[column.style(row) if column.style else None for column in columns] for row, _ in shown]
        self._paged(table(columns, [cells for _, cells in shown], styles, colour=self.coloured, width=_width()))

    def _cell(self, column: Column, row: View) -> str:
        if column.cell:
            return one_line(column.cell(row))
        value = column.value(row)
        return "–" if value is None and self.unicode else one_line(_plain(value))

    def _write(self, pieces: Iterable[str]) -> None:
        if self.silent:
            return
        stream = stdout()
        # Columns of TSV and answers of one word hold raw values; programs get them so, terminals never.
        for piece in map(_for_terminal, pieces) if self.tty else pieces:
            stream.write(piece)
        stream.flush()

    def clear(self) -> None:
        """Empty the screen."""
        stream = stdout()
        stream.write(HOME_AND_CLEAR)
        stream.flush()

    def _paged(self, pieces: Iterable[str]) -> None:
        if not self.unicode:
            from kiribi_cli.cli.people import ASCII

            pieces = (piece.translate(ASCII) for piece in pieces)
        if not (self.tty and self.pager) or self.silent:
            self._write(pieces)
            return
        from kiribi_cli.cli.pager import through_pager

        through_pager(map(_for_terminal, pieces), self._write)


class _Counted:
    """Rows that are counted as they go by."""

    def __init__(self, rows: Iterable[View]) -> None:
        self._rows = rows
        self.count = 0

    def __iter__(self) -> Iterator[View]:
        for row in self._rows:
            self.count += 1
            yield row


def compact(value: Any) -> str:
    """Write JSON on one line, in the form that every JSON answer has."""
    return in_json(json.dumps(value, ensure_ascii=False))


def first(rows: Iterable[View], limit: int | None) -> Iterable[View]:
    """Take at most `limit` rows; None: all."""
    return rows if limit is None else islice(rows, limit)


def _for_terminal(piece: str) -> str:
    return with_reset(colours_only(piece, reset=False))


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | dict | list | tuple):
        return compact(value)
    return str(value)


def _tsv(value: Any) -> str:
    return _plain(value).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def _width() -> int:
    from shutil import get_terminal_size

    return get_terminal_size((80, 24)).columns


def stdout() -> Any:
    """Give the stream for the answer; raises FAILED if the caller has closed it."""
    if sys.stdout is None:
        raise KiribiError(Code.FAILED, "stdout is closed, the answer has nowhere to go", hint="-s asks for no answer")
    return sys.stdout
