"""What becomes of a job when an attempt has ended. To ask "why was it retried at 12:07?", read this downwards."""

from typing import Literal, NamedTuple, assert_never

from kiribi_cli.core.definition import Backoff, Definition, Exponential, Fixed, Listed
from kiribi_cli.core.outcome import (
    Cancelled,
    Exited,
    Interrupted,
    NeverStarted,
    Outcome,
    Raised,
    Signalled,
    Snoozed,
    TimedOut,
    WorkerLost,
)
from kiribi_cli.core.records import dataclass

MAX_INTERRUPTIONS = 5


@dataclass(frozen=True, slots=True)
class Complete:
    """The work is done."""


@dataclass(frozen=True, slots=True)
class Retry:
    """A failure; try again at `at` (milliseconds since the epoch)."""

    at: int


@dataclass(frozen=True, slots=True)
class Snooze:
    """It asked to be tried later: scheduled again at `at`, the attempt given back."""

    at: int


@dataclass(frozen=True, slots=True)
class Release:
    """Cut off by kiribi, not by itself: pending again at once, the attempt given back."""


@dataclass(frozen=True, slots=True)
class Fail:
    """The end. `reason` is a stable code of `kiribi why`."""

    reason: Literal["attempts_used", "final_code", "never_started"]


@dataclass(frozen=True, slots=True)
class Cancel:
    """A person ended it."""

    by: str


Decision = Complete | Retry | Snooze | Release | Fail | Cancel


class Standing(NamedTuple):
    """What of a job matters for the decision: `attempts` spent including this one, of `max_attempts`."""

    attempts: int
    max_attempts: int
    snoozes: int
    interruptions: int
    backoff: Backoff


def settle(  # noqa: C901, PLR0912  (one case per outcome is the point)
    job: Standing, outcome: Outcome, rules: Definition, *, now: int, dice: float
) -> Decision:
    """Decide what becomes of the job. `now`: milliseconds; `dice`: in [0, 1). Rule by rule as in semantics.md, 5.

    >>> rules = Definition("Import", "command", command=("./import",))
    >>> job = Standing(attempts=1, max_attempts=3, snoozes=0, interruptions=0, backoff=Fixed(5_000))
    >>> settle(job, Exited(0), rules, now=0, dice=0.5)
    Complete()
    >>> settle(job, Exited(1), rules, now=0, dice=0.5)
    Retry(at=5000)
    >>> settle(job, Exited(65), rules, now=0, dice=0.5)
    Fail(reason='final_code')
    """
    match outcome:
        case Exited() if completes(outcome, rules):
            return Complete()
        case Exited(code):
            if code == rules.snooze_code and job.snoozes < rules.max_snoozes:
                return _snooze(job, now, dice, None)
            return _by_code(code, job, rules, now, dice)
        case Signalled(signal):
            return _by_code(128 + signal, job, rules, now, dice)
        case TimedOut():
            return _by_code(124, job, rules, now, dice)
        case Raised(final=True):
            return Fail("final_code")
        case Raised():
            return _by_code(1, job, rules, now, dice)
        case Snoozed(delay_ms) if job.snoozes < rules.max_snoozes:
            return _snooze(job, now, dice, delay_ms)
        case Snoozed():
            return _by_code(75, job, rules, now, dice)
        case NeverStarted():
            return Fail("never_started")
        case WorkerLost():
            return _retry_or_fail(job, now, dice)
        case Interrupted() if job.interruptions < MAX_INTERRUPTIONS:
            return Release()
        case Interrupted():
            return _retry_or_fail(job, now, dice)
        case Cancelled(by):
            return Cancel(by)
        case _:
            assert_never(outcome)


def completes(outcome: Outcome, rules: Definition) -> bool:
    """Tell whether the work is done, whatever the job has behind it: nothing else needs to be known of most attempts.

    >>> completes(Exited(0), Definition("Import", "command", command=("./import",)))
    True
    """
    return isinstance(outcome, Exited) and outcome.code in rules.success_codes and outcome.code != rules.snooze_code


def _by_code(code: int, job: Standing, rules: Definition, now: int, dice: float) -> Decision:
    if code in rules.success_codes:
        return Complete()
    if code in rules.fail_codes or (rules.retry_codes is not None and code not in rules.retry_codes):
        return Fail("final_code")
    return _retry_or_fail(job, now, dice)


def _snooze(job: Standing, now: int, dice: float, delay_ms: int | None) -> Decision:
    wait = delay_ms if delay_ms is not None else backoff_ms(job.backoff, job.snoozes + 1, dice)
    return Snooze(now + wait)


def _retry_or_fail(job: Standing, now: int, dice: float) -> Decision:
    if job.attempts >= job.max_attempts:
        return Fail("attempts_used")
    return Retry(now + backoff_ms(job.backoff, job.attempts, dice))


def backoff_ms(backoff: Backoff, failures: int, dice: float) -> int:
    """Milliseconds to wait after the nth failure (from 1). Backoff as in dramatiq: the jitter survives the cap.

    >>> [backoff_ms(Exponential(10_000, 2.0, 60_000, 0.0), n, 0.5) for n in (1, 2, 3, 4, 99)]
    [10000, 20000, 40000, 60000, 60000]
    >>> [backoff_ms(Listed((10, 60)), n, 0.5) for n in (1, 2, 3)]
    [10, 60, 60]
    """
    match backoff:
        case Fixed(base_ms, jitter):
            return _spread(base_ms, jitter, dice)
        case Exponential(base_ms, factor, max_ms, jitter):
            return _spread(min(float(max_ms), base_ms * _power(factor, failures - 1)), jitter, dice)
        case Listed(delays_ms):
            return delays_ms[min(failures, len(delays_ms)) - 1]
        case _:
            assert_never(backoff)


def _spread(delay_ms: float, jitter: float, dice: float) -> int:
    return round(delay_ms * (1 - jitter + 2 * jitter * dice))


def _power(factor: float, exponent: int) -> float:
    try:
        return factor**exponent
    except OverflowError:  # 1000 attempts are allowed; the caller's cap makes anything finite of it
        return float("inf")
