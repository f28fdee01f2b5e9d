"""The loop of a worker. Read `step` from top to bottom: that is all a worker does.

What becomes of a job is decided in core/settle.py; what is in flight is in flight.py, how a worker ends in
stopping.py, what it does besides in duties.py, what it does for dead workers in rescue.py.
"""

from collections.abc import Iterable
from contextlib import suppress

from kiribi_cli import __version__, clock
from kiribi_cli.core.job import Event
from kiribi_cli.core.records import dataclass
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.runner.hands import Hands, HandsLost
from kiribi_cli.runner.launch import Place
from kiribi_cli.store.base import DeclaredLost, NewWorker, Store, Want
from kiribi_cli.store.connect import BUSY_S
from kiribi_cli.store.liveness import Liveness
from kiribi_cli.worker.definitions import Definitions
from kiribi_cli.worker.duties import Duties
from kiribi_cli.worker.flight import Flight
from kiribi_cli.worker.journal import Journal
from kiribi_cli.worker.outage import WRITER_PATIENCE, Outage
from kiribi_cli.worker.rescue import Rescue
from kiribi_cli.worker.signals import Signals
from kiribi_cli.worker.silence import beat_s
from kiribi_cli.worker.slots import Busy, Slots
from kiribi_cli.worker.stopping import Limits, Stopping
from kiribi_cli.worker.sweeper import Sweeper
from kiribi_cli.worker.wake import Wake, Waking

# New hands are started so many seconds after the last ones at the earliest.
HANDS_PAUSE = 1.0
# How long other writers are waited for with the last thing that a worker writes.
PARTING_S = 5.0


@dataclass(frozen=True, slots=True)
class Setup:
    """How this worker was asked to work. `drain_timeout_ms` None: what jobs.toml says."""

    identity: NewWorker
    logs_dir: str
    run_dir: str
    # The command line that sweeps; none: this worker never does.
    sweep_argv: tuple[str, ...] = ()
    drain: bool = False
    limits: Limits = Limits()
    drain_timeout_ms: int | None = None


