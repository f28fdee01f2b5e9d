"""What must be so of a job, its attempts and its events together, whoever wrote them; says what is not.

Pure: the rows come from store/audit.py. `kiribi db verify` and every test with a database end here.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from kiribi_cli.core.job import FINISHED, MOVES, Status

# Moves of which no event tells: coming due, and a claim until it is known that the attempt has begun.
_SILENT: dict[str, tuple[str, ...]] = {
    "scheduled": ("scheduled", "pending", "running"),
    "retrying": ("retrying", "pending", "running"),
    "pending": ("pending", "running"),
}
_LEGAL = frozenset((None if one is None else str(one), str(other)) for one, others in MOVES.items() for other in others)
_ENDS = frozenset(str(status) for status in FINISHED)
# What can become of a job after an attempt that ended so. Cancel: asked for meanwhile, or another job took its place.
_DECISIONS: Mapping[str, tuple[str, ...]] = {
    "completed": ("complete",),
    "failed": ("retry", "fail", "cancel"),
    "snoozed": ("snooze", "cancel"),
    "timed_out": ("retry", "fail", "cancel"),
    "never_started": ("fail",),
    "worker_lost": ("retry", "fail", "cancel"),
    "interrupted": ("release", "retry", "fail", "cancel"),
    "cancelled": ("cancel",),
}
_STATUS_AFTER = {"complete": Status.COMPLETED, "fail": Status.FAILED, "cancel": Status.CANCELLED}
_DECISION_OF = {"completed": "complete", "failed": "fail"}


class JobRow(NamedTuple):
    """A job. `reopened`: a person has had it run again after its end. `end`: exit code, signal, error, duration."""

    id: int
    job: str
    status: str
    spent: int
    attempt: int
    attempt_id: int | None
    total_ms: int
    snoozes: int
    interruptions: int
    reopened: int
    finished_at: int | None
    end: tuple[int | None, str | None, str | None, int | None]


class AttemptRow(NamedTuple):
    """An attempt of it, with the same `end`."""

    id: int
    attempt: int
    outcome: str
    decision: str | None
    finished_at: int | None
    duration_ms: int
    end: tuple[int | None, str | None, str | None, int | None]


class Told(NamedTuple):
    """An event of it. An attempt whose row of events it shares with others is two of these."""

    seq: int
    type: str
    before: str | None
    after: str | None
    attempt: int | None


def job_problems(job: JobRow, attempts: Sequence[AttemptRow], told: Sequence[Told], *, whole: bool) -> Iterator[str]:
    """Say what is wrong with a job. `attempts` by id, `told` in order; `whole`: no event of it has been swept."""
    yield from _numbers(job, attempts)
    yield from _sums(job, attempts)
    yield from _last(job, attempts)
    yield from story_problems(job.id, job.status, told, whole=whole)
    if whole:
        yield from _ends_told(job, attempts, told)


def _numbers(job: JobRow, attempts: Sequence[AttemptRow]) -> Iterator[str]:
    """Attempts are numbered 1, 2, 3... as they came; the claim of one that has not begun has a number, but no row."""
    unbegun = job.status == "running" and not (attempts and attempts[-1].id == job.attempt_id)
    if [one.attempt for one in attempts] != list(range(1, job.attempt + 1 - unbegun)):
        numbers = ", ".join(str(one.attempt) for one in attempts[:20]) or "none"
        yield f"job {job.id} says it was tried {job.attempt} times, but its attempts are numbered {numbers}"
    live = [one for one in attempts if one.outcome == "running"]
    if len(live) > 1:
        yield f"job {job.id} has {len(live)} live attempts: {', '.join(str(one.id) for one in live)}"
    for one in live:
        if job.attempt_id != one.id:
            yield f"attempt {one.id} of job {job.id} is live, but the job does not know it"
    for one in attempts:
        if one.decision is not None and one.decision not in _DECISIONS.get(one.outcome, ()):
            yield f"attempt {one.id} of job {job.id} ended as {one.outcome}, and the decision was {one.decision}"


def _sums(job: JobRow, attempts: Sequence[AttemptRow]) -> Iterator[str]:
    decisions = [one.decision for one in attempts]
    given_back = decisions.count("snooze") + decisions.count("release")
    # Cancelled while it was to be given back, or while it was to be tried again: only the first did not count.
    most = job.attempt - given_back
    if not most - decisions.count("cancel") <= job.spent <= most:
        yield f"job {job.id} has spent {job.spent} attempts, but made {job.attempt}, {given_back} of them given back"
    if job.snoozes > decisions.count("snooze") or job.interruptions > decisions.count("release"):
        yield f"job {job.id} counts {job.snoozes} snoozes and {job.interruptions} interruptions, its attempts fewer"
    total = sum(one.duration_ms for one in attempts)
    if job.total_ms != total:
        yield f"job {job.id} ran for {job.total_ms} ms, but its attempts took {total} ms"


def _last(job: JobRow, attempts: Sequence[AttemptRow]) -> Iterator[str]:
    """The job says of its end what its last attempt says."""
    last = next((one for one in reversed(attempts) if one.decision is not None), None)
    needed = _DECISION_OF.get(job.status)
    if needed and (last is None or last.decision != needed):
        yield f"job {job.id} is {job.status}, but no attempt of it ended so"
    if last is None or last.decision is None:
        return
    status = _STATUS_AFTER.get(last.decision)
    if status and status != job.status and not job.reopened:
        yield f"job {job.id} is {job.status}, but its attempt {last.id} was its end ({status})"
    if status == job.status and (job.finished_at != last.finished_at) and (needed or not job.reopened):
        yield f"job {job.id} and its last attempt {last.id} do not agree on when it ended"
    if (needed or job.status == "retrying") and job.end != last.end:
        how = f"{_spelt(job.end)}; {_spelt(last.end)}"
        yield f"job {job.id} and its last attempt {last.id} do not agree on how it ended: {how}"


def _spelt(end: tuple[int | None, str | None, str | None, int | None]) -> str:
    """Write the end of a job or an attempt.

    >>> _spelt((1, None, "a91c04d2", 12))
    'exit 1, error a91c04d2, 12 ms'
    """
    code, signal, error, ms = end
    words = (("exit", code), ("signal", signal), ("error", error))
    told = [f"{word} {value}" for word, value in words if value is not None]
    return ", ".join([*told, f"{ms} ms"])


def _ends_told(job: JobRow, attempts: Sequence[AttemptRow], told: Sequence[Told]) -> Iterator[str]:
    """Of each attempt one event tells the end, and at most one the beginning."""
    ends = sorted(one.attempt for one in told if one.before == "running" and one.attempt is not None)
    ended = [one.attempt for one in attempts if one.decision is not None]
    if ends != ended:
        yield f"of job {job.id} ended attempts {_listed(ended)}, but its events tell of the ends of {_listed(ends)}"
    begun = [one.attempt for one in told if one.after == "running"]
    if len(begun) != len(set(begun)):
        yield f"the events of job {job.id} tell of the beginning of an attempt twice: {_listed(begun)}"
    live = [one.attempt for one in attempts if one.outcome == "running"]
    if not set(live) <= set(begun):
        yield f"attempt {_listed(live)} of job {job.id} is live, but no event tells of its beginning"


def _listed(numbers: Sequence[int | None]) -> str:
    return ", ".join(str(number) for number in numbers[:20]) or "none"


def story_problems(job_id: int, status: str | None, told: Sequence[Told], *, whole: bool) -> Iterator[str]:
    """Walk along the events: each begins where the one before ended, each move is legal, the last leads to `status`.

    `status` None: the job is not there any more, which only what was finished may be.

    >>> list(story_problems(1, "running", [Told(1, "job.enqueued", None, "pending", None)], whole=True))
    []
    >>> list(story_problems(1, None, [Told(1, "job.enqueued", None, "pending", None)], whole=True))
    ['job 1 is gone, though it had not finished: it was pending']
    """
    at: str | None = None
    for one in told:
        if one.type == "job.enqueued":
            if at is not None:
                yield f"event {one.seq}: job {job_id} is enqueued a second time"
            at = one.after
        elif one.type == "job.deleted":
            at = "deleted" if at is None or at == one.before else f"deleted as {one.before}"
        elif one.before is not None:
            if at is not None and one.before not in _SILENT.get(at, (at,)):
                yield f"event {one.seq}: job {job_id} leaves {one.before}, but it was {at}"
            if one.before != one.after and (one.before, one.after) not in _LEGAL:
                yield f"event {one.seq}: job {job_id} went from {one.before} to {one.after}, which is no legal move"
            at = one.after
    if whole and (not told or told[0].type != "job.enqueued"):
        yield f"job {job_id} has no event of its enqueueing"
    if at is None:
        return
    if status is None and at not in _ENDS and at != "deleted":
        yield f"job {job_id} is gone, though it had not finished: it was {at}"
    if status is not None and status not in _SILENT.get(at, (at,)):
        yield f"job {job_id} is {status}, but by its events it is {at}"
