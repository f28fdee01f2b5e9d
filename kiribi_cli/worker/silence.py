"""How long other workers have been silent: measured by our own clock, from one changed heartbeat to the next look.

Age alone says nothing: a clock may have jumped, the machine may have slept, and so may we. Where the lock is free a
worker is dead (rescue.py); this is about those that hold their lock and do nothing.
"""

import json
from collections.abc import Iterable, Iterator

from kiribi_cli.runner.process import is_alive
from kiribi_cli.store.base import Worker
from kiribi_cli.store.liveness import LEASE_MS

# A worker shows that it lives every third of its lease, and at least so often.
BEAT_MAX_S = 20.0


def beat_s(lease_ms: int) -> float:
    """Seconds from one heartbeat to the next."""
    return min(lease_ms / 3000, BEAT_MAX_S)


class Silence:
    """Look at all workers again and again; a look that comes late begins counting anew."""

    def __init__(self, worker_id: int, config_path: str | None) -> None:
        self._worker_id = worker_id
        self._config_path = config_path
        # By worker: the heartbeat seen last, and when it was seen first.
        self._seen: dict[int, tuple[int, float]] = {}
        self._looked_at = 0.0

    def forget(self) -> None:
        """Begin counting anew: the store could not be written, by us and perhaps by nobody."""
        self._seen.clear()

    def over(self, workers: Iterable[Worker], *, lease_ms: int, now: float) -> Iterator[tuple[Worker, float]]:
        """Give the workers that have been silent for longer than their lease, and for how long (seconds)."""
        if now - self._looked_at > lease_ms / 3000:
            self._seen.clear()
        self._looked_at = now
        silent = {}
        for worker in workers:
            beat, since = self._seen.get(worker.id, (None, now))
            silent[worker.id] = (worker.heartbeat_at, since if beat == worker.heartbeat_at else now)
        self._seen = silent
        for worker in workers:
            seconds = now - silent[worker.id][1]
            if seconds * 1000 >= self._lease_of(worker, lease_ms) and self._is_judged(worker):
                yield worker, seconds

    def _lease_of(self, worker: Worker, lease_ms: int) -> int:
        # By another jobs.toml, or by one that it could not read, its lease may be longer than ours.
        same = worker.config_path == self._config_path and worker.config_error is None
        return lease_ms if same else max(lease_ms, LEASE_MS)

    def _is_judged(self, worker: Worker) -> bool:
        return worker.id != self._worker_id and is_judged(worker)


def is_judged(worker: Worker) -> bool:
    """Whether its silence means anything, and what it runs can be ended from here.

    A `kiribi run` that is stopped (Ctrl-Z) was stopped by whoever watches it: its job is nobody else's.
    """
    if worker.kind != "worker" or not worker.alive or worker.process is None:
        return False
    boot, namespace, ticks = json.loads(worker.process)
    return is_alive(worker.pid, ticks, boot, namespace)
