"""The loop of a worker: which attempts ended, which slots are free, one transaction for both, and its duties.

Read `step` from top to bottom: that is all a worker does. What becomes of a job is decided in core/settle.py.
"""

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from signal import Signals as Signal
from typing import Literal, assert_never

from kiribi_cli import __version__, clock
from kiribi_cli.core.durations import spell_size
from kiribi_cli.core.job import Event
from kiribi_cli.core.outcome import Ended, WorkerLost
from kiribi_cli.core.settle import Fail
from kiribi_cli.errors import KiribiError
from kiribi_cli.runner.hands import Hands, HandsLost
from kiribi_cli.runner.launch import Launch, Place, Progressed, Report, Returned, Started
from kiribi_cli.runner.prepare import prepare
from kiribi_cli.store.base import Claim, Held, NewWorker, Running, Settlement, Store, Want
from kiribi_cli.worker.attempts import running, settlement, work_of
from kiribi_cli.worker.definitions import Definitions
from kiribi_cli.worker.journal import Journal
from kiribi_cli.worker.rescue import Rescue
from kiribi_cli.worker.signals import Signals
from kiribi_cli.worker.slots import Busy, Slots
from kiribi_cli.worker.sweeper import Sweeper
from kiribi_cli.worker.wake import Wake, Waking

# Which process an attempt is gets written with whatever else is written; alone, only after this long.
BEGAN_PATIENCE = 0.1
# After a transaction that failed (disk full, database busy): seconds until it is tried again.
STORE_PATIENCE = 1.0

# New hands are started so many seconds after the last ones at the earliest.
HANDS_PAUSE = 1.0
# Ends wait so long for company at most, and only while jobs claimed ahead keep every slot busy.
GATHER_S = 0.005
# What was claimed ahead is given back when nothing has ended for so long (seconds).
STUCK_AFTER = 0.2

Phase = Literal["running", "draining", "stopping"]


@dataclass(frozen=True, slots=True)
class Setup:
    """How this worker was asked to work. Milliseconds; None: no such limit, or what jobs.toml says."""

    identity: NewWorker
    logs_dir: str
    run_dir: str
    # The command line that sweeps; none: this worker never does.
    sweep_argv: tuple[str, ...] = ()
    timezone: str = "UTC"
    drain: bool = False
    max_jobs: int | None = None
    max_time_ms: int | None = None
    idle_exit_ms: int | None = None
    drain_timeout_ms: int | None = None
    slots: int | None = None


