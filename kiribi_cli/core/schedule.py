"""What a schedule is, how it stands in the database, and what is decided about its ticks: plain values.

When its ticks are: ticks.py. What becomes of those that are due: due.py. All times are milliseconds since the epoch.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

from kiribi_cli.core.cron import Cron
from kiribi_cli.core.records import dataclass, field

Misfire = Literal["latest", "skip", "all"]
Overlap = Literal["skip", "queue", "cancel-previous", "allow"]


@dataclass(frozen=True, slots=True)
class Every:
    """Ticks are the multiples of the period, counted from 1970-01-01T00:00:00Z."""

    period_ms: int


@dataclass(frozen=True, slots=True)
class At:
    """One tick."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Reboot:
    """Once per boot of the machine: its tick is the moment at which the machine started."""


When = Cron | Every | At | Reboot


@dataclass(frozen=True, slots=True)
class Days:
    """Whole days of the schedule's zone, both included."""

    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Hours:
    """A part of each day in the schedule's zone: minutes since midnight, from (included) to (not). May wrap."""

    start: int
    end: int


Blackout = Days | Hours


@dataclass(frozen=True, slots=True)
class Schedule:
    """One entry [schedules.NAME] with every default in effect (jobs-toml.md, 4.4).

    `when_text` is what the file says (`30 2 * * *`, `15m`, an RFC 3339 time). `timezone` is an IANA name, never None:
    where the file names none, it is that of the machine. `payload` may hold placeholders of `schedule`; `has_payload`
    tells null from none. `settings` are the fields of Definition that this schedule overrides.
    """

    name: str
    job: str
    when: When
    when_text: str
    timezone: str
    has_payload: bool = False
    payload: Any = None
    jitter_ms: int = 0
    late_after_ms: int = 600_000
    misfire: Misfire = "latest"
    misfire_window_ms: int = 86_400_000
    overlap: Overlap = "skip"
    not_during: tuple[Blackout, ...] = ()
    enabled: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pause:
    """Who stopped a schedule, when, until when (None: until somebody resumes it), and why."""

    by: str
    at: int
    until: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a schedule stands in the database.

    `fingerprint` is that of what decides its ticks: when it differs from the file's, the schedule was edited and starts
    from now. `since`: first seen, edited, enabled or resumed then; no tick up to there is ever owed. `cursor` is never
    before it: every tick planned up to there has been decided. `boot`: the boot that @reboot has seen. A schedule is
    known by name and file: the same name in another jobs.toml of this database is refused by `announce`.
    """

    name: str
    config_path: str
    job: str
    fingerprint: str
    since: int
    cursor: int
    boot: str | None = None
    pause: Pause | None = None


# Why a tick gave no job. missed: nobody was there in time, and `misfire` (skip, or latest with a newer one) or its
# window, or more than the newest hundred, decided against it. skipped: `overlap`, a unique key that was held, or a
# payload that its definition refuses.
TickState = Literal["fired", "missed", "skipped"]
Reason = Literal["misfire", "newer", "window", "too_many", "overlap", "unique", "payload", "unknown_job"]


@dataclass(frozen=True, slots=True)
class Owed:
    """A tick that is due and undecided, and what due.py says about it: `reason` None means run it.

    `due_at` is the planned time plus jitter. `count` above 1: so many ticks from `first_at` to `planned_at`, missed
    together, told as one.
    """

    planned_at: int
    due_at: int
    reason: Reason | None = None
    first_at: int | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick that has been decided, as kept: at `at`, with job `job_id` (for `overlap` and `unique`: who was there)."""

    schedule: str
    planned_at: int
    state: TickState
    at: int
    reason: Reason | None = None
    job_id: int | None = None
    first_at: int | None = None
    count: int = 1
