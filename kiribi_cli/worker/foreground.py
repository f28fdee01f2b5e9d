"""`kiribi run`: one job, here and now, in the foreground, without a worker; recorded like any other.

The process holds a worker's lock while it lives, so that what it held is rescued if it is killed. What becomes of
the job is decided in core/settle.py; between attempts it waits here.
"""

import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from select import select
from typing import Literal, Protocol, assert_never

from kiribi_cli import clock
from kiribi_cli.core.definition import Definition
from kiribi_cli.core.job import NewJob, Options
from kiribi_cli.core.options import options_from
from kiribi_cli.core.outcome import Ended, NeverStarted, WorkerLost
from kiribi_cli.core.records import dataclass
from kiribi_cli.core.settle import Cancel, Complete, Fail, Release, Retry, Snooze
from kiribi_cli.errors import KiribiError
from kiribi_cli.runner.hands import Hands, HandsLost, remove_files
from kiribi_cli.runner.launch import Lost, Place, Progressed, Returned, Started
from kiribi_cli.runner.prepare import prepare
from kiribi_cli.runner.process import end_leftovers
from kiribi_cli.runner.remains import bury, end_hands, kept
from kiribi_cli.store.base import Claim, Running, Settlement, Store
from kiribi_cli.store.connect import BUSY_S
from kiribi_cli.worker.attempts import began_and_ended, rules_of, running, settlement, work_of
from kiribi_cli.worker.outage import WRITER_PATIENCE
from kiribi_cli.worker.signals import Signals

# Between two looks at whether somebody cancelled the job, or freed the key that we wait for.
POLL_S = 0.5
# Who cancelled a job whose output nobody reads any more.
UNHEARD = "closed output"
# How long the end of a job is tried to be stored, and between two tries (seconds): somebody waits for its exit code.
RECORD_S = 60.0
PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Busy:
    """The unique key is held by job `holder`."""

    holder: int


@dataclass(frozen=True, slots=True)
class Ran:
    """How it ended: the last settlement, how many attempts it took, how long they took in all (milliseconds).

    `signal`: the one that this process received and passed on, None for none. `attempt_ids` name the logs.
    """

    last: Settlement
    ended: Ended
    attempt_ids: tuple[int, ...]
    total_ms: int
    signal: int | None


class Ledger(Protocol):
    """Where claims come from and settlements go."""

    def begin(self, job: NewJob, now: int) -> Claim | Busy: ...
    def again(self, claim: Claim, now: int) -> Claim | None: ...
    def began(self, began: Running, now: int) -> bool: ...
    def settle(self, settled: Settlement, now: int, enough: Callable[[], bool]) -> bool: ...
    def cancelled_by(self, claim: Claim) -> str | None: ...
    def give_up(self, claim: Claim, now: int) -> None: ...


class Recorded:
    """The history: claims and settlements of a store.

    A store that cannot be written for a while (full disk, held lock) does not end a job that runs; its end is tried
    to be stored for RECORD_S. `warn` gets a sentence about what could not be stored.
    """

    def __init__(self, store: Store, worker_id: int, by: str, warn: Callable[[str], None]) -> None:
        self._store = store
        self._worker_id = worker_id
        self._by = by
        self._warn = warn

    def begin(self, job: NewJob, now: int) -> Claim | Busy:
        """Insert the job as running, in one transaction: no worker can take it from us."""
        found = self._store.start_here(self._worker_id, job, now=now)
        # From now on there is more to do than to wait for other writers.
        self._store.hurry(WRITER_PATIENCE)
        return found if isinstance(found, Claim) else Busy(found.id)

    def again(self, claim: Claim, now: int) -> Claim | None:
        self._store.hurry(BUSY_S)
        try:
            return self._store.claim_job(self._worker_id, claim.job_id, now=now)
        finally:
            self._store.hurry(WRITER_PATIENCE)

    def began(self, began: Running, now: int) -> bool:
        """Whether it is stored; if not, it goes with the end."""
        try:
            self._store.turn(self._worker_id, now=now, began=[began])
        except KiribiError:
            return False
        return True

    def settle(self, settled: Settlement, now: int, enough: Callable[[], bool]) -> bool:
        """Whether the end is stored; tried again and again, until somebody has waited `enough`."""
        what = f"how job {settled.claim.job_id} ended ({settled.outcome}) is not recorded"
        begun = clock.monotonic()
        said = False
        while True:
            try:
                lost = self._store.turn(self._worker_id, now=now, settlements=[settled]).lost
            except KiribiError as error:
                if error.final or enough() or clock.monotonic() - begun > RECORD_S:
                    self._warn(f"{what}: {error.message}; it will be taken for lost")
                    return False
                if not said:
                    self._warn(f"{what} yet: {error.message}; trying for {RECORD_S:g} s")
                    said = True
                clock.sleep(PAUSE_S)
            else:
                if lost:
                    self._warn(f"{what}: it was taken over meanwhile")
                return not lost

    def cancelled_by(self, claim: Claim) -> str | None:
        try:
            asked = self._store.cancel_requests(self._worker_id)
        except KiribiError:
            # Asked again in a moment.
            return None
        return next((request.by for request in asked if request.attempt_id == claim.attempt_id), None)

    def give_up(self, claim: Claim, now: int) -> None:
        self._store.cancel([claim.job_id], by=self._by, now=now)