class Worker:
    """One worker: its connection, its hands, its slots."""

    def __init__(
        self,
        store: Store,
        definitions: Definitions,
        place: Place,
        setup: Setup,
        journal: Journal,
        signals: Signals,
        lock: Liveness,
    ) -> None:
        self.store = store
        self.definitions = definitions
        self.place = place
        self.setup = setup
        self.journal = journal
        self.signals = signals
        self.lock = lock
        self.outage = Outage(journal)
        self._next_look = 0.0
        self._failed_for_good = False
        self._is_open = False

    # -- a worker's life

    def run(self) -> bool:
        """Work until told to stop, or until there is nothing left to do; true if no job failed for good."""
        self.begin()
        try:
            while not self.finished():
                try:
                    self.step(self.patience())
                except DeclaredLost:
                    self.begin_anew()
        finally:
            self.end()
        if unstored := [claim.job_id for claim in self.flight.unstored()]:
            raise _gave_up(unstored, self.store.path)
        return not (self._failed_for_good or self.flight.failed_for_good)

    def begin(self) -> None:
        """Register, listen, start the hands. The lock that proves us alive must be held already."""
        now = clock.now_ms()
        self.slots = Slots(self.setup.identity.slots, self.setup.identity.queues)
        self.wake = Wake()
        self.worker_id = self.store.register(self.setup.identity, now=now)
        self.bell = self.store.listen(self.worker_id)
        self.definitions.publish(self.store)
        # From now on there is more to do than to wait for other writers.
        self.store.hurry(WRITER_PATIENCE)
        common = self.definitions, self.place
        self.flight = Flight(self.store, self.worker_id, *common, self.slots, self.journal, self.outage)
        self.duties = Duties(self.store, self.worker_id, self.flight, *common, self.journal, self.outage)
        self.stopping = Stopping(
            self.flight, self.signals, self.setup.limits, self.journal,
            drain_timeout_ms=self._drain_timeout_ms, told=lambda: self.duties.beat(self.stopping),
        )  # fmt: skip
        self.rescue = Rescue(
            self.store,
            self.worker_id,
            self.definitions.rules,
            run_dir=self.setup.run_dir,
            db_path=self.place.db_path,
            config_path=self.setup.identity.config_path,
        )
        self.sweeper = Sweeper(self.setup.sweep_argv, self.setup.run_dir)
        self.hands = self._start_hands()
        self._is_open = True
        self._next_look = 0.0
        self.wake.add(self.bell)
        self.wake.add(self.signals)
        known = len(self.definitions.config.definitions)
        who = self.setup.identity.name
        self.journal.happened(
            Event(0, now, "worker.started", by=who),
            f"kiribi {__version__}  worker {who}  db {self.store.path}  {known} definitions",
        )
        self.journal.flush()

    def _drain_timeout_ms(self) -> int:
        asked = self.setup.drain_timeout_ms
        return self.definitions.config.worker.drain_timeout_ms if asked is None else asked

    def _start_hands(self) -> Hands:
        self._hands_since = clock.monotonic()
        hands = Hands.start(
            logs_dir=self.setup.logs_dir, run_dir=self.setup.run_dir, db_path=self.place.db_path, slots=self.slots.size
        )
        self.wake.add(hands)
        self.rescue.own = hands
        return hands

    def begin_anew(self) -> None:
        """We were silent for so long that others took us for lost: what we held is theirs; go on as a new worker.

        Whoever is brought back by fg, or by the end of a hang, is wanted; and nobody may be there to start another.
        """
        silent_s = clock.monotonic() - self.duties.beat_at
        who, held = self.setup.identity.name, [*self.slots.busy.values()]
        held_ids = [one.claim.job_id for one in held] + [claim.job_id for claim in self.flight.unstored()]
        now = clock.now_ms()
        sentence = (
            f"worker {who} was silent for {silent_s:.0f}s and was declared lost; taken over: {_jobs(len(held_ids))}"
        )
        self.journal.say(now, f"{sentence}; it goes on as a new worker")
        for job_id in held_ids:
            self.journal.say(now, f"job {job_id}: its claim was lost, what this worker knows is refused")
        self._failed_for_good = self._failed_for_good or self.flight.failed_for_good
        # Asked for while we heard nothing, it stands with who we were.
        is_stopping = self.stopping.phase != "running" or self.store.stop_requested(self.worker_id) is not None
        self._let_go()
        self.lock.renew()
        self.store.hurry(BUSY_S)
        self.begin()
        if is_stopping:
            self.stop_claiming()

    def _let_go(self) -> None:
        """Close everything that `begin` opened; a second time, nothing."""
        if not self._is_open:
            return
        self._is_open = False
        self.hands.close()
        self.rescue.close()
        self.sweeper.close()
        self.bell.close()
        self.duties.watch.close()
        self.wake.close()

    def end(self) -> None:
        """Let go of everything. What still runs (after an error of our own) is then as a dead worker's."""
        self._let_go()
        now = clock.now_ms()
        self.store.hurry(PARTING_S)
        # A database that cannot be written now learns of our end by the lock that we let go.
        with suppress(KiribiError):
            if not self.store.held_by(self.worker_id):
                self.store.deregister(self.worker_id, now=now)
        who = self.setup.identity.name
        self.journal.happened(Event(0, now, "worker.stopped", by=who), f"worker {who} stopped")
        self.journal.flush()

    # -- one turn

    def step(self, seconds: float) -> None:
        """Sleep until something stirs, take in what ended, write it together with new claims, start those."""
        if (pause := self.flight.gathers_for()) > 0:
            # Every report would wake us, and none of them would change what we do.
            clock.sleep(pause)
        stirred = self.wake.wait(0 if pause > 0 else seconds, self.duties.watch, self.duties.glance)
        rang = self._hush(stirred)
        self.duties.show_life(self.stopping)
        self.stopping.mind_signals(self.hands)
        for thing in stirred:
            if isinstance(thing, Hands):
                self._take_reports(thing)
        self._look(rang=rang)
        self.stopping.mind_time(self.hands)
        self.flight.settle_lost(self.rescue.gone(), self.hands)
        self.flight.write(self._want(), self.hands)
        self._let_go_of_stored()
        self.journal.flush()

    def patience(self) -> float:
        """Seconds that the next step may sleep."""
        look = max(0.0, self._next_look - clock.monotonic())
        return min(look, self.flight.patience(self._want()), self.stopping.patience(), self.rescue.patience())

    def finished(self) -> bool:
        """Whether the loop is over: nothing is in flight, and there is a reason to go."""
        if not self.slots.busy and not self.rescue.busy() and self.stopping.gives_up():
            return True
        if not self.flight.is_empty() or self.rescue.busy():
            return False
        if self.stopping.phase != "running":
            return True
        idle = self.setup.drain and not self.flight.may_claim and not self.sweeper.busy()
        return idle and not self.store.dead_workers()

    def stop_claiming(self) -> None:
        """Take nothing new, as after the first TERM."""
        self.stopping.stop_claiming(self.hands)

    def stop_jobs(self, *, kill_after_ms: int | None = None) -> None:
        """End what runs and put it back, as after the second TERM."""
        self.stopping.stop_jobs(self.hands, kill_after_ms=kill_after_ms)

    def _hush(self, stirred: Iterable[Waking]) -> bool:
        rang = False
        for thing in stirred:
            if thing is self.bell:
                self.bell.clear()
                self.flight.may_claim = rang = True
            elif thing is self.signals:
                self.signals.clear()
        return rang

    def _take_reports(self, hands: Hands) -> None:
        try:
            self.flight.note(self.rescue.sift(hands.reports()))
        except HandsLost:
            self._hands_lost(hands)

    def _hands_lost(self, hands: Hands) -> None:
        """Our hands were killed: what they ran is ended and settled as after any worker's death, by new hands."""
        self.wake.remove(hands)
        held = self.flight.give_up(hands)
        self.rescue.lose(held, hands)
        self.rescue.forget(hands)
        hands.close()
        self.journal.say(clock.now_ms(), f"the launcher died; lost with it: {_jobs(len(held))}")
        for line in hands.last_words.splitlines():
            self.journal.say(clock.now_ms(), f"  {line}")
        if hands is self.hands:
            # Hands that die at once will do so again; the machine needs its breath for whoever mends it.
            clock.sleep(max(0.0, HANDS_PAUSE - (clock.monotonic() - self._hands_since)))
            self.hands = self._start_hands()

    def _look(self, *, rang: bool) -> None:
        """Hear at once what somebody rang for; look at all else once a poll. What fails is tried at the next look."""
        is_time = clock.monotonic() >= self._next_look
        if is_time:
            known = self.definitions.config.worker
            # Who looks seldom must still show in time that it lives.
            self._next_look = clock.monotonic() + min(known.poll_ms / 1000, beat_s(known.lease_ms) / 2)
        try:
            if is_time:
                self._restore_run_folder()
            if self.signals.take_reload():
                self.duties.reload(self.stopping)
            if is_time:
                self.duties.look(self.stopping, self.hands)
                self._adopt()
            elif rang:
                self.duties.hear(self.stopping, self.hands)
        except KiribiError as error:
            self.outage.failed(error)
        if self.outage.lasts:
            # Whoever cannot be heard now may be in the same trouble.
            self.rescue.silence.forget()
        if is_time and self.stopping.phase == "running":
            self.sweeper.step(clock.now_ms())

    def _restore_run_folder(self) -> None:
        """Somebody may have tidied away what shows that we live, and where we are woken."""
        if not self.lock.is_missing():
            return
        # Whoever declared us lost has removed it, too: then there is nothing to restore.
        self.duties.beat(self.stopping)
        if self.lock.renew():
            self.journal.say(clock.now_ms(), f"the folder {self.setup.run_dir} was removed: it is made again")
            # What nobody can ring for is found by the poll.
            with suppress(OSError):
                if self.bell in self.wake:
                    self.wake.remove(self.bell)
                self.bell.close()
                self.bell = self.store.listen(self.worker_id)
                self.wake.add(self.bell)

    def _adopt(self) -> None:
        """Take over what dead workers held; what was to live on goes on here, beyond the slots if need be."""
        adopted = self.rescue.look(self.definitions.config.worker.lease_ms)
        for lost, seconds, held in self.rescue.declared:
            words = f"worker {lost.name} has been silent for {seconds:.0f}s and is declared lost"
            self.journal.say(clock.now_ms(), f"{words}; taken over: {_jobs(held)}")
        self.rescue.declared.clear()
        for hands in self.rescue.attached:
            if hands not in self.wake:
                self.wake.add(hands)
        for one in adopted:
            self.slots.add(Busy(one.claim, *self.definitions.of(one.claim), None, one.hands))
            self.journal.say(clock.now_ms(), f"job {one.claim.job_id} goes on here: its worker is gone")
            self.flight.note(one.early)

    def _let_go_of_stored(self) -> None:
        """Hands keep the end of an adoptable attempt until it is stored."""
        if self.flight.stored:
            for hands in (self.hands, *self.rescue.attached):
                with suppress(HandsLost):
                    hands.settled(self.flight.stored)
            self.flight.stored = []
        self._let_go_of_idle()

    def _let_go_of_idle(self) -> None:
        """Hands of dead workers end as soon as nothing of theirs is left."""
        for hands in list(self.rescue.attached):
            if not self.flight.needs(hands) and not self.rescue.waits_for(hands):
                self.wake.remove(hands)
                self.rescue.forget(hands)
                hands.close()

    def _want(self) -> Want | None:
        """What can be claimed now; None when this worker takes nothing."""
        slots = self.slots.free()
        most = self.setup.limits.jobs
        if most is not None:
            slots = min(slots, most - self.flight.claimed)
        if self.stopping.phase != "running" or self.duties.low_disk or slots <= 0 or self.duties.is_overdue():
            return None
        return Want(
            slots=slots,
            lanes=self.definitions.lanes,
            queues=self.slots.free_by_queue(),
            queue_concurrency=self.definitions.queue_concurrency,
            lane_concurrency=self.definitions.lane_concurrency,
        )


def _gave_up(jobs: list[int], path: str) -> KiribiError:
    named = ", ".join(map(str, jobs[:10]))
    sentence = f"stopped before the ends of {_jobs(len(jobs))} ({named}) could be written to {path}"
    return KiribiError(Code.STORE, sentence, hint="the next worker finds its worker lost, and tries such a job again")


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"
