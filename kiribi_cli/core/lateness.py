"""Is a schedule late? One judgement, for `schedule ls` and for `health`."""

from kiribi_cli.core.schedule import Schedule, Standing, Tick


def late(
    schedule: Schedule, standing: Standing | None, *, planned_at: int | None, due_at: int | None, tick: Tick | None,
    started: bool, now: int,
) -> int | None:  # fmt: skip
    """Tell by how many milliseconds it is late; None: it is not.

    `planned_at` and `due_at` (with jitter) are those of the newest tick that is due by now, None if there is none;
    `tick` is what was decided about that tick, `started`: an attempt of its job began. A schedule that is paused, not
    enabled, or that no worker has seen yet owes nothing; nor does a tick from before it was last started or resumed.
    """
    if standing is None or not schedule.enabled or is_paused(standing, now):
        return None
    if planned_at is None or due_at is None or planned_at <= standing.since:
        return None
    if started or (tick is not None and tick.state == "skipped" and tick.reason in ("overlap", "unique")):
        return None
    lateness = now - due_at
    return lateness if lateness >= schedule.late_after_ms else None


def is_paused(standing: Standing, now: int) -> bool:
    """A pause is over at its `until`, whether or not a worker has written that down."""
    pause = standing.pause
    return pause is not None and (pause.until is None or now < pause.until)