class Unrecorded:
    """No database can be used: the job runs all the same, and nobody will know."""

    def __init__(self) -> None:
        self._attempts = 0

    def begin(self, job: NewJob, now: int) -> Claim:
        self._attempts += 1
        return Claim(
            attempt_id=self._attempts, job_id=0, job=job["job"], kind=job["kind"], adhoc=bool(job.get("adhoc")),
            queue="default", priority=0, tags=(), payload=job.get("payload"), options=job.get("options"),
            attempt=self._attempts, attempts=1, max_attempts=job.get("max_attempts", 1), snoozes=0,
            interruptions=0, run_at=now, created_at=now, first=self._attempts == 1, schedule=None, scheduled_for=None,
            flow=None, step=None,
        )  # fmt: skip

    def again(self, claim: Claim, now: int) -> Claim | None:  # noqa: ARG002  (no limit is looked at)
        self._attempts += 1
        spent = claim.attempts + (0 if self._refunded else 1)
        return claim._replace(
            attempt_id=self._attempts, attempt=self._attempts, attempts=spent, first=False,
            snoozes=claim.snoozes + int(self._refunded),
        )  # fmt: skip

    _refunded = False

    def settle(self, settled: Settlement, now: int, enough: Callable[[], bool]) -> bool:  # noqa: ARG002  (nowhere)
        self._refunded = isinstance(settled.decision, Snooze)
        return True

    def began(self, began: Running, now: int) -> bool:  # noqa: ARG002  (nobody will ask)
        return True

    def cancelled_by(self, claim: Claim) -> str | None:  # noqa: ARG002  (nobody can)
        return None

    def give_up(self, claim: Claim, now: int) -> None:
        """Nothing is waiting anywhere."""


