"""When the ticks of a schedule are. The rules: semantics.md, 8; what becomes of those that are due: due.py.

Cron entries whose minute or hour starts with `*` follow elapsed time: every moment whose local time they name. All
others fire once for every local time they name: at the first of two, and where there is none at the first minute that
is. A tick on whose day or time of day the schedule rests (`not_during`) does not exist. All times are milliseconds
since the epoch.
"""

from collections.abc import Iterator, Sequence
from datetime import tzinfo
from itertools import islice
from typing import Literal
from zlib import crc32

from kiribi_cli.core.blackouts import rest_at
from kiribi_cli.core.cron import Cron
from kiribi_cli.core.schedule import At, Blackout, Every, Reboot, When
from kiribi_cli.core.stretches import DAY_MS, EARLIEST_MS, LATEST_MS, Stretch, stretch_at
from kiribi_cli.core.timetable import Timetable

# gap: moved out of the hour that was left out; first, second: of a time that the clock shows twice.
Mark = Literal["gap", "first", "second"]

# A period that falls into blackouts so often in a row never falls beside them: eight years of nights, at least.
_MOST_BLACKOUTS = 3_000


def next_tick(when: When, zone: tzinfo, after_ms: int, not_during: Sequence[Blackout] = ()) -> int | None:
    """Find the first tick after a moment; None: there is none any more.

    >>> from datetime import UTC
    >>> from kiribi_cli.core.cron import parse
    >>> next_tick(parse("30 2 * * *"), UTC, 0)
    9000000
    """
    if isinstance(when, Cron):
        # The usual case, without a walk: the next named time, and no change of the clocks up to there.
        table = _timetable(when, not_during)
        stretch = stretch_at(zone, after_ms)
        if stretch is not None and after_ms >= stretch.calm:
            local = table.first(after_ms + stretch.offset + 1)
            if local is not None and local - stretch.offset < stretch.end:
                return local - stretch.offset
    return next(ticks(when, zone, after_ms, LATEST_MS, not_during), None)


def ticks(when: When, zone: tzinfo, after_ms: int, until_ms: int, not_during: Sequence[Blackout] = ()) -> Iterator[int]:
    """The ticks in (after, until], ascending."""
    return _walk(when, zone, after_ms + 1, until_ms, not_during, 1)


def latest_ticks(
    when: When, zone: tzinfo, after_ms: int, until_ms: int, most: int, not_during: Sequence[Blackout] = ()
) -> list[int]:
    """The newest ticks in (after, until], at most so many, ascending; what was before them is not looked at."""
    return [*islice(_walk(when, zone, after_ms + 1, until_ms, not_during, -1), most)][::-1]


def count_ticks(
    when: When, zone: tzinfo, after_ms: int, until_ms: int, most: int, not_during: Sequence[Blackout] = ()
) -> int:
    """Count the ticks in (after, until], up to `most`."""
    return sum(1 for _ in islice(ticks(when, zone, after_ms, until_ms, not_during), most))


def marked(when: When, zone: tzinfo, after_ms: int, until_ms: int) -> Iterator[tuple[int, Mark | None]]:
    """The ticks in (after, until] and what the clocks have done to them; a period does not care."""
    for tick in ticks(when, zone, after_ms, until_ms):
        yield tick, _mark(when, zone, tick) if isinstance(when, Cron) else None


def jittered(name: str, planned_at: int, jitter_ms: int) -> int:
    """When a tick is due: up to `jitter_ms` after it was planned, the same for this name and tick whoever asks.

    >>> jittered("nightly", 1000, 0), jittered("nightly", 1000, 60_000) == jittered("nightly", 1000, 60_000)
    (1000, True)
    """
    if jitter_ms <= 0:
        return planned_at
    return planned_at + crc32(f"{name}\0{planned_at}".encode()) % (jitter_ms + 1)


def _walk(
    when: When, zone: tzinfo, first: int, last: int, not_during: Sequence[Blackout], direction: int
) -> Iterator[int]:
    """The ticks from `first` to `last`, both included, upwards (1) or downwards (-1)."""
    first, last = max(first, EARLIEST_MS), min(last, LATEST_MS)
    if isinstance(when, Cron):
        table = _timetable(when, not_during)
        return _up(table, zone, first, last) if direction > 0 else _down(table, zone, first, last)
    if isinstance(when, Every):
        return _period(when.period_ms, zone, first, last, not_during, direction)
    if isinstance(when, At):
        is_there = first <= when.at_ms <= last and _rest(zone, when.at_ms, not_during) is None
        return iter((when.at_ms,) if is_there else ())
    _: Reboot = when
    return iter(())


