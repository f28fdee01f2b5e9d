"""kiribi recover."""

from typing import TYPE_CHECKING, Annotated

from kiribi_cli.cli.declared import Context, Option
from kiribi_cli.cli.wiring import DryRun, here

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kiribi_cli.cli.wiring import Here
    from kiribi_cli.store.base import Held, Settlement, Worker


def recover(
    ctx: Context,
    *,
    force: Annotated[
        str | None, Option("--force", metavar="WORKER", help="Declare this worker of another host dead.")
    ] = None,
    dry_run: DryRun = False,
) -> int:
    """Settle the jobs of dead workers now.

    Workers do this by themselves. What is left of such a job on this host is ended first; its attempt counts as
    worker_lost, and the job is tried again or fails, as after any failure.

    Examples:
        kiribi recover -n
        kiribi recover
        kiribi recover --force web2:8123 --yes
    """
    from kiribi_cli.actions.acting import Action

    at = here(ctx)
    if force is not None:
        _declare_dead(at, force, dry_run=dry_run)
    dead = at.store.dead_workers()
    held = {worker.id: at.store.held_by(worker.id) for worker in dead}
    jobs = [one.claim.job_id for those in held.values() for one in those]
    settled: list[Settlement] = []
    if dead and not dry_run:
        settled = _settle(at)
    changed = tuple(jobs) if dry_run else tuple(one.claim.job_id for one in settled)
    action = Action("recover", dry_run, len(jobs), changed)
    if at.out.as_json:
        at.out.document(action.as_object())
    elif at.out.quiet:
        for job in changed:
            at.out.line(str(job))
    else:
        _tell(at, dead, held, settled, dry_run=dry_run)
    return 0


def _declare_dead(at: "Here", name: str, *, dry_run: bool) -> None:
    import os
    from difflib import get_close_matches

    from kiribi_cli.errors import Code, KiribiError

    workers = [worker for worker in at.store.workers() if worker.stopped_at is None]
    named = next((worker for worker in workers if worker.name == name), None)
    if named is None:
        near = get_close_matches(name, [worker.name for worker in workers], 1)
        suggestion = f'. Did you mean "{near[0]}"?' if near else ""
        raise KiribiError(Code.NOT_FOUND, f'no worker "{name}"{suggestion}', hint="kiribi ps lists them")
    if named.alive and named.host == os.uname().nodename:
        sentence = f"{name} is alive on this host, as process {named.pid}"
        raise KiribiError(Code.REFUSED, sentence, hint=f"kiribi stop {name} --now")
    if named.alive:
        sentence = f"{name} on {named.host} has not been silent for long enough to be taken for dead"
        hint = "wait until its lease is over; this version keeps databases on one host only"
        raise KiribiError(Code.REFUSED, sentence, hint=hint)
    if not dry_run:
        at.confirm(f"Declare {name} on {named.host} dead?")


def _settle(at: "Here") -> "list[Settlement]":
    from kiribi_cli.store.liveness import Liveness
    from kiribi_cli.worker.definitions import Definitions
    from kiribi_cli.worker.recover import recover as rescue
    from kiribi_cli.worker.setup import identify, private

    config = at.config
    run_dir = str(private(at.database.run))
    who = identify(None, "run", slots=0, queues={}, config=config)
    alive = Liveness(run_dir, who.name, who.pid, who.process)
    try:
        worker_id = at.store.register(who, now=at.now())
        settled = rescue(at.store, worker_id, Definitions(config), run_dir=run_dir, db_path=str(at.database.path))
        at.store.deregister(worker_id, now=at.now())
        return settled
    finally:
        alive.close()


def _tell(
    at: "Here",
    dead: "Sequence[Worker]",
    held: "dict[int, list[Held]]",
    settled: "Sequence[Settlement]",
    *,
    dry_run: bool,
) -> None:
    if not dead:
        at.out.note("✓ no worker is dead, there is nothing to recover")
        return
    decisions = {one.claim.job_id: type(one.decision).__name__.lower() for one in settled}
    for worker in dead:
        at.out.line(at.out.shown(f"{worker.name} is dead and held {len(held[worker.id])} jobs"))
        for one in held[worker.id]:
            becomes = decisions.get(one.claim.job_id, "would be settled" if dry_run else "settled by somebody else")
            at.out.line(f"  {one.claim.job_id}  {at.out.shown(one.claim.job)}  attempt {one.claim.attempt}  {becomes}")
