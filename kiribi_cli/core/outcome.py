"""How an attempt ended, as a fact: one frozen class per case. What becomes of the job is decided in settle.py."""

from typing import NamedTuple

from kiribi_cli.core.records import dataclass


@dataclass(frozen=True, slots=True)
class Exited:
    """The first process ended by itself with `code`."""

    code: int


# How most attempts end; made once.
SUCCESS = Exited(0)


@dataclass(frozen=True, slots=True)
class Signalled:
    """A signal that kiribi did not send ended it. `oom` is true where the system says it was out of memory."""

    signal: int
    oom: bool = False


@dataclass(frozen=True, slots=True)
class Raised:
    """A Python callable raised (`kind`: the class name), or returned what JSON cannot hold (`final`: never retried)."""

    kind: str
    message: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class Snoozed:
    """A Python callable asked to be tried later, in `delay_ms` if it said so. (Commands do it by exit 75.)"""

    delay_ms: int | None = None


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Longer than its timeout; ended by the stop signal or SIGKILL."""

    after_ms: int


@dataclass(frozen=True, slots=True)
class NeverStarted:
    """It could not be started (no such file, bad cwd, no value for a placeholder); a retry would change nothing."""

    reason: str


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """Its worker died."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Its worker was told to stop and the job did not end in time."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A person cancelled it while it ran."""

    by: str


Outcome = Exited | Signalled | Raised | Snoozed | TimedOut | NeverStarted | WorkerLost | Interrupted | Cancelled


# Thousands of these two are made in a second, so they are tuples.
class Usage(NamedTuple):
    """Resources of an attempt: CPU milliseconds, peak resident memory in bytes.

    Memory of a command is never below the launcher's own (about 10 MB): Linux carries it over vfork and exec.
    """

    cpu_user_ms: int = 0
    cpu_system_ms: int = 0
    max_rss_bytes: int = 0


class Ended(NamedTuple):
    """All that the runner knows of an attempt that is over.

    `started_at` is wall-clock milliseconds (None: it never started), `duration_ms` elapsed time. `stderr_tail` holds
    the last lines of stderr, or the traceback. `result` is the raw text as handed over, None for nothing.
    `result_note` says why a result was dropped (too large), else None. `pid`: its first process, if nothing has been
    said of its beginning before; else 0.
    """

    attempt_id: int
    outcome: Outcome
    started_at: int | None = None
    duration_ms: int = 0
    usage: Usage = Usage()
    stderr_tail: str = ""
    log_bytes: int = 0
    result: str | None = None
    result_note: str | None = None
    pid: int = 0
