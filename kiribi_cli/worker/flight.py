"""Attempts in flight: from the claim into the hands, from their reports into the store. One transaction for both.

What becomes of a job is decided in core/settle.py; how many may be claimed is said by the caller.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import assert_never

from kiribi_cli import clock
from kiribi_cli.core.outcome import Ended, WorkerLost
from kiribi_cli.core.settle import Fail
from kiribi_cli.errors import KiribiError
from kiribi_cli.runner.hands import Hands, HandsLost
from kiribi_cli.runner.launch import Launch, Lost, Place, Progressed, Report, Returned, Started
from kiribi_cli.runner.prepare import prepare
from kiribi_cli.store.base import Claim, Held, Running, Settlement, Store, Want
from kiribi_cli.worker.attempts import began_and_ended, running, settlement, work_of
from kiribi_cli.worker.definitions import Definitions
from kiribi_cli.worker.journal import Journal
from kiribi_cli.worker.outage import STORE_PATIENCE, Outage
from kiribi_cli.worker.slots import Busy, Slots

# Which process an attempt is gets written with whatever else is written; alone, only after this long (seconds).
BEGAN_PATIENCE = 0.1
# Ends wait so long for company at most, only while jobs claimed ahead keep every slot busy, and until they are enough
# for what a transaction costs besides them not to matter.
GATHER_S = 0.01
GATHER_ENOUGH = 200
# How long nothing is claimed after the machine could start nothing: doubled each time, until something has started.
LACKING_S = 1.0
LACKING_MAX_S = 60.0


class Flight:
    """What is in the hands, and what they said that is not stored yet."""

    def __init__(
        self,
        store: Store,
        worker_id: int,
        definitions: Definitions,
        place: Place,
        slots: Slots,
        journal: Journal,
        outage: Outage,
    ) -> None:
        self.slots = slots
        # Attempts claimed and not given back, and those of them that have ended.
        self.claimed = 0
        self.ended = 0
        self.failed_for_good = False
        # Whether there may be something to claim: else nobody looks.
        self.may_claim = True
        self.ended_at = clock.monotonic()
        self._store = store
        self._worker_id = worker_id
        self._definitions = definitions
        self._place = place
        self._journal = journal
        self._outage = outage
        # Ends of adoptable attempts that have been stored: their hands need not keep them any longer.
        self.stored: list[int] = []
        self._kept_by_hands: list[int] = []
        self._began: dict[int, Running] = {}
        self._progress: dict[int, str] = {}
        self._began_since = 0.0
        self._settlements: list[Settlement] = []
        self._settled_since = 0.0
        self._returned: list[Claim] = []
        self._quiet_until = 0.0
        self._lacking_until = 0.0
        self._lacking_s = LACKING_S
        self._next_due: int | None = None

    # -- what is reported

    def note(self, reports: Iterable[Report]) -> None:
        """Take in what hands say."""
        now = clock.now_ms()
        for report in reports:
            self._note(report, now)

    def _note(self, report: Report, now: int) -> None:
        match report:
            case Ended(attempt_id):
                if busy := self.slots.pop(attempt_id):
                    self.slots.note_duration(report.duration_ms)
                    self.ended_at = clock.monotonic()
                    self._lacking_s = LACKING_S
                    self.ended += 1
                    self._settle(busy, report, now)
                else:
                    # Not ours any more: settled as lost, so its hands need not keep it.
                    self.stored.append(attempt_id)
            case Started(attempt_id):
                if busy := self.slots.busy.get(attempt_id):
                    busy.started = report
                    self._begin_waiting()
                    self._began[attempt_id] = running(busy.claim, report, busy.launch)
            case Progressed(attempt_id, text):
                self._begin_waiting()
                self._progress[attempt_id] = text
            case Returned(attempt_id, why):
                if busy := self.slots.pop(attempt_id):
                    self.claimed -= 1
                    self._returned.append(busy.claim)
                    if why:
                        self._wait_for_machine(why, busy, now)
            case Lost():
                pass  # rescue.py's: told of what others held
            case _:
                assert_never(report)

    def _wait_for_machine(self, why: str, busy: Busy, now: int) -> None:
        """Take nothing new for a while, longer each time: nothing of it would start."""
        self.may_claim = True
        if clock.monotonic() >= self._lacking_until:
            self._lacking_until = clock.monotonic() + self._lacking_s
            self._lacking_s = min(self._lacking_s * 2, LACKING_MAX_S)
        self._journal.say(now, f"job {busy.claim.job_id} waits, this machine cannot start it now: {why}")

    def _begin_waiting(self) -> None:
        if not self._began and not self._progress:
            self._began_since = clock.monotonic()

    def _settle(self, busy: Busy, ended: Ended, now: int) -> None:
        # If its beginning has not been written yet, both go into one row.
        began = self._began.pop(ended.attempt_id, None) or began_and_ended(
            busy.claim, ended, busy.hands.unseen_process, busy.launch
        )
        self._progress.pop(ended.attempt_id, None)
        if busy.rules.on_worker_death == "adopt":
            self._kept_by_hands.append(ended.attempt_id)
        if ended.result_note:
            self._journal.say(now, f"job {busy.claim.job_id}: {ended.result_note}")
        if not self._settlements:
            self._settled_since = clock.monotonic()
        self._settlements.append(
            settlement(busy.claim, ended, busy.rules, busy.options, now=now, dice=clock.dice(), began=began)
        )
        self.may_claim = True

    def settle_lost(self, claims: Iterable[Claim], hands: Hands) -> None:
        """Settle attempts that died with their worker or their hands; nothing of them is left."""
        now = clock.now_ms()
        for claim in claims:
            self._settle(
                Busy(claim, *self._definitions.of(claim), None, hands), Ended(claim.attempt_id, WorkerLost()), now
            )

    def give_up(self, hands: Hands) -> list[Held]:
        """These hands are dead: what they ran is in flight no more, and has to be seen to its end."""
        mine = [busy for busy in self.slots.busy.values() if busy.hands is hands]
        for busy in mine:
            self.slots.pop(busy.claim.attempt_id)
        self.ended += len(mine)
        return [self._held(busy) for busy in mine]

    def _held(self, busy: Busy) -> Held:
        began = running(busy.claim, busy.started, busy.launch) if busy.started else None
        pid, process = (began.pid, began.process) if began else (None, None)
        return Held(busy.claim, pid, process, clock.now_ms(), self._worker_id)

    def needs(self, hands: Hands) -> bool:
        """Whether these hands run something, or may have to tell an end once more that is not stored yet."""
        return bool(self._settlements) or any(busy.hands is hands for busy in self.slots.busy.values())

    # -- what is written

    def write(self, want: Want | None, hands: Hands) -> None:
        """One transaction for all that ended and all that can start; nothing is forgotten until it is stored."""
        if clock.monotonic() < max(self._quiet_until, self._gather_until()):
            return
        if self._next_due is not None and clock.now_ms() >= self._next_due:
            self.may_claim = True
        wanted = want if self.may_claim and clock.monotonic() >= self._lacking_until else None
        if wanted is None and not self._is_something_to_write():
            return
        now = clock.now_ms()
        try:
            turn = self._store.turn(
                self._worker_id,
                now=now,
                want=wanted,
                began=list(self._began.values()),
                settlements=self._settlements,
                progress=list(self._progress.items()),
                returned=self._returned,
            )
        except KiribiError as error:
            self._outage.failed(error)
            self._quiet_until = clock.monotonic() + STORE_PATIENCE
            return
        if self._is_something_to_write():
            self._outage.over()
        self._forget_written(turn.lost, now)
        self._start(turn.claims, now, hands)
        if wanted is not None:
            self.may_claim = turn.more or bool(self._settlements)
            # Only read, so it can fail for a moment; then the poll finds what is due.
            with suppress(KiribiError):
                self._next_due = None if turn.claims else self._store.next_due()

    def _is_something_to_write(self) -> bool:
        if self._settlements or self._returned:
            return True
        return bool(self._began or self._progress) and clock.monotonic() - self._began_since >= BEGAN_PATIENCE

    def gathers_for(self) -> float:
        """Seconds for which ends are still gathered, whatever is reported meanwhile."""
        until = self._gather_until()
        return max(0.0, until - clock.monotonic()) if until else 0.0

    def _gather_until(self) -> float:
        """While the hands have enough to do, ends are gathered for a moment: one fsync for all of them."""
        if not 0 < len(self._settlements) < GATHER_ENOUGH or self._returned:
            return 0.0
        if len(self.slots.busy) < self.slots.size * 2:
            return 0.0
        return self._settled_since + GATHER_S

    def _forget_written(self, lost: Sequence[Settlement], now: int) -> None:
        refused = {one.claim.attempt_id for one in lost}
        for one in lost:
            self._journal.say(now, f"job {one.claim.job_id}: its claim was lost, what this worker knows is refused")
        settled = [one for one in self._settlements if one.claim.attempt_id not in refused]
        self.failed_for_good = self.failed_for_good or any(isinstance(one.decision, Fail) for one in settled)
        self._journal.settled(settled, now)
        self.stored += self._kept_by_hands
        self._kept_by_hands = []
        self._settlements = []
        self._began = {}
        self._progress = {}
        self._returned = []

    def _start(self, claims: Sequence[Claim], now: int, hands: Hands) -> None:
        launches: list[Launch] = []
        for claim in claims:
            self.claimed += 1
            rules, options = self._definitions.of(claim)
            busy = Busy(claim, rules, options, None, hands)
            prepared = prepare(rules, work_of(claim, options, self._definitions.timezone), self._place)
            if isinstance(prepared, Ended):
                self.ended += 1
                self._settle(busy, prepared, now)
                continue
            busy.launch = prepared
            self.slots.add(busy)
            launches.append(prepared)
        self._journal.started(claims, now)
        # If the hands have just died, their silence is heard in the next step, and these are among what they held.
        with suppress(HandsLost):
            hands.start_many(launches)

    def unstored(self) -> list[Claim]:
        """Give the claims of attempts that have ended, which the store does not know yet."""
        return [one.claim for one in self._settlements]

    # -- how long it can wait

    def is_empty(self) -> bool:
        """Whether nothing runs and nothing is left to write."""
        return not (self.slots.busy or self._settlements or self._returned)

    def patience(self, want: Want | None) -> float:
        """Seconds until `write` has something to do; infinity if nothing but a report can change that."""
        now = clock.monotonic()
        if now < self._quiet_until:
            return self._quiet_until - now
        if self._settlements or self._returned:
            return max(0.0, self._gather_until() - now)
        waits = [float("inf")]
        if want is not None and self.may_claim:
            waits.append(self._lacking_until - now)
        if self._began or self._progress:
            waits.append(self._began_since + BEGAN_PATIENCE - now)
        if want is not None and self._next_due is not None:
            waits.append((self._next_due - clock.now_ms()) / 1000)
        return max(0.0, min(waits))