_timetables: dict[int, tuple[Cron, Sequence[Blackout], Timetable]] = {}


def _timetable(cron: Cron, not_during: Sequence[Blackout]) -> Timetable:
    """The timetable of an expression, made once: found by identity, for a hash over all its numbers costs more."""
    known = _timetables.get(id(cron))
    if known is not None and known[0] is cron and known[1] == not_during:
        return known[2]
    if len(_timetables) > 20_000:
        _timetables.clear()
    table = Timetable(cron, not_during)
    _timetables[id(cron)] = (cron, not_during, table)
    return table


def _up(table: Timetable, zone: tzinfo, first: int, last: int) -> Iterator[int]:
    while first <= last:
        # Over the years without a named time: nothing of theirs can be moved further than two days.
        near = table.first(first - 2 * DAY_MS)
        if near is None:
            return
        first = max(first, near - 2 * DAY_MS)
        stretch = stretch_at(zone, first)
        if stretch is None or first > last:
            return
        yield from _within(table, stretch, first, min(last, stretch.end - 1), 1)
        first = stretch.end


def _down(table: Timetable, zone: tzinfo, first: int, last: int) -> Iterator[int]:
    while first <= last:
        near = table.last(last + 2 * DAY_MS)
        if near is None:
            return
        last = min(last, near + 2 * DAY_MS)
        stretch = stretch_at(zone, last)
        if stretch is None or first > last:
            return
        yield from _within(table, stretch, max(first, stretch.start), last, -1)
        last = stretch.start - 1


def _within(table: Timetable, stretch: Stretch, first: int, last: int, direction: int) -> Iterator[int]:
    """The ticks of one stretch from `first` to `last`, both included."""
    low, high, moved = first + stretch.offset, last + stretch.offset, None
    if not table.elapsed:
        moved = _moved(table, stretch)
        if moved is not None:
            # What is named for the very same moment runs together with it.
            is_asked, begin = low <= moved <= high, max(low, moved + 1)
            moved, low = (moved - stretch.offset if is_asked else None), begin
        else:
            low = max(low, stretch.floor)
    if moved is not None and direction > 0:
        yield moved
    for local in table.between(low, high + 1, direction):
        yield local - stretch.offset
    if moved is not None and direction < 0:
        yield moved


def _moved(table: Timetable, stretch: Stretch) -> int | None:
    """The local time at which everything fires that was named within the gap before this stretch."""
    if stretch.gap_from is None:
        return None
    begins = stretch.start + stretch.offset
    if next(table.between(stretch.gap_from, begins, 1), None) is None:
        return None
    moved = -(-begins // 60_000) * 60_000 if table.is_whole_minutes else begins
    return None if rest_at(moved, table.not_during) else moved


def _mark(cron: Cron, zone: tzinfo, tick: int) -> Mark | None:
    stretch = stretch_at(zone, tick)
    if stretch is None:
        return None
    local, table = tick + stretch.offset, _timetable(cron, ())
    if not cron.elapsed and local == _moved(table, stretch):
        return "gap"
    if cron.elapsed and local < stretch.floor:
        return "second"
    return "first" if stretch.again_from is not None and local >= stretch.again_from else None


def _period(
    period: int, zone: tzinfo, first: int, last: int, not_during: Sequence[Blackout], direction: int
) -> Iterator[int]:
    at = -(-first // period) * period if direction > 0 else last // period * period
    fruitless = 0
    while first <= at <= last and fruitless < _MOST_BLACKOUTS:
        rest = _rest(zone, at, not_during)
        if rest is None:
            yield at
            fruitless, at = 0, at + direction * period
            continue
        fruitless += 1
        at = -(-rest[1] // period) * period if direction > 0 else (rest[0] - 1) // period * period


def _rest(zone: tzinfo, moment: int, not_during: Sequence[Blackout]) -> tuple[int, int] | None:
    """From when (included) to when (not) the schedule rests, if it does now; a change of the clocks ends it."""
    stretch = stretch_at(zone, moment) if not_during else None
    rest = rest_at(moment + stretch.offset, not_during) if stretch else None
    if stretch is None or rest is None:
        return None
    return max(rest[0] - stretch.offset, stretch.start), min(rest[1] - stretch.offset, stretch.end)
