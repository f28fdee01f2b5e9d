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
from kiribi_cli.runner.hands import Hands, HandsLost, remove_files, waiting
from kiribi_cli.runner.launch import Report, Started
from kiribi_cli.runner.process import SIGKILL, Process, boot_id, leftovers, look, pid_namespace, send
from kiribi_cli.store.base import Claim, Held, Store, Worker
from kiribi_cli.worker.silence import Silence

# Between two looks at what is still dying.
PAUSE = 0.05

RulesOf = Callable[[Claim], Definition]


@dataclass(slots=True)
class Dying:
    """A lost attempt and how long its processes have; `theirs`: its own hands are ending it already."""

    held: Held
    kill_at: float
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
        self._to_greet = adopts

    def look(self, lease_ms: int | None = None) -> list[Adopted]:
        """Take over what dead workers held; gives what is to be adopted, keeps the rest until it is gone.

        With `lease_ms` also what workers hold that have been silent for so long.
        """
        adopted: list[Adopted] = []
        workers = self._store.workers()
        dead_workers = [worker for worker in workers if not worker.alive]
        for dead in dead_workers:
            held = self._store.held_by(dead.id)
            if held:
                adopted += self._take_over(held)
            # Deregistered last: if we die in between, the next one finds it again.
            self._store.deregister(dead.id, now=clock.now_ms(), lost=True)
        if not dead_workers:
            self._let_go()
        if self._to_greet:
            self._greet(path for path in waiting(self._run_dir) if not self._has_brain(path))
        if lease_ms is not None:
            for worker, seconds in self.silence.over(workers, lease_ms=lease_ms, now=clock.monotonic()):
                adopted += self.take_from_silent(worker, seconds)
        return adopted

    def take_from_silent(self, worker: Worker, seconds: float) -> list[Adopted]:
        """Take over what a worker holds that lives but is silent.

        Its hands go first: if we die in between, or it wakes up, it is as if they had been killed. Only then is it
        fenced, unless it has shown that it lives.
        """
        from kiribi_cli.runner.disarm import disarm

        own = [self.own] if self.own else []
        brain = worker.pid, json.loads(worker.process or "[0, 0, 0]")[2]
        taken = disarm(self._run_dir, brain, but=[*own, *self.attached])
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
        if any(self._rules_of(one.claim).on_worker_death == "adopt" for one in held):
            self._greet(waiting(self._run_dir))
        claims = {
            claim.attempt_id: claim for claim in self._store.take_over(held, by=self._worker_id, now=clock.now_ms())
        }
        return self._part(held, claims)

    def _part(self, held: Sequence[Held], claims: Mapping[int, Claim]) -> list[Adopted]:
        """Give what goes on in hands that talk to us, and see to the end of the rest."""
        early = {attempt_id: self._said.pop(attempt_id) for attempt_id in claims if attempt_id in self._said}
        self.lose([one for one in held if one.claim.attempt_id in claims and one.claim.attempt_id not in early])
        return [Adopted(claims[attempt_id], hands, reports) for attempt_id, (hands, reports) in early.items()]

    def _greet(self, paths: Iterable[str]) -> None:
        """Attach to the launchers without a brain among these, and keep what they say."""
        self._to_greet = False
        known = {hands.path for hands in self.attached}
        for path in paths:
            if path in known:
                continue
            try:
                hands = Hands.attach(path)
            except HandsLost:
                continue
            self._welcome(hands)

    def _welcome(self, hands: Hands) -> None:
        self.attached.append(hands)
        for report in _greeting(hands):
            if isinstance(report, Started | Ended):
                self._said.setdefault(report.attempt_id, (hands, []))[1].append(report)

    def _has_brain(self, path: str) -> bool:
        """Whether these hands are the child of a living worker: then there is no need to knock and wait."""
        hands = look(int(path.rpartition("-")[2].partition(".")[0]))
        return hands is not None and hands.parent in {worker.pid for worker in self._store.workers()}

    def sift(self, reports: Iterable[Report]) -> list[Report]:
        """Give what is about attempts in flight; the rest is kept for when their worker is found dead."""
        mine: list[Report] = []
        for report in reports:
            said = self._said.get(report.attempt_id)
            if said is None:
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

    def lose(self, held: Iterable[Held]) -> None:
        """See to the end of attempts that are ours and have no hands any more; `gone` gives them back."""
        now = clock.monotonic()
        for one in held:
            self._dying.append(Dying(one, now + self._rules_of(one.claim).kill_after_ms / 1000))

    def gone(self) -> list[Claim]:
        """Claims of which no process is left: to be settled as WorkerLost. Signals what is still there."""
        if not self._dying:
            return []
        now = clock.monotonic()
        done: list[Claim] = []
        for dying in self._dying:
            left = self._left(dying.held)
            if not left:
                done.append(dying.held.claim)
            elif not dying.asked or now >= dying.kill_at:
                self._signal(dying, left, kill=now >= dying.kill_at)
        finished = {claim.attempt_id for claim in done}
        remove_files(self._run_dir, finished)
        self._dying = [dying for dying in self._dying if dying.held.claim.attempt_id not in finished]
        return done

    def _left(self, held: Held) -> list[Process]:
        claim = held.claim
        return leftovers([claim.attempt_id], self._db_path, _first(held), [claim.job_id])

    def _signal(self, dying: Dying, left: Iterable[Process], *, kill: bool) -> None:
        import signal

        number = SIGKILL if kill else signal.Signals[self._rules_of(dying.held.claim).stop_signal]
        for process in left:
            send(process, number)
            if not kill:
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
        return any(said[0] is hands for said in self._said.values())

    def forget(self, hands: Hands) -> None:
        """These hands are dead as well, or have nothing left to do."""
        if hands in self.attached:
            self.attached.remove(hands)
        self._said = {attempt_id: said for attempt_id, said in self._said.items() if said[0] is not hands}

    def close(self) -> None:
        """Let go of adopted hands: what they run goes on, for the next worker."""
        for hands in self.attached:
            hands.close()


def _greeting(hands: Hands) -> list[Report]:
    """What hands say first: they tell all they run in one go, together with the answer to `attach`."""
    try:
        return hands.reports()
    except HandsLost:
        return []


def _first(held: Held) -> list[tuple[int, int]]:
    """The first process of an attempt; a pid recorded in another boot or pid namespace means nothing."""
    if held.pid is None or held.process is None:
        return []
    boot, namespace, ticks = json.loads(held.process)
    return [(held.pid, ticks)] if ticks and (boot, namespace) == (boot_id(), pid_namespace()) else []
