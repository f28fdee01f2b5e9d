"""What semantics.md says of jobs, sections 2 to 7, 10 and 12, in plain values: small enough to be believed.

Knows no database. Each verb changes the world and answers what the store must answer; time is what the caller says.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kiribi_cli.core.definition import Retention
from kiribi_cli.core.histogram import bucket
from kiribi_cli.core.settle import Cancel, Complete, Fail, Release, Retry, Snooze
from kiribi_cli.store.base import Claim, Edit, Running, Settlement, Want

WAITING = ("scheduled", "pending", "retrying")
FINISHED = ("completed", "failed", "cancelled")
HOUR = 3_600_000
# So many attempts a job has if nothing is said.
ATTEMPTS = 3


@dataclass
class Job:
    """One enqueued instance of a definition."""

    id: int
    name: str
    queue: str
    priority: int
    tags: tuple[str, ...]
    payload: str | None
    created_at: int
    run_at: int
    status: str
    expires_at: int | None = None
    adhoc: bool = False
    # Unique (6): the key, until when it is held ("pending", "unfinished" or a time), and whether it is held now.
    key: str | None = None
    until: str | int = "unfinished"
    holds: bool = False
    # `attempts` are spent, a snooze or an interruption gives one back; `attempt` numbers them, and only goes up.
    attempts: int = 0
    attempt: int = 0
    max_attempts: int = ATTEMPTS
    original_attempts: int | None = None
    snoozes: int = 0
    interruptions: int = 0
    first_started_at: int | None = None
    wait_ms: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    duration_ms: int | None = None
    total_ms: int = 0
    exit_code: int | None = None
    error: str | None = None
    reason: str | None = None
    result: str | None = None
    progress: str | None = None
    cancel_at: int | None = None
    cancel_by: str | None = None
    cancel_signal: str | None = None
    # Whose claim it is while it runs, and the token of the attempt; `worker` remembers the latest.
    holder: int | None = None
    token: int | None = None
    worker: str | None = None
    # Begun by `kiribi run`: it waits for this worker alone.
    own: int | None = None

    @property
    def finished(self) -> bool:
        return self.status in FINISHED

    @property
    def rank(self) -> tuple[int, int, int]:
        """Claimed first: higher priority, then due earlier, then older."""
        return -self.priority, self.run_at, self.id

    def shown(self, now: int) -> str:
        """What is due counts as pending, whether or not a worker has looked."""
        return "pending" if self.status in WAITING and self.run_at <= now else self.status


@dataclass
class Attempt:
    """One execution of a job."""

    id: int
    job_id: int
    attempt: int
    started_at: int
    worker: str
    outcome: str = "running"
    decision: str | None = None
    exit_code: int | None = None
    error: str | None = None
    finished_at: int | None = None
    duration_ms: int | None = None
    cpu_ms: int | None = None
    log_bytes: int = 0
    next_attempt_at: int | None = None
    pid: int | None = None


class Move(NamedTuple):
    """A line of a job's story (2): what happened, when, by whom, why."""

    type: str
    job_id: int
    at: int
    from_status: str | None
    to_status: str | None
    attempt: int | None = None
    final: bool | None = None
    exit_code: int | None = None
    by: str | None = None
    reason: str | None = None


class Taken(NamedTuple):
    """An enqueue was refused, because `holder` (0: one of the same batch) holds the unique key of the job at `index`."""

    index: int
    holder: int


