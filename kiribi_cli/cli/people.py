"""How people see values: times, durations, statuses with their symbols. JSON and TSV never go through here."""

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

from kiribi_cli.core.durations import age, took

SYMBOLS = {
    "completed": "✓", "failed": "✗", "running": "●", "pending": "○", "scheduled": "◷", "retrying": "↻",
    "blocked": "‖", "cancelled": "⊘", "skipped": "↷",
}  # fmt: skip
COLOURS = {
    "completed": "green", "failed": "red", "running": "cyan", "retrying": "yellow", "scheduled": "blue",
    "cancelled": "dim", "skipped": "dim",
}  # fmt: skip
# For terminals that have nothing but ASCII; only what people read goes through it, never JSON or TSV.
ASCII = str.maketrans({"–": "-", "·": "|", "…": "...", "→": "->"})


def status_text(status: str, *, unicode: bool = True) -> str:
    """A status with its symbol, where the terminal can print it."""
    return f"{SYMBOLS[status]} {status}" if unicode and status in SYMBOLS else status


def millis(text: str) -> int:
    """Read back an RFC 3339 time of a view as milliseconds since the epoch.

    >>> millis("1970-01-01T00:00:01.500Z")
    1500
    """
    moment = datetime.fromisoformat(text)
    return int(moment.replace(microsecond=0).timestamp()) * 1000 + moment.microsecond // 1000


def ago(text: str | None, now: int) -> str:
    """How long ago, or how far ahead."""
    if text is None:
        return "–"
    apart = now - millis(text)
    return f"{age(apart)} ago" if apart >= 0 else f"in {age(apart)}"


def clock(text: str | None, now: int, zone: tzinfo) -> str:
    """The time of day, with the date where it is another day."""
    return "–" if text is None else clock_ms(millis(text), now, zone)


def clock_ms(ms: int, now: int, zone: tzinfo) -> str:
    """The same for milliseconds.

    >>> from datetime import UTC
    >>> clock_ms(1_500, 2_000, UTC), clock_ms(1_500, 86_400_000, UTC)
    ('00:00:01', '1970-01-01 00:00:01')
    """
    moment, today = datetime.fromtimestamp(ms / 1000, zone), datetime.fromtimestamp(now / 1000, zone)
    return moment.strftime("%H:%M:%S" if moment.date() == today.date() else "%Y-%m-%d %H:%M:%S")


def how_long(ms: int | None) -> str:
    """A duration that may be absent."""
    return "–" if ms is None else took(ms)


def note(view: Mapping[str, Any]) -> str:
    """What is worth saying about a job in one line: how it failed, how far it is. The same at any moment."""
    error, progress = view["error"], view["progress"]
    if view["status"] == "running" and progress:
        return progress_text(progress)
    if error is None or view["status"] == "completed":
        return ""
    return error_text(error, view["exit_code"])


def error_text(error: Mapping[str, Any], exit_code: int | None) -> str:
    """`exit 1: the last line of stderr`."""
    message = str(error["message"])
    code = f"exit {exit_code}"
    if error["kind"] == "exit" and exit_code is not None and message != code:
        return f"{code}: {message}"
    return message


def progress_text(progress: Mapping[str, Any]) -> str:
    """`70% rows 7000`."""
    share = "" if progress["fraction"] is None else f"{progress['fraction']:.0%}"
    return " ".join(word for word in (share, str(progress["message"])) if word)


def bar(fraction: float, width: int, *, unicode: bool = True) -> str:
    """A bar of so many characters.

    >>> bar(0.7, 10), bar(0.25, 4, unicode=False)
    ('███████░░░', '#...')
    """
    full = round(max(0.0, min(1.0, fraction)) * width)
    return ("█" if unicode else "#") * full + ("░" if unicode else ".") * (width - full)
