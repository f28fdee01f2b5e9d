"""How a worker comes to its end: asked by a signal or a person, or because it was told to do only so much."""

from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from kiribi_cli import clock
from kiribi_cli.core.records import dataclass
from kiribi_cli.runner.hands import Hands, HandsLost
from kiribi_cli.worker.flight import Flight
from kiribi_cli.worker.journal import Journal
from kiribi_cli.worker.signals import Signals

# How long a worker that was told twice to stop still tries to store the ends of jobs.
UNSTORED_S = 5.0

Phase = Literal["running", "draining", "stopping"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What ends a worker by itself: jobs taken, milliseconds of life, milliseconds without work. None: nothing."""

    jobs: int | None = None
    time_ms: int | None = None
    idle_ms: int | None = None


class Stopping:
    """The phase a worker is in. `told` is called whenever it changes, so that others can see it."""

    def __init__(
        self,
        flight: Flight,
        signals: Signals,
        limits: Limits,
        journal: Journal,
        *,
        drain_timeout_ms: Callable[[], int],
        told: Callable[[], None],
    ) -> None:
        self.phase: Phase = "running"
        self._flight = flight
        self._signals = signals
        self._limits = limits
        self._journal = journal
        self._drain_timeout_ms = drain_timeout_ms
        self._told = told
        self._seen = 0
        self._until: float | None = None
        self._hurried_at: float | None = None
        self._begun_at = self._busy_at = clock.monotonic()

    def mind_signals(self, hands: Hands) -> None:
        """First INT or TERM: take nothing new; second: stop what runs; third: kill it."""
        while self._seen < self._signals.stops:
            self._seen += 1
            match self.phase:
                case "running":
                    self.stop_claiming(hands)
                case "draining":
                    self.hurry(hands)
                case "stopping":
                    self.stop_jobs(hands, kill_after_ms=0)
                    # The third: not even for the store.
                    self._hurried_at = 0.0 if self._hurried_at is not None else clock.monotonic()

    def mind_time(self, hands: Hands) -> None:
        """Stop what runs when its time to end by itself is over; take nothing new when a limit is reached."""
        now = clock.monotonic()
        if self._until is not None and now >= self._until:
            self.stop_jobs(hands)
        if self._flight.slots.busy:
            self._busy_at = now
        reached = (
            (self._limits.jobs, self._flight.ended),
            (self._limits.time_ms, (now - self._begun_at) * 1000),
            (self._limits.idle_ms, (now - self._busy_at) * 1000),
        )
        if self.phase == "running" and any(limit is not None and so_far >= limit for limit, so_far in reached):
            self.stop_claiming(hands, for_ever=True)

    def stop_claiming(self, hands: Hands, *, for_ever: bool = False) -> None:
        """Take nothing new; running jobs may end for the drain timeout, or for as long as they take."""
        if self.phase != "running":
            return
        self.phase = "draining"
        with suppress(HandsLost):
            hands.recall()
        limit_s = self._drain_timeout_ms() / 1000
        self._until = None if for_ever else clock.monotonic() + limit_s
        if self._flight.slots.busy:
            waiting = "" if for_ever else f", waiting up to {limit_s:g}s; Ctrl-C again stops them"
            self._journal.say(clock.now_ms(), f"stopping: {len(self._flight.slots.busy)} running{waiting}")
        self._told()

    def stop_jobs(self, hands: Hands, *, kill_after_ms: int | None = None) -> None:
        """End what runs and put it back: stop signal, kill_after, SIGKILL (0: at once)."""
        self.stop_claiming(hands)
        busy = self._flight.slots.busy
        if self.phase == "draining" and busy:
            self._journal.say(clock.now_ms(), f"stopping {len(busy)} running jobs; they are put back")
        self.phase = "stopping"
        self._until = None
        for attempt_id, one in busy.items():
            with suppress(HandsLost):
                one.hands.stop(attempt_id, "interrupt", kill_after_ms=kill_after_ms)
        self._told()

    def hurry(self, hands: Hands) -> None:
        """Stop what runs because somebody asked for that; then even a store that cannot be written ends the waiting."""
        self._hurried_at = clock.monotonic()
        self.stop_jobs(hands)

    def gives_up(self) -> bool:
        """Whether ends that cannot be stored are not waited for any more."""
        return self._hurried_at is not None and clock.monotonic() - self._hurried_at > UNSTORED_S

    def patience(self) -> float:
        """Seconds until `mind_time` has something to do."""
        now = clock.monotonic()
        waits = [float("inf")]
        if self._until is not None:
            waits.append(self._until - now)
        if self.phase == "running" and self._limits.time_ms is not None:
            waits.append(self._begun_at + self._limits.time_ms / 1000 - now)
        if self.phase == "running" and self._limits.idle_ms is not None and not self._flight.slots.busy:
            waits.append(self._busy_at + self._limits.idle_ms / 1000 - now)
        return max(0.0, min(waits))