class Foreground:
    """Runs one job to its end. `say` gets sentences for people about what is being waited for."""

    def __init__(
        self,
        ledger: Ledger,
        start: Callable[[], Hands],
        signals: Signals,
        definition: Definition,
        place: Place,
        *,
        timezone: str,
        say: Callable[[str], None],
        stdin: Literal["payload", "inherit"] = "payload",
    ) -> None:
        self._ledger = ledger
        self._start = start
        self._hands = start()
        self._signals = signals
        self._definition = definition
        self._place = place
        self._timezone = timezone
        self._say = say
        self._stdin = stdin
        self._attempts: list[int] = []
        self._total_ms = 0
        self._is_unheard = False

    def run(self, claim: Claim) -> Ran:
        """Attempt after attempt until the end; waits between them. A signal goes to the job, or ends the waiting."""
        options = options_from(claim.options)
        rules = rules_of(self._definition, options)
        while True:
            try:
                ended, began = self._attempt(claim, rules, options)
            except HandsLost:
                ended, began = self._lost(claim, rules), None
            # A signal that comes later is about our waiting, not about the job.
            heard = self._signals.last
            now = clock.now_ms()
            settled = settlement(claim, ended, rules, options, now=now, dice=clock.dice(), began=began)
            stored = self._ledger.settle(settled, now, partial(self._is_asked_again, self._signals.stops))
            # Hands keep the end of an adoptable attempt, and live on with it, until somebody says that it is stored.
            with suppress(HandsLost):
                self._hands.settled([claim.attempt_id])
            self._attempts.append(claim.attempt_id)
            self._total_ms += ended.duration_ms
            # What could not be stored can be claimed by nobody.
            again_at = _again_at(settled, now) if stored else None
            if again_at is None:
                return Ran(settled, ended, tuple(self._attempts), self._total_ms, heard)
            following = self._wait_for(again_at, settled, claim)
            if following is None:
                return Ran(settled, ended, tuple(self._attempts), self._total_ms, self._signals.last)
            claim = following

    def _lost(self, claim: Claim, rules: Definition) -> Ended:
        """Our hands were killed: end what is left of the attempt, and have new ones for the next."""
        end_hands([one for one in kept(self._hands.folder) if one.pid == self._hands.pid])
        number = signal.Signals[rules.stop_signal]
        end_leftovers(
            [claim.attempt_id], self._place.db_path, jobs=[claim.job_id], stop_signal=number,
            kill_after_ms=rules.kill_after_ms,
        )  # fmt: skip
        remove_files(self._hands.folder, [claim.attempt_id])
        bury(self._hands.folder)
        self._hands.close()
        self._hands = self._start()
        return Ended(claim.attempt_id, WorkerLost())

    def close(self) -> None:
        """Let go of our hands."""
        self._hands.close()

    def _is_asked_again(self, stops: int) -> bool:
        return self._signals.stops > stops

    def _attempt(self, claim: Claim, rules: Definition, options: Options) -> tuple[Ended, Running | None]:
        work = work_of(claim, options, self._timezone)._replace(stdin=self._stdin)
        prepared = prepare(rules, work, self._place)
        if isinstance(prepared, Ended):
            return prepared, None
        self._hands.start_many([prepared])
        began: Running | None = None
        unwritten: Running | None = None
        seen = 0
        while True:
            stirred = select([self._hands.fileno(), self._signals.fileno()], [], [], POLL_S)[0]
            self._signals.clear()
            for report in self._hands.reports():
                match report:
                    case Started():
                        began = unwritten = running(claim, report, prepared)
                    case Ended():
                        process = self._hands.unseen_process
                        return report, unwritten or began_and_ended(claim, report, process, prepared)
                    case Returned(_, why):
                        return Ended(claim.attempt_id, NeverStarted(f"this machine cannot start it now: {why}")), None
                    case Progressed() | Lost():
                        pass
                    case _:
                        assert_never(report)
            seen = self._pass_on(claim, seen)
            self._end_unheard(claim)
            if not stirred and unwritten is not None:
                # Short commands are written once, with their end.
                unwritten = None if self._ledger.began(unwritten, clock.now_ms()) else unwritten
            if not stirred and began is not None and (by := self._ledger.cancelled_by(claim)):
                self._hands.stop(claim.attempt_id, "cancel", by)

    def _pass_on(self, claim: Claim, seen: int) -> int:
        """Give the job the signals that came since; the third one is SIGKILL."""
        if self._signals.stops > seen:
            kill_after_ms = 0 if self._signals.stops > 2 else None
            self._hands.stop(claim.attempt_id, "cancel", "signal", self._signals.last, kill_after_ms)
        return self._signals.stops

    def _end_unheard(self, claim: Claim) -> None:
        """End a job that printed something when nobody read it any more: alone it would have got SIGPIPE."""
        if self._hands.is_unheard and not self._is_unheard:
            self._is_unheard = True
            self._signals.last = signal.SIGPIPE
            self._hands.stop(claim.attempt_id, "cancel", UNHEARD)

    def _wait_for(self, at: int, settled: Settlement, claim: Claim) -> Claim | None:
        """Sleep until the next attempt is due and claim it; None when a signal, or somebody else, ended the waiting."""
        wait_s = max(0.0, (at - clock.now_ms()) / 1000)
        why = settled.error.message if settled.error else "asked to be tried later"
        self._say(f"{claim.job} (job {claim.job_id}): {why}; again in {wait_s:.1f}s")
        until = clock.monotonic() + wait_s
        while (left := until - clock.monotonic()) > 0:
            if self._signals.stops:
                self._ledger.give_up(claim, clock.now_ms())
                return None
            select([self._signals], [], [], left)
            self._signals.clear()
        return self._ledger.again(claim, clock.now_ms())


def _again_at(settled: Settlement, now: int) -> int | None:
    match settled.decision:
        case Retry(at) | Snooze(at):
            return at
        case Release():
            return now
        case Complete() | Fail() | Cancel():
            return None
        case _:
            assert_never(settled.decision)