class Worker:
    """One worker: its connection, its hands, its slots."""

    def __init__(
        self, store: Store, definitions: Definitions, place: Place, setup: Setup, journal: Journal, signals: Signals
    ) -> None:
        self.store = store
        self.definitions = definitions
        self.place = place
        self.setup = setup
        self.journal = journal
        self.signals = signals
        self.slots = Slots(setup.identity.slots, setup.identity.queues)
        self.wake = Wake()
        self.phase: Phase = "running"
        self.failed_for_good = False
        self.worker_id = 0
        self._claimed = 0
        self._stops_seen = 0
        self._began: dict[int, Running] = {}
        self._began_since = 0.0
        self._progress: dict[int, str] = {}
        self._settlements: list[Settlement] = []
        self._returned: list[Claim] = []
        self._may_claim = True
        self._low_disk = False
        self._asked_to_cancel: set[int] = set()
        self._quiet_until = 0.0
        self._next_look = 0.0
        self._next_beat = 0.0
        self._next_due: int | None = None
        self._settled_since = 0.0
        self._begun_at = self._busy_at = self._ended_at = clock.monotonic()
        self._drain_until: float | None = None

    # -- a worker's life

    def run(self) -> bool:
        """Work until told to stop, or until there is nothing left to do; true if no job failed for good."""
        self.begin()
        try:
            while not self.finished():
                self.step(self.patience())
        finally:
            self.end()
        return not self.failed_for_good

    def begin(self) -> None:
        now = clock.now_ms()
        self.worker_id = self.store.register(self.setup.identity, now=now)
        self.bell = self.store.listen(self.worker_id)
        self.hands = self._start_hands()
        self.rescue = Rescue(
            self.store,
            self.worker_id,
            self.definitions.rules,
            run_dir=self.setup.run_dir,
            db_path=self.place.db_path,
        )
        self.sweeper = Sweeper(self.setup.sweep_argv, self.setup.run_dir)
        for waking in (self.bell, self.signals):
            self.wake.add(waking)
        known = len(self.definitions.config.definitions)
        self.journal.happened(
            Event(0, now, "worker.started", by=self.setup.identity.name),
            f"kiribi {__version__}  worker {self.setup.identity.name}  db {self.store.path}  {known} definitions",
        )
        self.journal.flush()

    def _start_hands(self) -> Hands:
        self._hands_since = clock.monotonic()
        hands = Hands.start(
            logs_dir=self.setup.logs_dir, run_dir=self.setup.run_dir, db_path=self.place.db_path, slots=self.slots.size
        )
        self.wake.add(hands)
        return hands

    def end(self) -> None:
        """Let go of everything. What still runs (after an error of our own) is then as a dead worker's."""
        self.hands.close()
        self.rescue.close()
        if not self.store.held_by(self.worker_id):
            now = clock.now_ms()
            self.store.deregister(self.worker_id, now=now)
            event = Event(0, now, "worker.stopped", by=self.setup.identity.name)
            self.journal.happened(event, f"worker {self.setup.identity.name} stopped")
        self.bell.close()
        self.journal.flush()

    # -- one turn

    def step(self, seconds: float) -> None:
        """Sleep until something stirs, take in what ended, write it together with new claims, start those."""
        stirred = self.wake.wait(seconds)
        rang = self._hush(stirred)
        self._mind_signals()
        for hands in self._all_hands(stirred):
            self._take_reports(hands)
        if rang or clock.monotonic() >= self._next_look:
            self._look_around()
        self._mind_limits()
        self._settle_lost()
        self._write()
        self.journal.flush()

    def patience(self) -> float:
        """Seconds that the next step may sleep."""
        now = clock.monotonic()
        if now >= self._quiet_until and (self._settlements or self._returned):
            return max(0.0, self._gather_until() - now)
        if self._may_claim and self._want() is not None and now >= self._quiet_until:
            return 0.0
        waits = [self._next_look - now, self.rescue.patience()]
        if self._began or self._progress:
            waits.append(self._began_since + BEGAN_PATIENCE - now)
        if self._drain_until is not None:
            waits.append(self._drain_until - now)
        if self._next_due is not None and self._want() is not None:
            waits.append((self._next_due - clock.now_ms()) / 1000)
        if self._settlements:
            waits.append(self._quiet_until - now)
        return max(0.0, min(waits))

    def finished(self) -> bool:
        """Whether the loop is over: nothing runs, nothing is left to write, and there is a reason to go."""
        if self.slots.busy or self._settlements or self._returned or self.rescue.busy():
            return False
        if self.phase != "running":
            return True
        return self.setup.drain and not self._may_claim and not self.store.dead_workers()

    def _hush(self, stirred: Iterable[Waking]) -> bool:
        rang = False
        for thing in stirred:
            if thing is self.bell:
                self.bell.clear()
                self._may_claim = rang = True
            elif thing is self.signals:
                self.signals.clear()
        return rang

    def _all_hands(self, stirred: Iterable[Waking]) -> list[Hands]:
        return [thing for thing in stirred if isinstance(thing, Hands)]

    # -- what is reported

    def _take_reports(self, hands: Hands) -> None:
        try:
            reports = hands.reports()
        except HandsLost:
            self._hands_lost(hands)
            return
        now = clock.now_ms()
        for report in reports:
            self._note(report, now)

    def _note(self, report: Report, now: int) -> None:
        match report:
            case Started(attempt_id):
                if busy := self.slots.busy.get(attempt_id):
                    busy.started = report
                    self._remember(running(report, busy.launch))
            case Progressed(attempt_id, text):
                self._remember_at()
                self._progress[attempt_id] = text
            case Returned(attempt_id):
                if busy := self.slots.pop(attempt_id):
                    self._returned.append(busy.claim)
            case Ended(attempt_id):
                if busy := self.slots.pop(attempt_id):
                    self.slots.note_duration(report.duration_ms)
                    self._ended_at = clock.monotonic()
                    self._settle(busy, report, now)
            case _:
                assert_never(report)

    def _remember(self, began: Running) -> None:
        self._remember_at()
        self._began[began.attempt_id] = began

    def _remember_at(self) -> None:
        if not self._began and not self._progress:
            self._began_since = clock.monotonic()

    def _settle(self, busy: Busy, ended: Ended, now: int) -> None:
        # If its beginning has not been written yet, both go into one row.
        began = self._began.pop(ended.attempt_id, None)
        self._progress.pop(ended.attempt_id, None)
        settled = settlement(busy.claim, ended, busy.rules, busy.options, now=now, dice=clock.dice(), began=began)
        if ended.result_note:
            self.journal.say(now, f"job {busy.claim.job_id}: {ended.result_note}")
        if not self._settlements:
            self._settled_since = clock.monotonic()
        self._settlements.append(settled)
        self._may_claim = True

    def _hands_lost(self, hands: Hands) -> None:
        """Our hands were killed: what they ran is ended and settled as after any worker's death, by new hands."""
        self.wake.remove(hands)
        hands.close()
        held = [
            Held(
                busy.claim,
                began.pid if began else None,
                began.process if began else None,
                clock.now_ms(),
                self.worker_id,
            )
            for busy in self.slots.busy.values()
            if busy.hands is hands
            for began in [running(busy.started, busy.launch) if busy.started else None]
        ]
        for one in held:
            self.slots.pop(one.claim.attempt_id)
        self.journal.say(clock.now_ms(), f"the launcher died; {len(held)} attempts are lost with it")
        self.rescue.lose(held)
        with suppress(FileNotFoundError):
            os.unlink(hands.path)  # noqa: PTH108  (no pathlib here: memory)
        if hands is self.hands:
            # Hands that die at once will do so again; the machine needs its breath for whoever mends it.
            clock.sleep(max(0.0, HANDS_PAUSE - (clock.monotonic() - self._hands_since)))
            self.hands = self._start_hands()

    # -- writing

    def _write(self) -> None:
        """One transaction for all that ended and all that can start; nothing is forgotten until it is stored."""
        if clock.monotonic() < max(self._quiet_until, self._gather_until()):
            return
        if self._next_due is not None and clock.now_ms() >= self._next_due:
            self._may_claim = True
        want = self._want() if self._may_claim else None
        patient = clock.monotonic() - self._began_since < BEGAN_PATIENCE
        if want is None and not self._settlements and not self._returned and (patient or not self._began_or_progress()):
            return
        now = clock.now_ms()
        try:
            turn = self.store.turn(
                self.worker_id,
                now=now,
                want=want,
                began=list(self._began.values()),
                settlements=self._settlements,
                progress=list(self._progress.items()),
                returned=self._returned,
            )
        except KiribiError as error:
            self._quiet_until = clock.monotonic() + STORE_PATIENCE
            self.journal.say(now, f"cannot write, trying again: {error.message}")
            return
        self._written(turn.lost, now)
        if want is not None:
            self._may_claim = turn.more
            self._next_due = None if turn.claims else self.store.next_due()
        self._start(turn.claims, now)

    def _gather_until(self) -> float:
        """While the hands have enough to do, ends are gathered for a moment: one fsync for all of them."""
        if not self._settlements or self._returned or len(self.slots.busy) < self.slots.size * 2:
            return 0.0
        return self._settled_since + GATHER_S

    def _began_or_progress(self) -> bool:
        return bool(self._began or self._progress)

    def _written(self, lost: Iterable[Settlement], now: int) -> None:
        refused = {id(one) for one in lost}
        for one in lost:
            self.journal.say(now, f"job {one.claim.job_id}: its claim was lost, what this worker knows is refused")
        settled = [one for one in self._settlements if id(one) not in refused]
        self.failed_for_good = self.failed_for_good or any(isinstance(one.decision, Fail) for one in settled)
        self.journal.settled(settled, now)
        self._tell_settled()
        self._settlements = []
        self._began = {}
        self._progress = {}
        self._returned = []

    def _tell_settled(self) -> None:
        """The hands keep the end of an adoptable attempt until it is stored."""
        for settled in self._settlements:
            if self.definitions.rules(settled.claim).on_worker_death == "adopt":
                for hands in {self.hands, *self.rescue.attached}:
                    hands.settled([settled.claim.attempt_id])

    def _timezone(self) -> str:
        return self.definitions.config.timezone or self.setup.timezone

    def _want(self) -> Want | None:
        """What can be claimed now; None when this worker takes nothing."""
        slots = self.slots.free()
        if self.phase != "running" or self._low_disk or slots == 0:
            return None
        if self.setup.max_jobs is not None:
            slots = min(slots, self.setup.max_jobs - self._claimed)
            if slots <= 0:
                return None
        return Want(
            slots=slots,
            lanes=self.definitions.lanes,
            queues=self.slots.free_by_queue(),
            queue_concurrency=self.definitions.queue_concurrency,
            lane_concurrency=self.definitions.lane_concurrency,
        )

    def _start(self, claims: Iterable[Claim], now: int) -> None:
        launches: list[Launch] = []
        for claim in claims:
            self._claimed += 1
            self._busy_at = clock.monotonic()
            rules, options = self.definitions.of(claim)
            busy = Busy(claim, rules, options, None, self.hands)
            prepared = prepare(rules, work_of(claim, options, self._timezone()), self.place)
            if isinstance(prepared, Ended):
                self._settle(busy, prepared, now)
                continue
            busy.launch = prepared
            self.slots.add(busy)
            launches.append(prepared)
        self.journal.started([*claims], now)
        if launches:
            self.hands.start_many(launches)

    # -- being told, and looking around

    def _mind_signals(self) -> None:
        if self.signals.take_reload():
            self._reload()
        while self._stops_seen < self.signals.stops:
            self._stops_seen += 1
            if self.phase == "running":
                self.stop_claiming()
            elif self.phase == "draining":
                self.stop_jobs()
            else:
                self.stop_jobs(kill_after_ms=0)

    def stop_claiming(self, *, patience_ms: int | None = None) -> None:
        """Take nothing new; running jobs may end for the drain timeout, or `patience_ms`, or (-1) for ever."""
        if self.phase != "running":
            return
        self.phase = "draining"
        self.hands.recall()
        usual = self.setup.drain_timeout_ms
        limit = patience_ms if patience_ms is not None else usual
        if limit is None:
            limit = self.definitions.config.worker.drain_timeout_ms
        self._drain_until = None if limit < 0 else clock.monotonic() + limit / 1000
        busy = len(self.slots.busy)
        if busy:
            waiting = f", waiting up to {limit / 1000:g}s; Ctrl-C again stops them" if limit >= 0 else ""
            self.journal.say(clock.now_ms(), f"stopping: {busy} running{waiting}")
        self._beat(state="draining")

    def stop_jobs(self, *, kill_after_ms: int | None = None) -> None:
        """End what runs and put it back: stop signal, kill_after, SIGKILL (0: at once)."""
        self.stop_claiming()
        first = self.phase != "stopping"
        self.phase = "stopping"
        self._drain_until = None
        for attempt_id, busy in self.slots.busy.items():
            busy.hands.stop(attempt_id, "interrupt", kill_after_ms=kill_after_ms)
        if first and self.slots.busy:
            self.journal.say(clock.now_ms(), f"stopping {len(self.slots.busy)} running jobs; they are put back")
        self._beat(state="stopping")

    def _mind_limits(self) -> None:
        now = clock.monotonic()
        if self._drain_until is not None and now >= self._drain_until:
            self.stop_jobs()
        if self.phase != "running":
            return
        if self.slots.busy:
            self._busy_at = now
        limits = (
            (self.setup.max_jobs, self._claimed),
            (self.setup.max_time_ms, (now - self._begun_at) * 1000),
            (self.setup.idle_exit_ms, (now - self._busy_at) * 1000),
        )
        if any(limit is not None and reached >= limit for limit, reached in limits):
            self.stop_claiming(patience_ms=-1)

    def _look_around(self) -> None:
        """Once a poll, and when the bell rang: what people ask, what changed on disk, who died."""
        now = clock.monotonic()
        if now < self._next_look:
            self._asked()
            return
        self._next_look = now + self.definitions.config.worker.poll_ms / 1000
        if self.store.changed():
            self._may_claim = True
        self._asked()
        if self.definitions.changed():
            self._reload()
        self._look_at_disk()
        self._return_the_stuck(now)
        self._adopt()
        if self.phase == "running":
            self.sweeper.step(clock.now_ms())
        if now >= self._next_beat:
            self._beat(state=self.phase)

    def _asked(self) -> None:
        for request in self.store.cancel_requests(self.worker_id):
            busy = self.slots.busy.get(request.attempt_id)
            if busy and request.attempt_id not in self._asked_to_cancel:
                self._asked_to_cancel.add(request.attempt_id)
                number = None if request.signal is None else Signal[request.signal]
                at_once = 0 if number is Signal.SIGKILL else None
                busy.hands.stop(request.attempt_id, "cancel", request.by, number, at_once)
        self._asked_to_cancel &= set(self.slots.busy)
        match self.store.stop_requested(self.worker_id):
            case "drain":
                self.stop_claiming()
            case "now":
                self.stop_claiming()
                if self.phase == "draining":
                    self.stop_jobs()
            case None:
                return

    def _reload(self) -> None:
        now = clock.now_ms()
        who = self.setup.identity.name
        if self.definitions.reload():
            self.place.known.clear()
            known = len(self.definitions.config.definitions)
            self._tell("config.loaded", now, who, f"read jobs.toml again: {known} definitions")
            self._may_claim = True
        else:
            self._tell(
                "config.invalid", now, who, f"jobs.toml is broken, the old one stays in force: {self.definitions.error}"
            )
        self._beat(state=self.phase)

    def _tell(self, type_: str, now: int, who: str, sentence: str) -> None:
        self.store.record(type_, now=now, by=who, reason=self.definitions.error)
        self.journal.happened(Event(0, now, type_, by=who, reason=self.definitions.error), sentence)

    # -- duties

    def _beat(self, *, state: str) -> None:
        self._next_beat = clock.monotonic() + self.definitions.config.worker.lease_ms / 3000
        try:
            self.store.heartbeat(
                self.worker_id,
                state=state,
                now=clock.now_ms(),
                low_disk=self._low_disk,
                config_error=self.definitions.error,
            )
        except KiribiError:  # busy or full: the lock proves that we live, and the next beat comes
            self._next_beat = clock.monotonic() + STORE_PATIENCE

    def _look_at_disk(self) -> None:
        """Claim nothing while the disk is nearly full; say so once."""
        least = self.definitions.config.worker.min_free
        free = free_bytes(self.store.path)
        if (free < least) is self._low_disk:
            return
        self._low_disk = free < least
        self._may_claim = not self._low_disk
        low = f"less than {spell_size(least)} free: nothing is claimed until there is more"
        self.journal.say(clock.now_ms(), low if self._low_disk else "enough disk is free again")
        self._beat(state=self.phase)

    def _return_the_stuck(self, now: float) -> None:
        """Give back what was claimed ahead and waits behind a job that turned out to be long."""
        waiting = len(self.slots.busy) > self.slots.size
        if waiting and now - self._ended_at > STUCK_AFTER:
            self.slots.note_duration(STUCK_AFTER * 1000)
            self.hands.recall()

    def _adopt(self) -> None:
        """Take over what dead workers held; what was to live on goes on here, beyond the slots if need be."""
        now = clock.now_ms()
        for one in self.rescue.look():
            if one.hands not in self.wake:
                self.wake.add(one.hands)
            self.slots.add(Busy(one.claim, *self.definitions.of(one.claim), None, one.hands))
            self.journal.say(now, f"job {one.claim.job_id} goes on here: its worker died")
            for report in one.early:
                self._note(report, now)

    def _settle_lost(self) -> None:
        """Settle the attempts that died with their worker, once nothing of them is left."""
        now = clock.now_ms()
        for claim in self.rescue.gone():
            busy = Busy(claim, *self.definitions.of(claim), None, self.hands)
            self._settle(busy, Ended(claim.attempt_id, WorkerLost()), now)


def free_bytes(path: str) -> int:
    """Bytes that we may still write beside this file; a file system that does not tell has enough."""
    try:
        status = os.statvfs(os.path.dirname(path) or ".")  # noqa: PTH120  (once a second for ever)
    except OSError:
        return sys.maxsize
    return status.f_bavail * status.f_frsize
