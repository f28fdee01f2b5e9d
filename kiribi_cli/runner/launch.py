"""What goes to the hands and what comes back: everything needed to run one attempt, and the reports about it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from kiribi_cli.core.definition import Limits
from kiribi_cli.core.outcome import Ended
from kiribi_cli.core.records import dataclass, field


# Thousands of these are made in a second, so they are tuples.
class Work(NamedTuple):
    """What a claimed job brings along, besides its definition. Built by whoever claimed it.

    `attempt` counts from 1 within the job. `earlier` is true when the job ever had another attempt: then whatever
    that one left behind is ended before this one starts. `argv` and `cwd`, when given, replace those of the definition
    (ad-hoc jobs). `scheduled_for` is the planned time of the tick (None: not from a schedule). `timezone` is the zone
    in which `{schedule.at}` and `{schedule.day}` are written. `stdin` "inherit" passes on the stdin of the hands.
    `unchecked`: the payload has not met what the definition wants of it.
    """

    attempt_id: int
    job_id: int
    job: str
    queue: str
    attempt: int
    max_attempts: int
    attempts_left: int
    run_at: int
    tags: tuple[str, ...] = ()
    payload: str | None = None
    env: Mapping[str, str] = MappingProxyType({})
    argv: tuple[str, ...] | None = None
    cwd: str | None = None
    scheduled_for: int | None = None
    schedule: str = ""
    timezone: str = "UTC"
    timeout_ms: int | None = None
    earlier: bool = False
    stdin: Literal["payload", "inherit"] = "payload"
    unchecked: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom a process runs, looked up by the brain."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str
    home: str


@dataclass(frozen=True, slots=True)
class Base:
    """What attempts of one definition have in common: sent to the hands once, then named by a number.

    `env` is complete but for the variables of the single attempt. `python` is "pkg.mod:func" or "".
    """

    env: tuple[tuple[str, str], ...]
    cwd: str
    umask: int | None
    nice: int
    limits: Limits
    identity: Identity | None
    stop_signal: int
    kill_after_ms: int
    adopt: bool
    result: Literal["file", "stdout", "none"]
    result_max: int
    log_max: int
    python: str = ""
    interpreter: str = ""
    reuse: int = 1


class Launch(NamedTuple):
    """Everything needed to run one attempt. `argv[0]` is what the program sees, `program` the file that is executed.

    `env` comes on top of the base's. For a Python callable `program` is empty, and `env` lacks what its child adds:
    the variables of this attempt and of its payload. Those of attempts that are alike share one `env`.
    """

    attempt_id: int
    job_id: int
    base: Base
    program: str
    argv: tuple[str, ...]
    env: dict[str, str]
    payload: str | None
    stdin: Literal["payload", "null", "inherit"]
    timeout_ms: int | None
    earlier: bool


@dataclass(frozen=True, slots=True)
class Started:
    """The first process of an attempt runs. (boot_id, pid_namespace, pid, start_ticks) names it for ever.

    Not told of an attempt that ends at once: its Ended has the pid.
    """

    attempt_id: int
    pid: int
    start_ticks: int
    boot_id: str
    pid_namespace: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Progressed:
    """The last line of its progress file changed to `text`."""

    attempt_id: int
    text: str


@dataclass(frozen=True, slots=True)
class Returned:
    """It was waiting in the hands and was recalled: it never started and left no trace.

    `why`: what the machine lacks to start it, if that is the reason.
    """

    attempt_id: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Lost:
    """Its worker died, and it is not to be adopted: its hands are ending it, and have once `is_over`."""

    attempt_id: int
    is_over: bool


Report = Started | Progressed | Returned | Lost | Ended


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker runs things: its environment and what jobs are told about it.

    `db_path` is None for a database that is not a file. `interpreter` runs callables that name none.
    """

    environ: Mapping[str, str]
    interpreter: str
    config_path: str | None = None
    db_path: str | None = None
    # What was composed before, so that an attempt of a known definition costs no composition: see prepare.py.
    known: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
