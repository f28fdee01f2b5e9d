"""When a schedule runs, in English: short where there is a short way that is exact, else all its numbers.

Written from the values, not from the text: equal words mean equal ticks on a clock that is never changed.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

from kiribi_cli.core.cron import Cron
from kiribi_cli.core.durations import spell
from kiribi_cli.core.instant import rfc3339
from kiribi_cli.core.schedule import At, Every, Reboot, When

_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
# fmt: off
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)
# fmt: on
_UNITS = ((3_600_000, "hour"), (60_000, "minute"), (1000, "second"))
# As many times of day as can be listed and still be read.
_MOST_TIMES = 6


def describe(when: When) -> str:
    """Say when it runs.

    >>> from kiribi_cli.core.cron import parse
    >>> for text in ("30 2 * * *", "*/15 * * * *", "0 9 * * mon", "0 0 1 * *", "0 9-17 * * mon-fri", "0 0 13 * fri"):
    ...     describe(parse(text))
    'every day at 02:30'
    'every 15 minutes'
    'at 09:00 on Monday'
    'at 00:00 on the 1st of the month'
    'every hour from 09:00 to 17:00, on Monday to Friday'
    'at 00:00 on the 13th of the month and on Friday'
    >>> describe(Every(5_400_000)), describe(At(0)), describe(Reboot())
    ('every 90 minutes', 'once, at 1970-01-01T00:00:00.000Z', 'when the machine has started')
    """
    if isinstance(when, Cron):
        return _cron(when)
    if isinstance(when, Every):
        return _every(when.period_ms)
    if isinstance(when, At):
        return f"once, at {rfc3339(when.at_ms)}"
    _: Reboot = when
    return "when the machine has started"


def _every(period: int) -> str:
    for unit, name in _UNITS:
        if period % unit == 0:
            return f"every {name}" if period == unit else f"every {period // unit} {name}s"
    return f"every {spell(period)}"


def _cron(cron: Cron) -> str:
    time, days = _time(cron), _days(cron)
    has_times = time.startswith("at ") and time[3].isdigit()
    if not days:
        return f"every day {time}" if has_times else time
    if not has_times:
        return f"{time}, {days}"
    return f"every day {time} {days}" if days.startswith("in ") else f"{time} {days}"


def _time(cron: Cron) -> str:
    """The times of day: begins with `at` where they are single ones, with `every` where they go on all day."""
    hours, minutes, seconds = cron.hours, cron.minutes, cron.seconds
    count = len(hours) * len(minutes) * len(seconds)
    if count <= _MOST_TIMES:
        return f"at {_list([_clock(h, m, s, cron) for h in hours for m in minutes for s in seconds])}"
    if (even := _even(cron)) is not None:
        return even
    of = _of("minute", minutes, 60) + " of " + _of("hour", hours, 24)
    if seconds != (0,):
        of = _of("second", seconds, 60) + " of " + of
    return of if of.startswith("every") else f"at {of}"


def _of(unit: str, values: Sequence[int], count: int) -> str:
    return f"every {unit}" if len(values) == count else f"{unit} {_list(_runs(values, str))}"


def _even(cron: Cron) -> str | None:
    """The times of day where they are as far from each other as midnight allows."""
    times = [h * 3600 + m * 60 + s for h in cron.hours for m in cron.minutes for s in cron.seconds]
    step = times[1] - times[0]
    if any(after - before != step for before, after in pairwise(times)):
        return None
    every = _every(step * 1000)
    if times[0] + 86_400 - times[-1] == step:
        return every if times[0] == 0 else f"{every}, first at {_clock(*_parts(times[0]), cron)}"
    return f"{every} from {_clock(*_parts(times[0]), cron)} to {_clock(*_parts(times[-1]), cron)}"


def _parts(second: int) -> tuple[int, int, int]:
    return second // 3600, second // 60 % 60, second % 60


def _clock(hour: int, minute: int, second: int, cron: Cron) -> str:
    return f"{hour:02d}:{minute:02d}" + ("" if cron.seconds == (0,) else f":{second:02d}")


def _days(cron: Cron) -> str:
    """The days: empty for all of them."""
    is_any_day, is_any_weekday = len(cron.days) == 31, len(cron.weekdays) == 7
    of = "" if len(cron.months) == 12 else _list(_runs(cron.months, lambda month: _MONTHS[month - 1]))
    days = f"the {_list(_runs(cron.days, _ordinal))} of {of or 'the month'}"
    weekdays = _list(_runs(cron.weekdays, lambda day: _WEEKDAYS[day]))
    inside = f" in {of}" if of else ""
    if (is_any_day and is_any_weekday) or (not cron.both_days and (is_any_day or is_any_weekday)):
        return inside.lstrip()
    if is_any_day:
        return f"on {weekdays}{inside}"
    if is_any_weekday:
        return f"on {days}"
    return f"on {days} if it is {weekdays}" if cron.both_days else f"on {days} and on {weekdays}{inside}"


def _runs(values: Sequence[int], name: Callable[[int], str]) -> list[str]:
    """Values by name, three and more in a row as `first to last`."""
    runs: list[list[int]] = []
    for value in values:
        if runs and runs[-1][-1] == value - 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    written = []
    for run in runs:
        written += [f"{name(run[0])} to {name(run[-1])}"] if len(run) > 2 else [name(value) for value in run]
    return written


def _ordinal(day: int) -> str:
    ending = "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"


def _list(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
