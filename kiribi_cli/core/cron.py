"""Cron expressions: what the text says, as a value. Which moments it means is the business of ticks.py."""

from kiribi_cli.core.records import dataclass


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression, expanded. Every tuple is sorted; weekdays count from Sunday, 0 to 6.

    `both_days`: day of month and weekday must both match, because one of the fields starts with `*`; else one is
    enough. `elapsed`: the minute or the hour field starts with `*`, so it follows elapsed time through a change of the
    clocks; any other entry fires once for each time of day that it names (semantics.md, 8).
    """

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    both_days: bool
    elapsed: bool
