"""When a schedule rests, by the clock of its zone. Local times are milliseconds since 1970-01-01 on that clock."""

from collections.abc import Sequence
from datetime import date

from kiribi_cli.core.schedule import Blackout, Days
from kiribi_cli.core.stretches import DAY_MS

_EPOCH_DAY = date(1970, 1, 1).toordinal()


def day_number(day: date) -> int:
    """Count the days since 1970-01-01.

    >>> day_number(date(1970, 1, 2))
    1
    """
    return day.toordinal() - _EPOCH_DAY


def is_within(minute: int, start: int, end: int) -> bool:
    """Whether a minute of the day is in a part of the day that may wrap midnight.

    >>> is_within(60, 22 * 60, 2 * 60), is_within(120, 22 * 60, 2 * 60)
    (True, False)
    """
    return start <= minute < end if start <= end else minute >= start or minute < end


def rest_at(local: int, not_during: Sequence[Blackout]) -> tuple[int, int] | None:
    """From when (included) to when (not) it rests, if it does at this local time: the first blackout that says so."""
    day, clock = divmod(local, DAY_MS)
    for blackout in not_during:
        if isinstance(blackout, Days):
            first, last = day_number(blackout.first), day_number(blackout.last)
            if first <= day <= last:
                return first * DAY_MS, (last + 1) * DAY_MS
            continue
        if not is_within(clock // 60_000, blackout.start, blackout.end):
            continue
        start, end = day * DAY_MS + blackout.start * 60_000, day * DAY_MS + blackout.end * 60_000
        if blackout.start > blackout.end:
            # Over midnight: it began yesterday or ends tomorrow.
            start, end = (start, end + DAY_MS) if local >= start else (start - DAY_MS, end)
        return start, end
    return None
