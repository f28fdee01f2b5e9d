"""Which local times a cron expression names, whatever the clocks do: days by a calendar, times of day by lists.

Days are counted from 1970-01-01, local times are milliseconds since then on the clock of the zone.
"""

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterator, Sequence
from datetime import date
from functools import lru_cache

from kiribi_cli.core.blackouts import day_number, is_within
from kiribi_cli.core.cron import Cron
from kiribi_cli.core.records import dataclass
from kiribi_cli.core.schedule import Blackout, Days, Hours
from kiribi_cli.core.stretches import DAY_MS

_EPOCH_DAY = date(1970, 1, 1).toordinal()
FIRST_DAY = date(1, 1, 2).toordinal() - _EPOCH_DAY
LAST_DAY = date(9999, 12, 30).toordinal() - _EPOCH_DAY


@dataclass(frozen=True, slots=True)
class Calendar:
    """The days that an expression names, without those on which the schedule rests."""

    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    both_days: bool
    closed: tuple[tuple[int, int], ...]

    def step(self, day: int, direction: int) -> int | None:
        """Find the nearest such day from `day` on, itself included: later (1) or earlier (-1). None: there is none."""
        while FIRST_DAY <= day <= LAST_DAY:
            rest = next((rest for rest in self.closed if rest[0] <= day <= rest[1]), None)
            if rest is not None:
                day = rest[1] + 1 if direction > 0 else rest[0] - 1
                continue
            on = date.fromordinal(day + _EPOCH_DAY)
            if on.month not in self.months:
                # On to the next month, or back to the last day of the one before.
                day += monthrange(on.year, on.month)[1] - on.day + 1 if direction > 0 else -on.day
                continue
            # 1970-01-01 was a Thursday.
            is_day, is_weekday = on.day in self.days, (day + 4) % 7 in self.weekdays
            if (is_day and is_weekday) if self.both_days else (is_day or is_weekday):
                return day
            day += direction
        return None


class Timetable:
    """The local times that an expression names outside of blackouts, in order, found without walking."""

    __slots__ = (
        "_calendar",
        "_earlier",
        "_later",
        "_minutes",
        "_seconds",
        "_size",
        "elapsed",
        "is_whole_minutes",
        "not_during",
    )

    def __init__(self, cron: Cron, not_during: Sequence[Blackout]) -> None:
        closed_days = tuple(
            (day_number(each.first), day_number(each.last)) for each in not_during if isinstance(each, Days)
        )
        closed_hours = tuple((each.start, each.end) for each in not_during if isinstance(each, Hours))
        self._minutes = _minutes(cron.hours, cron.minutes, closed_hours)
        self._seconds = cron.seconds
        self._size = len(self._minutes) * len(self._seconds)
        self._calendar = Calendar(
            frozenset(cron.days), frozenset(cron.months), frozenset(cron.weekdays), cron.both_days, closed_days
        )
        # Whoever plans many schedules asks for the same few days again and again.
        self._later: dict[int, int | None] = {}
        self._earlier: dict[int, int | None] = {}
        self.not_during = not_during
        self.elapsed = cron.elapsed
        self.is_whole_minutes = cron.seconds == (0,)

    def first(self, local: int) -> int | None:
        """Find the first named time from `local` on."""
        if not self._size:
            return None
        day, clock = divmod(local, DAY_MS)
        found = self._on(day, 1)
        if found == day:
            place = self._place(clock)
            if place < self._size:
                return day * DAY_MS + self._clock(place)
            found = self._on(day + 1, 1)
        return None if found is None else found * DAY_MS + self._clock(0)

    def last(self, local: int) -> int | None:
        """Find the last named time before `local`."""
        return next(self.between(FIRST_DAY * DAY_MS, local, -1), None)

    def between(self, low: int, high: int, direction: int) -> Iterator[int]:
        """The named times from `low` (included) to `high` (not), upwards (1) or downwards (-1)."""
        if not self._size or high <= low:
            return
        day = self._on(low // DAY_MS if direction > 0 else (high - 1) // DAY_MS, direction)
        while day is not None and day * DAY_MS < high and (day + 1) * DAY_MS > low:
            base = day * DAY_MS
            places = range(self._place(max(0, low - base)), self._place(min(DAY_MS, high - base)))
            for place in places[::direction]:
                yield base + self._clock(place)
            day = self._on(day + direction, direction)

    def _on(self, day: int, direction: int) -> int | None:
        known = self._later if direction > 0 else self._earlier
        try:
            return known[day]
        except KeyError:
            if len(known) > 100:
                known.clear()
            found = known[day] = self._calendar.step(day, direction)
            return found

    def _place(self, clock: int) -> int:
        """How many named times of a day are before this time of day."""
        minute, second = divmod(-(-clock // 1000), 60)
        place = bisect_left(self._minutes, minute)
        if second == 0 or place == len(self._minutes) or self._minutes[place] != minute:
            return place * len(self._seconds)
        return place * len(self._seconds) + bisect_left(self._seconds, second)

    def _clock(self, place: int) -> int:
        minute, second = divmod(place, len(self._seconds))
        return self._minutes[minute] * 60_000 + self._seconds[second] * 1000


@lru_cache(maxsize=1024)
def _minutes(hours: tuple[int, ...], minutes: tuple[int, ...], closed: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    """The minutes of a day that are named and open: schedules that are alike share them."""
    named = (hour * 60 + minute for hour in hours for minute in minutes)
    return tuple(each for each in named if not any(is_within(each, start, end) for start, end in closed))