@dataclass
class World:
    """Everything there is, and everything that has been said of it."""

    jobs: dict[int, Job] = field(default_factory=dict)
    attempts: dict[int, Attempt] = field(default_factory=dict)
    # The story since somebody last took note of it.
    moves: list[Move] = field(default_factory=list)
    # (dimension, key, queue, hour, column) -> sum or peak; (..., measure, bucket) -> how many.
    stats: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    times: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    workers: dict[int, str] = field(default_factory=dict)
    highest_id: int = 0
    highest_token: int = 0

    # -- 3 and 6: enqueue

    def conflict(self, news: Sequence[Job], errors: Sequence[bool], now: int) -> Taken | None:
        """Say whether a batch is refused as a whole: one of its jobs insists on a key that is held."""
        seen: set[tuple[str, str]] = set()
        for index, (new, insists) in enumerate(zip(news, errors, strict=True)):
            if new.key is None:
                continue
            holder = self._in_the_way(new, now)
            if insists and (holder is not None or (new.name, new.key) in seen):
                return Taken(index, 0 if (new.name, new.key) in seen else holder.id)
            if holder is None:
                seen.add((new.name, new.key))
        return None

    def _in_the_way(self, new: Job, now: int) -> Job | None:
        holder = self.holder(new)
        return holder if holder and (isinstance(holder.until, str) or holder.until > now) else None

    def enqueue(self, new: Job, id_: int, by: str | None, now: int) -> int:
        """Add a job under this new id, or answer the id of the one that holds its unique key."""
        if new.key is not None:
            holder = self.holder_at(new, now)
            if holder is not None:
                return holder.id
            new.holds = True
        assert id_ > self.highest_id, f"the id {id_} came back"
        self.highest_id = new.id = id_
        new.status = "scheduled" if new.run_at > now else "pending"
        self.jobs[id_] = new
        self.moves.append(Move("job.enqueued", id_, now, None, new.status, by=by))
        return id_

    def holder(self, like: Job) -> Job | None:
        """Who holds the unique key of a job like this."""
        found = [one for one in self.jobs.values() if one.holds and (one.name, one.key) == (like.name, like.key)]
        assert len(found) <= 1
        return found[0] if found else None

    def holder_at(self, like: Job, now: int) -> Job | None:
        """As `holder`; a hold whose period is over is let go."""
        holder = self.holder(like)
        if holder is not None and isinstance(holder.until, int) and holder.until <= now:
            holder.holds = False
            return None
        return holder

    # -- 4: claiming

    def come_due(self, now: int) -> list[int]:
        """Make pending what is due, and end what did not start in time; answers the ids of these."""
        late = []
        for job in self.jobs.values():
            if job.status in ("scheduled", "retrying") and job.run_at <= now:
                job.status = "pending"
        for job in sorted(self.jobs.values(), key=lambda one: (one.expires_at or 0, one.id)):
            if job.expires_at is not None and job.expires_at <= now and job.first_started_at is None and job.status in WAITING:  # fmt: skip
                self._give_up(job, "job.expired", "expired", None, now)
                late.append(job.id)
        return late

    def next_due(self) -> int | None:
        moments = [job.run_at for job in self.jobs.values() if job.status in ("scheduled", "retrying")]
        moments += [
            job.expires_at for job in self.jobs.values()
            if job.expires_at is not None and job.first_started_at is None and job.status in WAITING
        ]  # fmt: skip
        return min(moments, default=None)

    def claimable(self, want: Want) -> list[int]:
        """Choose what starts now: the best first, as far as slots and limits reach, and nothing behind a limit waits."""
        running = [job for job in self.jobs.values() if job.status == "running"]
        queues = Counter(job.queue for job in running)
        lanes = Counter(lane_of(job) for job in running)
        here = Counter[str]()
        chosen: list[int] = []
        for job in sorted((one for one in self.jobs.values() if one.status == "pending"), key=lambda one: one.rank):
            lane, queue = lane_of(job), job.queue
            if lane not in want.lanes or (want.queues is not None and queue not in want.queues):
                continue
            served = (want.queues or {}).get(queue)
            if (
                len(chosen) >= want.slots
                or (served is not None and here[queue] >= served)
                or queues[queue] >= want.queue_concurrency.get(queue, 1 << 30)
                or lanes[lane] >= want.lane_concurrency.get(lane, 1 << 30)
            ):
                continue
            here[queue] += 1
            queues[queue] += 1
            lanes[lane] += 1
            chosen.append(job.id)
        return chosen

    def claim(self, job_id: int, token: int, worker_id: int) -> Job:
        """Give the right to run one attempt: a token that has never been, and the key of a job that was unique until now."""
        job = self.jobs[job_id]
        assert job.status == "pending"
        assert token > self.highest_token, f"the token {token} came back"
        self.highest_token = token
        job.status, job.holder, job.worker, job.token = "running", worker_id, self.workers[worker_id], token
        job.attempt += 1
        job.attempts += 1
        if job.until == "pending":
            job.holds = False
        return job

    def live(self, claim: Claim, worker_id: int) -> Job | None:
        """The fence: the job, if this claim is still the right of this worker."""
        job = self.jobs.get(claim.job_id)
        if job is None or job.status != "running" or (job.holder, job.token) != (worker_id, claim.attempt_id):
            return None
        return job

    def begin(self, claim: Claim, worker_id: int, running: Running) -> None:
        job = self.live(claim, worker_id)
        if job is None:
            return
        if claim.attempt_id in self.attempts:
            return
        self._begins(job, running.started_at)
        job.duration_ms = job.exit_code = job.error = job.reason = job.progress = None
        worker = self.workers[worker_id]
        self.attempts[claim.attempt_id] = Attempt(
            claim.attempt_id, job.id, job.attempt, running.started_at, worker, pid=running.pid
        )
        self.moves.append(Move("job.started", job.id, running.started_at, "pending", "running", job.attempt, by=worker))

    def _begins(self, job: Job, at: int | None) -> None:
        if at is None:
            return
        if job.first_started_at is None:
            job.wait_ms = max(at - job.run_at, 0)
            job.first_started_at = at
        job.started_at = at

    def give_back(self, claim: Claim, worker_id: int, now: int) -> None:
        """Undo a claim that never began. Cancelled meanwhile, or done by another with its key, it ends instead."""
        job = self.live(claim, worker_id)
        if job is None:
            return
        job.attempt -= 1
        job.attempts -= 1
        self._lets_go(job)
        holder = self.holder_at(job, now) if job.until == "pending" and job.key else None
        by = self.workers[worker_id]
        if job.cancel_at is not None:
            self._give_up(job, "job.cancelled", "cancelled", by, now, was="running")
        elif holder is not None:
            self._give_up(job, "job.superseded", "superseded", by, now, was="running")
        else:
            job.status = "pending"
            job.holds = job.holds or (job.until == "pending" and job.key is not None)

    # -- 5: how an attempt ends

    def settle(self, it: Settlement, worker_id: int, now: int) -> bool:
        """End an attempt and move its job; False, and nothing is changed: the claim is lost."""
        job = self.live(it.claim, worker_id)
        if job is None:
            return False
        worker = self.workers[worker_id]
        decision, reason = self._decided(job, it.decision, now)
        self._end_attempt(job, it, decision, reason, worker)
        self._begins(job, it.started_at)
        job.duration_ms, job.total_ms = it.duration_ms, job.total_ms + it.duration_ms
        job.exit_code, job.result, job.error = it.exit_code, it.result, it.error.kind if it.error else None
        if isinstance(it.decision, (Snooze, Release)):
            job.attempts -= 1
        if isinstance(decision, Complete | Snooze | Release):
            job.error = None
        if isinstance(decision, Cancel):
            job.error = reason
        wait = job.wait_ms if it.claim.first and it.started_at is not None else None
        self._move(job, decision, it)
        job.reason = reason
        word = {Retry: "retrying", Snooze: "snoozed", Release: "interrupted"}.get(type(decision), job.status)
        if it.outcome == "worker_lost":
            self.moves.append(Move("job.worker_lost", job.id, it.finished_at, None, None, it.claim.attempt, by=worker))
        self.moves.append(Move(
            "job.superseded" if reason == "superseded" else f"job.{word}", job.id, it.finished_at, "running", job.status,
            it.claim.attempt, final=job.finished, exit_code=it.exit_code, by=worker, reason=reason,
        ))  # fmt: skip
        self._count(
            job, it.finished_at, {"retrying": "retried"}.get(word, word if job.finished else None), 1,
            # What was cut short or put off says nothing about how long the work takes.
            duration=None if it.started_at is None or isinstance(it.decision, (Snooze, Release)) else it.duration_ms,
            wait=wait, cpu=it.usage.cpu_user_ms + it.usage.cpu_system_ms, rss=it.usage.max_rss_bytes,
            fingerprint=it.error.fingerprint if it.error and isinstance(decision, (Retry, Fail)) else None,
        )  # fmt: skip
        self._let_go_at_end(job)
        return True

    def _decided(self, job: Job, decision: Any, now: int) -> tuple[Any, str | None]:
        """What becomes of it, and why: a job that would wait again does not if it was cancelled, or if a duplicate waits."""
        if isinstance(decision, (Retry, Snooze, Release)):
            if job.cancel_at is not None:
                return Cancel(job.cancel_by or ""), "cancelled"
            if job.until == "pending" and job.key and self.holder_at(job, now) is not None:
                return Cancel(""), "superseded"
        reasons = {Complete: "completed", Retry: "backoff", Snooze: "snoozed", Release: None, Cancel: "cancelled"}
        return decision, decision.reason if isinstance(decision, Fail) else reasons[type(decision)]

    def _end_attempt(self, job: Job, it: Settlement, decision: Any, reason: str | None, worker: str) -> None:
        claim = it.claim
        if claim.attempt_id not in self.attempts:
            began = it.started_at if it.started_at is not None else it.finished_at
            self.attempts[claim.attempt_id] = Attempt(claim.attempt_id, job.id, claim.attempt, began, worker)
            if it.running is not None:
                at = it.started_at if it.started_at is not None else it.finished_at
                self.moves.append(Move("job.started", job.id, at, "pending", "running", claim.attempt, by=worker))
        row = self.attempts[claim.attempt_id]
        row.outcome, row.decision = it.outcome, type(decision).__name__.lower()
        row.exit_code, row.finished_at, row.duration_ms = it.exit_code, it.finished_at, it.duration_ms
        row.error = it.error.kind if it.error else None
        if isinstance(decision, Cancel) and row.error is None:
            row.error = reason
        row.cpu_ms, row.log_bytes = it.usage.cpu_user_ms + it.usage.cpu_system_ms, it.log_bytes
        row.next_attempt_at = decision.at if isinstance(decision, (Retry, Snooze)) else None
        row.pid = it.running.pid if it.running else row.pid

    def _move(self, job: Job, decision: Any, it: Settlement) -> None:
        self._lets_go(job)
        match decision:
            case Complete():
                job.status = "completed"
            case Fail():
                job.status = "failed"
            case Cancel():
                job.status = "cancelled"
            case Retry(at):
                job.status, job.run_at = "retrying", at
            case Snooze(at):
                job.status, job.run_at = "scheduled", at
                job.snoozes += 1
            case Release():
                job.status = "pending"
                # Given back untouched is no interruption of anything.
                job.interruptions += it.started_at is not None
        job.finished_at = it.finished_at if job.finished else None
        if not job.finished and job.until == "pending" and job.key is not None:
            job.holds = True

    def _lets_go(self, job: Job) -> None:
        job.holder = job.token = None

    def _let_go_at_end(self, job: Job) -> None:
        if job.finished and isinstance(job.until, str):
            job.holds = False

    def _give_up(self, job: Job, type_: str, reason: str, by: str | None, now: int, was: str | None = None) -> None:
        """End a job without an attempt."""
        self.moves.append(Move(type_, job.id, now, was or job.status, "cancelled", final=True, by=by, reason=reason))
        job.status, job.finished_at, job.reason, job.error = "cancelled", now, reason, reason
        self._let_go_at_end(job)
        self._count(job, now, "cancelled", 0)

    # -- 10: workers that die

    def take_over(self, claim: Claim, dead: int, by: int) -> bool:
        """Rescue is a claim: the token stays, the right moves to another worker, once."""
        job = self.live(claim, dead)
        if job is None:
            return False
        job.holder, job.worker, job.own = by, self.workers[by], None
        return True

    def lose_runner(self, worker_id: int, now: int) -> None:
        """A `kiribi run` died: workers go on with a definition, but nobody knows the surroundings of its command."""
        for job in self.jobs.values():
            if job.own != worker_id or job.status not in WAITING:
                continue
            if job.adhoc:
                self._give_up(job, "job.cancelled", "worker_lost", None, now)
            else:
                job.own = None

    def held_by(self, worker_id: int) -> list[Job]:
        mine = [job for job in self.jobs.values() if job.status == "running" and job.holder == worker_id]
        return sorted(mine, key=lambda job: job.token or 0)

    # -- what people do: each id is changed (True) or refused (False), by itself

    def cancel(self, job_id: int, by: str, signal: str | None, now: int) -> bool:
        job = self.jobs.get(job_id)
        if job is None or job.finished:
            return False
        if job.status != "running":
            self._give_up(job, "job.cancelled", "cancelled", by, now)
        else:
            # Who asked first is remembered; a harsher signal counts.
            job.cancel_at = now if job.cancel_at is None else job.cancel_at
            job.cancel_by = by if job.cancel_by is None else job.cancel_by
            job.cancel_signal = signal or job.cancel_signal
        return True

    def retry(self, job_id: int, by: str, *, force: bool, more: int | None, run_at: int, now: int) -> bool:
        job = self.jobs.get(job_id)
        if (
            job is None
            or job.status in ("scheduled", "pending", "running")
            or (job.status == "completed" and not force)
        ):
            return False
        was, later = job.status, run_at > now
        if was != "retrying":
            if job.key is not None and isinstance(job.until, str):
                if self.holder_at(job, now) is not None:
                    return False
                job.holds = True
            granted = more if more is not None else job.original_attempts or job.max_attempts
            job.original_attempts = job.original_attempts or job.max_attempts
            job.max_attempts = max(job.attempts + granted, 1)
            job.snoozes = job.interruptions = 0
            job.finished_at = job.expires_at = job.reason = None
            job.cancel_at = job.cancel_by = job.cancel_signal = job.own = None
        job.status, job.run_at = ("retrying" if was == "retrying" else "scheduled") if later else "pending", run_at
        self.moves.append(Move("job.retrying", job.id, now, was, job.status, by=by))
        return True

    def edit(self, job_id: int, new: Edit, key: str | None, by: str, now: int) -> bool:
        job = self.jobs.get(job_id)
        if job is None or job.status not in WAITING:
            return False
        if key is not None and key != job.key:
            like = Job(0, job.name, "", 0, (), None, 0, 0, "", key=key)
            if self.holder_at(like, now) is not None:
                return False
            job.key, job.holds = key, True
        was = job.status
        for name in ("payload", "queue", "priority", "max_attempts", "tags", "run_at"):
            if getattr(new, name) is not None:
                setattr(job, name, getattr(new, name))
        if new.expires_at is not None:
            job.expires_at = new.expires_at or None
        if new.run_at is not None:
            # A retry stays a retry until it is due.
            job.status = "pending" if new.run_at <= now else "retrying" if was == "retrying" else "scheduled"
        self.moves.append(Move("job.edited", job.id, now, was, job.status, by=by))
        return True

    def delete(self, job_id: int, by: str, now: int) -> set[int] | None:
        """Forget a finished job; answers its attempts, None if it is refused."""
        job = self.jobs.get(job_id)
        if job is None or not job.finished:
            return None
        self.moves.append(Move("job.deleted", job.id, now, job.status, None, by=by))
        return self._forget(job)

    def _forget(self, job: Job) -> set[int]:
        mine = {one.id for one in self.attempts.values() if one.job_id == job.id}
        for attempt_id in mine:
            del self.attempts[attempt_id]
        del self.jobs[job.id]
        return mine

    # -- 12: history

    def sweep(self, rule: Retention, now: int) -> tuple[Counter[str], set[int]]:
        """Forget what is old enough, but for the newest of each name and for periods that last."""
        ages = {"completed": rule.completed_ms, "failed": rule.failed_ms, "cancelled": rule.cancelled_ms}
        by_name: dict[str, list[Job]] = defaultdict(list)
        for job in sorted(self.jobs.values(), key=lambda one: -one.id):
            if job.finished:
                by_name[job.name].append(job)
        gone: list[Job] = []
        for jobs in by_name.values():
            for job in jobs[rule.keep_last :]:
                age = ages[job.status]
                lasting = job.holds and isinstance(job.until, int) and job.until > now
                if age is not None and job.finished_at is not None and job.finished_at <= now - age and not lasting:
                    gone.append(job)
        return Counter(job.status for job in gone), {id_ for job in gone for id_ in self._forget(job)}

    def _count(
        self, job: Job, at: int, word: str | None, attempts: int, *, duration: int | None = None, wait: int | None = None,
        cpu: int = 0, rss: int = 0, fingerprint: str | None = None,
    ) -> None:  # fmt: skip
        """Statistics: one row for each job, tag and error, per queue and hour; nothing that is swept leaves them."""
        keys = [("job", job.name), *(("tag", tag) for tag in job.tags)]
        hour = at - at % HOUR
        for dimension, key in keys:
            for measure, value in (("duration", duration), ("wait", wait)):
                if value is not None:
                    self.times[dimension, key, job.queue, hour, measure, bucket(value)] += 1
        if fingerprint is not None:
            keys.append(("error", fingerprint))
        for dimension, key in keys:
            row = dimension, key, job.queue, hour
            self.stats[*row, "rows"] = 1
            for column, value in (
                (word, 1), ("attempts", attempts), ("duration_ms_sum", duration), ("wait_ms_sum", wait), ("cpu_ms_sum", cpu)
            ):  # fmt: skip
                if column is not None and value:
                    self.stats[*row, column] += value
            for column, value in (("duration_ms_max", duration), ("wait_ms_max", wait), ("max_rss_bytes", rss)):
                if value:
                    self.stats[*row, column] = max(self.stats[*row, column], value)

    # -- what people are told

    def count_of(self, statuses: Iterable[str], now: int) -> int:
        return sum(job.shown(now) in set(statuses) for job in self.jobs.values())

    def why(self, job: Job) -> str:
        """The code of `kiribi why` for what does not wait for a worker."""
        if job.status == "running":
            return "cancel_requested" if job.cancel_at is not None else "running"
        if job.status == "scheduled":
            mine = [one for one in self.attempts.values() if one.job_id == job.id]
            snoozed = mine and max(mine, key=lambda one: one.id).outcome == "snoozed"
            return "snoozed" if snoozed else "scheduled"
        return "backoff" if job.status == "retrying" else str(job.reason)


def lane_of(job: Job) -> str:
    """What it waits with for the same limits: its definition, or '' for a command that has none."""
    if job.own is not None:
        return f"run:{job.own}"
    return "" if job.adhoc else job.name
