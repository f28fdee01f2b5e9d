"""Rescue by hand: what dead workers held is ended on this host, and settled as lost. Decides nothing, adopts nothing.

A worker does the same by itself (rescue.py); this is for a moment when none runs.
"""

from collections.abc import Callable, Sequence

from kiribi_cli import clock
from kiribi_cli.config.model import Config
from kiribi_cli.core.definition import Definition
from kiribi_cli.core.outcome import Ended, WorkerLost
from kiribi_cli.core.records import replace
from kiribi_cli.runner.hands import Hands, HandsLost, waiting
from kiribi_cli.store.base import Claim, Settlement, Store, Worker
from kiribi_cli.store.liveness import LEASE_MS
from kiribi_cli.worker.attempts import settlement
from kiribi_cli.worker.definitions import Definitions
from kiribi_cli.worker.rescue import Adopted, Rescue
from kiribi_cli.worker.silence import Silence

# Between two looks at workers that may be silent.
LOOK_S = 0.5


def recover(
    store: Store,
    worker_id: int,
    definitions: Definitions,
    *,
    run_dir: str,
    db_path: str | None,
    silent: Sequence[tuple[Worker, float]] = (),
    pause: Callable[[float], None] = clock.sleep,
) -> list[Settlement]:
    """Settle all that dead workers held, each once nothing of it is left on this host; answers what was settled.

    `silent`: workers that live but are to be taken for lost as well, and for how many seconds they have been silent.
    `worker_id` is a registered worker of our own: rescue is a claim.
    """
    rescue = Rescue(store, worker_id, _all_killed(definitions), run_dir=run_dir, db_path=db_path, adopts=False)
    adopted = rescue.look()
    for worker, seconds in silent:
        adopted += rescue.take_from_silent(worker, seconds)
    ended = [_ended(one, definitions) for one in adopted]
    settled: list[Settlement] = []
    while rescue.busy() or ended:
        _listen(rescue)
        lost = ended + [_lost(claim, definitions) for claim in rescue.gone()]
        ended = []
        refused = store.turn(worker_id, now=clock.now_ms(), settlements=lost).lost if lost else ()
        settled += [one for one in lost if one not in refused]
        pause(rescue.patience() if rescue.busy() else 0.0)
    rescue.close()
    _let_go(run_dir, [one.claim.attempt_id for one in settled])
    return settled


def watched(
    store: Store, workers: Sequence[Worker], config: Config, pause: Callable[[float], None] = clock.sleep
) -> list[tuple[Worker, float]]:
    """Watch these workers for as long as their lease; gives those that showed no sign of life, and for how long.

    The age of a heartbeat proves nothing: the clock may have jumped, or the machine slept.
    """
    lease_ms = config.worker.lease_ms
    silence = Silence(0, None if config.path is None else str(config.path))
    watched = {worker.id for worker in workers}
    until = clock.monotonic() + max(lease_ms, LEASE_MS) / 1000 + 2 * LOOK_S
    found: dict[int, tuple[Worker, float]] = {}
    while watched - set(found) and clock.monotonic() < until:
        for worker, seconds in silence.over(store.workers(), lease_ms=lease_ms, now=clock.monotonic()):
            if worker.id in watched:
                found[worker.id] = worker, seconds
        pause(LOOK_S)
        changed = {one.id: one.heartbeat_at for one in store.workers()}
        watched = {one.id for one in workers if changed.get(one.id) == one.heartbeat_at}
    return [found[id_] for id_ in watched & set(found)]


def _all_killed(definitions: Definitions) -> Callable[[Claim], Definition]:
    # Nobody stays here to see the end of a job that lives on.
    return lambda claim: replace(definitions.rules(claim), on_worker_death="kill")


def _lost(claim: Claim, definitions: Definitions) -> Settlement:
    rules, options = definitions.of(claim)
    ended = Ended(claim.attempt_id, WorkerLost())
    return settlement(claim, ended, rules, options, now=clock.now_ms(), dice=clock.dice())


def _ended(one: Adopted, definitions: Definitions) -> Settlement:
    """Its hands have kept its true end."""
    rules, options = definitions.of(one.claim)
    ended = next(report for report in one.early if isinstance(report, Ended))
    return settlement(one.claim, ended, rules, options, now=clock.now_ms(), dice=clock.dice())


def _listen(rescue: Rescue) -> None:
    """Hear what the hands of dead workers say of what they are ending."""
    for hands in list(rescue.attached):
        try:
            rescue.sift(hands.reports())
        except HandsLost:
            rescue.lose([], hands)
            rescue.forget(hands)


def _let_go(run_dir: str, attempt_ids: list[int]) -> None:
    """Tell launchers without a worker that nobody waits for these any more, so that they can end."""
    for path in waiting(run_dir) if attempt_ids else ():
        try:
            hands = Hands.attach(path)
        except HandsLost:
            continue
        try:
            hands.settled(attempt_ids)
        except HandsLost:
            continue
        finally:
            hands.close()
