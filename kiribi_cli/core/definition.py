"""Job definitions as values: what can be run and how. Built by config/ from jobs.toml, read by everything above."""

from typing import Any, Literal

from kiribi_cli.core.records import dataclass, field

Kind = Literal["command", "shell", "python"]


@dataclass(frozen=True, slots=True)
class Fixed:
    """Wait `base_ms` after every failure, spread by ±jitter (a share, 0 to 1)."""

    base_ms: int
    jitter: float = 0.0


@dataclass(frozen=True, slots=True)
class Exponential:
    """Wait min(max, base * factor ** (failures - 1)), spread by ±jitter: it survives the cap, as in dramatiq."""

    base_ms: int = 10_000
    factor: float = 2.0
    max_ms: int = 3_600_000
    jitter: float = 0.2


@dataclass(frozen=True, slots=True)
class Listed:
    """Wait the nth entry after the nth failure; the last one repeats. No jitter."""

    delays_ms: tuple[int, ...]


Backoff = Fixed | Exponential | Listed


@dataclass(frozen=True, slots=True)
class Unique:
    """Which jobs are duplicates. `key` is a template over the payload, None for the whole payload.

    `until`: "pending" (until it starts), "unfinished" (until it has ended) or milliseconds from enqueue.
    """

    key: str | None = None
    until: Literal["pending", "unfinished"] | int = "unfinished"
    on_conflict: Literal["skip", "error"] = "skip"


@dataclass(frozen=True, slots=True)
class Param:
    """One typed parameter of a payload (jobs-toml.md, 4.7). `min`, `max` bound values or lengths."""

    name: str
    type: Literal["string", "integer", "number", "boolean", "array", "object"]
    required: bool = True
    has_default: bool = False
    default: Any = None
    choices: tuple[Any, ...] | None = None
    min: float | None = None
    max: float | None = None
    pattern: str | None = None
    items: str | None = None
    help: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """Resource limits of a process (setrlimit). Bytes, milliseconds and counts; None leaves the worker's."""

    memory: int | None = None
    cpu_time_ms: int | None = None
    open_files: int | None = None
    processes: int | None = None
    file_size: int | None = None


@dataclass(frozen=True, slots=True)
class Retention:
    """Age in milliseconds since `finished_at` at which `sweep` deletes; None keeps for ever."""

    completed_ms: int | None = 7 * 86_400_000
    cancelled_ms: int | None = 7 * 86_400_000
    skipped_ms: int | None = 7 * 86_400_000
    failed_ms: int | None = 30 * 86_400_000
    keep_last: int = 50


@dataclass(frozen=True, slots=True)
class Definition:
    """One entry of jobs.toml with every default in effect; an ad-hoc command has one too, with `adhoc` true.

    Times in milliseconds, sizes in bytes; `None` means none. Exactly one of `command`, `shell` and
    `python` is set, named by `kind`. Ad-hoc argv is literal: no placeholder in it is filled in.
    """

    name: str
    kind: Kind
    adhoc: bool = False
    command: tuple[str, ...] = ()
    shell: str = ""
    shell_bin: tuple[str, ...] = ("/bin/sh", "-eu", "-c")
    python: str = ""
    interpreter: str | None = None
    reuse: int = 100
    description: str = ""
    hidden: bool = False
    tags: tuple[str, ...] = ()
    queue: str = "default"
    priority: int = 0
    max_attempts: int = 3
    backoff: Backoff = Exponential()
    stop_signal: str = "SIGTERM"
    kill_after_ms: int = 10_000
    on_worker_death: Literal["kill", "adopt"] = "kill"
    success_codes: frozenset[int] = frozenset({0})
    retry_codes: frozenset[int] | None = None
    fail_codes: frozenset[int] = frozenset({64, 65, 77, 78})
    max_snoozes: int = 10
    # None when the file names 75 in one of the three lists: then it is an ordinary code.
    snooze_code: int | None = 75
    timeout_ms: int | None = None
    expires_ms: int | None = None
    unique: Unique | None = None
    concurrency: int | None = None
    params: tuple[Param, ...] | None = None
    payload_schema: dict[str, Any] | None = None
    stdin: Literal["json", "none"] = "json"
    result: Literal["file", "stdout", "none"] = "file"
    payload_max: int = 1_048_576
    result_max: int = 1_048_576
    cwd: str = ""
    env: dict[str, str] = field(default_factory=dict)
    env_file: tuple[str, ...] = ()
    env_inherit: tuple[str, ...] = ("PATH", "HOME", "LANG", "TZ")
    umask: int | None = None
    nice: int = 0
    limits: Limits = Limits()
    user: str | None = None
    group: str | None = None
    retention: Retention = Retention()
    log_max: int = 10 * 1_048_576
    # Every pattern in effect: the top-level ones and the definition's own.
    redact: tuple[str, ...] = ()
