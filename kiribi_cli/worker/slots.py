"""The places in which a worker runs attempts: which are taken, by what, and how many jobs it may claim now."""

from collections.abc import Mapping

from kiribi_cli.core.definition import Definition
from kiribi_cli.core.job import Options
from kiribi_cli.core.records import dataclass
from kiribi_cli.runner.hands import Hands
from kiribi_cli.runner.launch import Launch, Started
from kiribi_cli.store.base import Claim

# Jobs are claimed ahead only while they are so short that none of them waits long behind another, and never more
# than this many milliseconds' worth of work, or this many jobs.
SHORT_MS = 20
AHEAD_MS = 25
AHEAD_MAX = 4096


@dataclass(slots=True)
class Busy:
    """An attempt in the hands. `started` None: it still waits there."""

    claim: Claim
    rules: Definition
    options: Options
    launch: Launch | None
    hands: Hands
    started: Started | None = None
    stopping: bool = False


class Slots:
    """Count what runs. `size`: slots; `queues`: slots per served queue (None: bounded by size only), None: all."""

    def __init__(self, size: int, queues: Mapping[str, int | None] | None) -> None:
        self.size = size
        self.queues = queues
        self.busy: dict[int, Busy] = {}
        # Per attempt, not per slot: milliseconds from one end to the next, as an average that forgets.
        self._usual_ms = float(SHORT_MS)

    def add(self, busy: Busy) -> None:
        self.busy[busy.claim.attempt_id] = busy

    def pop(self, attempt_id: int) -> Busy | None:
        return self.busy.pop(attempt_id, None)

    def note_duration(self, ms: float) -> None:
        """Learn how long attempts take; one long one ends claiming ahead at once, short ones bring it back slowly."""
        self._usual_ms = max(ms, self._usual_ms * 0.8 + ms * 0.2) if ms > SHORT_MS else self._usual_ms * 0.9 + ms * 0.1

    def ahead(self) -> int:
        """How many jobs may wait in the hands beyond the slots."""
        capped = self.queues is not None and any(slots is not None for slots in self.queues.values())
        if capped or self._usual_ms >= SHORT_MS:
            return 0
        return min(AHEAD_MAX, round(self.size * AHEAD_MS / max(self._usual_ms, 0.01)))

    def free(self) -> int:
        """How many more attempts can be claimed now."""
        return max(0, self.size + self.ahead() - len(self.busy))

    def free_by_queue(self) -> dict[str, int | None] | None:
        """Free places per served queue, None for all queues alike."""
        if self.queues is None:
            return None
        used: dict[str, int] = {}
        for busy in self.busy.values():
            used[busy.claim.queue] = used.get(busy.claim.queue, 0) + 1
        return {name: None if most is None else max(0, most - used.get(name, 0)) for name, most in self.queues.items()}
