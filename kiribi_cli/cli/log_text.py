"""Logs on their way out: bytes as written with --raw; else text, of which only colours pass, and only to a terminal."""

from collections.abc import Iterable

from kiribi_cli.actions.logs import Printed, PrintedLine
from kiribi_cli.cli.people import clock_ms
from kiribi_cli.cli.safe import Cleaner, colours_only, line_ends, plain, safe
from kiribi_cli.cli.wiring import Here
from kiribi_cli.core.durations import spell_size
from kiribi_cli.core.instant import rfc3339
from kiribi_cli.core.records import dataclass

FIELDS = ("id", "job", "attempt", "stream", "ts", "offset", "line")


@dataclass(frozen=True, slots=True)
class Style:
    """How lines are shown."""

    timestamps: bool = False
    prefix: bool = False
    raw: bool = False


def write_pieces(at: Here, printed: Iterable[Printed], style: Style) -> None:
    """Write output as it comes."""
    streams: dict[tuple[int, int, str], Cleaner] = {}
    try:
        for one in printed:
            if one.piece.missing:
                at.out.warn(_gap(one.job_id, one.piece.missing))
            elif style.raw:
                at.out.raw(one.piece.data)
            else:
                key = (one.job_id, one.attempt, one.piece.stream)
                cleaner = streams.setdefault(key, Cleaner(colours=at.out.tty and at.out.coloured))
                at.out.text(cleaner.feed(one.piece.data))
    finally:
        # However it ends, a terminal is not left in the colours of a job.
        for cleaner in streams.values():
            at.out.text(cleaner.rest())


def write_lines(at: Here, lines: Iterable[PrintedLine], style: Style) -> None:
    """Write line by line: with times and names in front, or as JSON."""
    colours = at.out.tty and at.out.coloured
    if at.out.form == "json":
        at.out.list((_view(one) for one in lines), [], known=FIELDS)
        return
    for one in lines:
        if at.out.as_json:
            at.out.row(_view(one))
        elif one.line.stream == "gap":
            at.out.warn(_gap(one.job_id, one.line.missing))
        elif style.raw:
            at.out.raw(_head(at, one, style).encode() + one.line.data + (b"\n" if one.line.ended else b""))
        else:
            at.out.line(
                _head(at, one, style) + _shown(one.line.data.decode(errors="backslashreplace"), colours=colours)
            )


def _view(one: PrintedLine) -> dict[str, object]:
    return {
        "id": one.job_id,
        "job": one.job,
        "attempt": one.attempt,
        "stream": one.line.stream,
        "ts": rfc3339(one.line.at_ms),
        "offset": one.line.offset,
        "line": one.line.data.decode(errors="backslashreplace"),
    }


def _head(at: Here, one: PrintedLine, style: Style) -> str:
    name = f"{safe(one.job)} {one.job_id} | " if style.prefix else ""
    if not style.timestamps:
        return name
    # A pipe gets the same text at any time of day.
    when = clock_ms(one.line.at_ms, at.now(), at.zone) if at.out.tty else rfc3339(one.line.at_ms)
    return f"{when} {name}"


def _gap(job_id: int, missing: int) -> str:
    return f"{spell_size(missing)} of the log of job {job_id} are missing here"


def _shown(text: str, *, colours: bool) -> str:
    text = line_ends(text.removesuffix("\r"))
    return colours_only(text) if colours else plain(text)
