"""What dead workers held: jobs that were to be adopted go on under us, all others are ended and settled as lost.

Rescue is a claim: attempts are taken over with their tokens and then settled like any other. An attempt is never
given up while a process of it lives on this host.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from kiribi_cli import clock
from kiribi_cli.core.definition import Definition
from kiribi_cli.core.outcome import Ended
from kiribi_cli.core.records import dataclass, field
from kiribi_cli.runner.disarm import disarm
from kiribi_cli.runner.hands import Hands, HandsLost, remove_files
from kiribi_cli.runner.launch import Lost, Report, Started
from kiribi_cli.runner.process import Crowd, Process, boot_id, kill_all, pid_namespace, send
from kiribi_cli.runner.remains import Kept, alone, bury, end_hands, kept
from kiribi_cli.store.base import Claim, Held, Store, Worker
from kiribi_cli.worker.silence import Silence

# Between two looks at what is still dying.
PAUSE = 0.05
# How long after the grace hands may take to end what they say they are ending; then they are ended themselves.
HOPELESS_S = 8.0
# Somebody who looks after the dead for so long has been stopped in the middle of it. Two at once do no harm but that
# what is to be adopted may be lost.
TURN_S = 10.0

RulesOf = Callable[[Claim], Definition]


@dataclass(slots=True)
class Dying:
    """A lost attempt and how long its processes have. `seen`: those that were found before, by pid and start ticks."""

    held: Held
    kill_at: float
    seen: set[tuple[int, int]]
    asked: bool = False


@dataclass(slots=True)
class Adopted:
    """An attempt that lives on: its claim is ours now, its hands report to us. `early` is what they said first."""

    claim: Claim
    hands: Hands
    early: list[Report] = field(default_factory=list)


class Rescue:
    """Look for dead workers and see to the end of what they held, without ever blocking for long."""

    def __init__(
        self,
        store: Store,
        worker_id: int,
        rules_of: RulesOf,
        *,
        run_dir: str,
        db_path: str | None,
        adopts: bool = True,
        config_path: str | None = None,
    ) -> None:
        self.silence = Silence(worker_id, config_path)
        # Silent workers that we have declared lost, for how many seconds they were silent, how many jobs they held.
        self.declared: list[tuple[Worker, float, int]] = []
        self._store = store
        self._worker_id = worker_id
        self._rules_of = rules_of
        self._run_dir = run_dir
        self._db_path = db_path
        self._dying: list[Dying] = []
        self.attached: list[Hands] = []
        # Those with which we run jobs ourselves.
        self.own: Hands | None = None
        # What attached hands said of attempts that we have not taken over: their worker may be the next one found dead.
        self._said: dict[int, tuple[Hands, list[Report]]] = {}
        # Lost attempts that attached hands are ending, and hands that have to end before anything is concluded.
        self._theirs: dict[int, Hands] = {}
        self._to_end: list[Kept] = []
        self._adopts = adopts
        self._is_first_look = True
        self._waits_since: float | None = None

    def look(self, lease_ms: int | None = None) -> list[Adopted]:
        """Take over what dead workers held; gives what is to be adopted, keeps the rest until it is gone.

        With `lease_ms` also what workers hold that have been silent for so long.
        """
        workers = self._store.workers()
        dead = [worker for worker in workers if not worker.alive]
        silent: list[tuple[Worker, float]] = []
        if lease_ms is not None:
            silent += self.silence.over(workers, lease_ms=lease_ms, now=clock.monotonic())
        if not dead:
            self._let_go()
        if not (dead or silent or self._is_first_look):
            return []
        with alone(self._run_dir) as is_alone:
            if not (is_alone or self._has_waited()):
                return []
            self._waits_since = None
            # Of those that died meanwhile nothing is known to others.
            adopted = self._take_from_dead(dead, workers)
            for worker, seconds in silent:
                adopted += self.take_from_silent(worker, seconds)
        return adopted

    def _has_waited(self) -> bool:
        now = clock.monotonic()
        self._waits_since = now if self._waits_since is None else self._waits_since
        return now - self._waits_since > TURN_S

    def _take_from_dead(self, dead: Sequence[Worker], workers: Sequence[Worker]) -> list[Adopted]:
        """Take over what dead workers held, once their hands can begin nothing any more."""
        adopted: list[Adopted] = []
        if not self._meet(dead, workers):
            return adopted
        for worker in dead:
            held = self._store.held_by(worker.id)
            if held:
                adopted += self._take_over(held)
            # Deregistered last: if we die in between, the next one finds it again.
            self._store.deregister(worker.id, now=clock.now_ms(), lost=True)
        self._is_first_look = False
        bury(self._run_dir)
        return adopted

    def _meet(self, dead: Sequence[Worker], workers: Sequence[Worker]) -> bool:
        """Attach to the hands of dead workers, and to those of whom nobody knows; false when some can not be ended."""
        theirs = {_brain(worker) for worker in dead}
        living = {_brain(worker) for worker in workers} - theirs

        def is_meant(one: Kept) -> bool:
            return one.brain in theirs or (one.brain not in living and not one.has_brain())

        taken = disarm(self._run_dir, is_meant, but=self._ours())
        for hands in taken or ():
            self._welcome(hands)
        return taken is not None

    def _ours(self) -> list[Hands]:
        return [*([self.own] if self.own else []), *self.attached]

    def take_from_silent(self, worker: Worker, seconds: float) -> list[Adopted]:
        """Take over what a worker holds that lives but is silent.

        Its hands go first: if we die in between, or it wakes up, it is as if they had been killed. Only then is it
        fenced, unless it has shown that it lives.
        """
        brain = _brain(worker)
        taken = disarm(self._run_dir, lambda one: one.brain == brain, but=self._ours(), lives=True)
        if taken is None:
            return []
        for hands in taken:
            self._welcome(hands)
        now = clock.now_ms()
        held = self._store.declare_lost(worker, by=self._worker_id, silent_ms=round(seconds * 1000), now=now)
        if held is None:
            return []
        self.declared.append((worker, seconds, len(held)))
        return self._part(held, {one.claim.attempt_id: one.claim for one in held})

    def _take_over(self, held: Sequence[Held]) -> list[Adopted]:
        claims = {
            claim.attempt_id: claim for claim in self._store.take_over(held, by=self._worker_id, now=clock.now_ms())
        }
        return self._part(held, claims)

    def _part(self, held: Sequence[Held], claims: Mapping[int, Claim]) -> list[Adopted]:
        """Give what goes on in hands that talk to us, and see to the end of the rest."""
        early = {
            attempt_id: self._said.pop(attempt_id)
            for attempt_id in claims
            if attempt_id in self._said and (self._adopts or _has_ended(self._said[attempt_id][1]))
        }
        self.lose([one for one in held if one.claim.attempt_id in claims and one.claim.attempt_id not in early])
        return [Adopted(claims[attempt_id], hands, reports) for attempt_id, (hands, reports) in early.items()]

    def _welcome(self, hands: Hands) -> None:
        self.attached.append(hands)
        for report in _greeting(hands):
            if isinstance(report, Started | Ended):
                self._said.setdefault(report.attempt_id, (hands, []))[1].append(report)
            elif isinstance(report, Lost) and not report.is_over:
                self._theirs[report.attempt_id] = hands

    def sift(self, reports: Iterable[Report]) -> list[Report]:
        """Give what is about attempts in flight; the rest is kept for when their worker is found dead."""
        mine: list[Report] = []
        for report in reports:
            said = self._said.get(report.attempt_id)
            if isinstance(report, Lost):
                self._theirs.pop(report.attempt_id, None)
            elif said is None:
                mine.append(report)
            elif isinstance(report, Started | Ended):
                said[1].append(report)
        return mine

    def _let_go(self) -> None:
        """Nobody is dead, so nobody waits for these ends: they were settled before their hands could say them."""
        over = [one for one, (_, said) in self._said.items() if any(isinstance(report, Ended) for report in said)]
        for attempt_id in over:
            hands, _ = self._said.pop(attempt_id)
            with suppress(HandsLost):
                hands.settled([attempt_id])

    def lose(self, held: Iterable[Held], hands: Hands | None = None) -> None:
        """See to the end of attempts that are ours; `gone` gives them back. `hands`: those that died under us."""
        now = clock.monotonic()
        for one in held:
            kill_at = now + self._rules_of(one.claim).kill_after_ms / 1000
            # An interpreter runs others' callables, too: its hands say what it does, and if they are dead, so is it.
            first = () if one.claim.kind == "python" else _first(one)
            self._dying.append(Dying(one, kill_at, set(first)))
        if hands is not None:
            self._to_end += [one for one in kept(self._run_dir) if one.pid == hands.pid]

    def gone(self) -> list[Claim]:
        """Claims of which no process is left: to be settled as WorkerLost. Signals what is still there."""
        if not self._dying:
            return []
        if self._to_end:
            if end_hands(self._to_end):
                return []
            self._to_end = []
            bury(self._run_dir)
        crowd = Crowd(self._db_path)
        done = [dying.held.claim for dying in self._dying if self._is_gone(dying, crowd)]
        finished = {claim.attempt_id for claim in done}
        remove_files(self._run_dir, finished)
        self._dying = [dying for dying in self._dying if dying.held.claim.attempt_id not in finished]
        return done

    def _is_gone(self, dying: Dying, crowd: Crowd) -> bool:
        """Whether nothing is left of it. Signals what is, unless its hands do."""
        now = clock.monotonic()
        hands = self._theirs.get(dying.held.claim.attempt_id)
        if hands is not None:
            if now > dying.kill_at + HOPELESS_S:
                self._to_end += [one for one in kept(self._run_dir) if one.pid == hands.pid]
                self.forget(hands)
            return False
        left = self._left(dying, crowd)
        if left and now >= dying.kill_at:
            # Some forks and exits of it may be quicker than we look.
            kill_all(lambda: self._left(dying, Crowd(self._db_path)), passes=3)
        elif left and not dying.asked:
            self._ask(dying, left)
        return not left

    def _left(self, dying: Dying, crowd: Crowd) -> list[Process]:
        claim = dying.held.claim
        left = crowd.of(claim.attempt_id, claim.job_id, dying.seen)
        dying.seen.update((process.pid, process.start_ticks) for process in left)
        return left

    def _ask(self, dying: Dying, left: Iterable[Process]) -> None:
        import signal

        for process in left:
            send(process, signal.Signals[self._rules_of(dying.held.claim).stop_signal])
            send(process, signal.SIGCONT)
        dying.asked = True

    def busy(self) -> bool:
        """Whether something is still dying."""
        return bool(self._dying)

    def patience(self) -> float:
        """Seconds until `gone` should be asked again."""
        return PAUSE if self._dying else float("inf")

    def waits_for(self, hands: Hands) -> bool:
        """Whether what they said may still be asked for."""
        return any(said[0] is hands for said in self._said.values()) or hands in self._theirs.values()

    def forget(self, hands: Hands) -> None:
        """These hands are dead as well, or have nothing left to do."""
        if hands in self.attached:
            self.attached.remove(hands)
        self._said = {attempt_id: said for attempt_id, said in self._said.items() if said[0] is not hands}
        self._theirs = {attempt_id: its for attempt_id, its in self._theirs.items() if its is not hands}

    def close(self) -> None:
        """Let go of adopted hands: what they run goes on, for the next worker. What is left of dead ones goes."""
        for hands in self.attached:
            hands.close()
        bury(self._run_dir)


def _greeting(hands: Hands) -> list[Report]:
    """What hands say first: they tell all they run in one go, together with the answer to `attach`."""
    try:
        return hands.reports()
    except HandsLost:
        return []


def _has_ended(reports: Iterable[Report]) -> bool:
    return any(isinstance(report, Ended) for report in reports)


def _brain(worker: Worker) -> tuple[int, int]:
    """Name the process of a worker; one of another boot or pid namespace is nobody here."""
    boot, namespace, ticks = json.loads(worker.process or '["", "", 0]')
    return (worker.pid, ticks) if (boot, namespace) == (boot_id(), pid_namespace()) else (0, 0)


def _first(held: Held) -> list[tuple[int, int]]:
    """The first process of an attempt; a pid recorded in another boot or pid namespace means nothing."""
    if held.pid is None or held.process is None:
        return []
    boot, namespace, ticks = json.loads(held.process)
    return [(held.pid, ticks)] if ticks and (boot, namespace) == (boot_id(), pid_namespace()) else []
