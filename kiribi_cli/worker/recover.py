"""Rescue by hand: what dead workers held is ended on this host, and settled as lost. Decides nothing, adopts nothing.

A worker does the same by itself (rescue.py); this is for a moment when none runs.
"""

from collections.abc import Callable

from kiribi_cli import clock
from kiribi_cli.core.definition import Definition
from kiribi_cli.core.outcome import Ended, WorkerLost
from kiribi_cli.core.records import replace
from kiribi_cli.runner.hands import Hands, HandsLost, waiting
from kiribi_cli.store.base import Claim, Settlement, Store
from kiribi_cli.worker.attempts import settlement
from kiribi_cli.worker.definitions import Definitions
from kiribi_cli.worker.rescue import Adopted, Rescue


def recover(
    store: Store,
    worker_id: int,
    definitions: Definitions,
    *,
    run_dir: str,
    db_path: str | None,
    pause: Callable[[float], None] = clock.sleep,
) -> list[Settlement]:
    """Settle all that dead workers held, each once nothing of it is left on this host; answers what was settled.

    `worker_id` is a registered worker of our own: rescue is a claim.
    """
    rescue = Rescue(store, worker_id, _all_killed(definitions), run_dir=run_dir, db_path=db_path, adopts=False)
    ended = [_ended(one, definitions) for one in rescue.look()]
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
