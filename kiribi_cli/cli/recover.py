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
        str | None, Option("--force", metavar="WORKER", help="Do not watch this silent worker first.")
    ] = None,
    dry_run: DryRun = False,
) -> int:
    """Settle the jobs of dead and silent workers now.

    Workers do this by themselves. What is left of such a job on this host is ended first; its attempt counts as
    worker_lost, and the job is tried again or fails, as after any failure. A worker that lives but has been silent
    (stopped, hung) is watched for as long as worker.lease says, and is declared lost if it shows no sign of life.

    Examples:
        kiribi recover -n
        kiribi recover
        kiribi recover --force web1:8123 --yes
    """
    from kiribi_cli.actions.acting import Action

    at = here(ctx)
    forced = _declared(at, force, dry_run=dry_run) if force is not None else []
    dead = at.store.dead_workers()
    silent = [*forced, *_silent(at, forced, dry_run=dry_run)]
    gone = [*dead, *(worker for worker, _ in silent)]
    held = {worker.id: at.store.held_by(worker.id) for worker in gone}
    jobs = [one.claim.job_id for those in held.values() for one in those]
    settled: list[Settlement] = []
    if gone and not dry_run:
        settled = _settle(at, silent)
    _clear_away(at, dry_run=dry_run)
    changed = tuple(jobs) if dry_run else tuple(one.claim.job_id for one in settled)
    action = Action("recover", dry_run, len(jobs), changed)
    if at.out.as_json:
        at.out.document(action.as_object())
    elif at.out.quiet:
        for job in changed:
            at.out.line(str(job))
    else:
        _tell(at, gone, held, settled, dry_run=dry_run)
    return 0


def _silent(at: "Here", forced: "Sequence[tuple[Worker, float]]", *, dry_run: bool) -> "list[tuple[Worker, float]]":
    """Find workers that live and have shown no sign of it for longer than their lease."""
    from kiribi_cli.core.durations import age
    from kiribi_cli.worker.silence import is_judged

    now, lease_ms = at.now(), at.config.worker.lease_ms
    known = {worker.id for worker, _ in forced}
    quiet = [worker for worker in at.store.workers() if is_judged(worker) and now - worker.heartbeat_at >= lease_ms]
    quiet = [worker for worker in quiet if worker.id not in known]
    if dry_run or not quiet:
        return [(worker, (now - worker.heartbeat_at) / 1000) for worker in quiet]
    from kiribi_cli.worker.recover import watched

    for worker in quiet:
        sentence = f"{worker.name} lives, and has shown no sign of it for {age(now - worker.heartbeat_at)}"
        at.out.note(at.out.shown(f"{sentence}: watching it for {lease_ms / 1000:g}s"))
    return watched(at.store, quiet, at.config)


def _declared(at: "Here", name: str, *, dry_run: bool) -> "list[tuple[Worker, float]]":
    """Take a person's word that this worker will not wake up, where what it runs can be ended from here."""
    import os
    from difflib import get_close_matches

    from kiribi_cli.errors import Code, KiribiError
    from kiribi_cli.worker.silence import is_judged

    workers = [worker for worker in at.store.workers() if worker.stopped_at is None]
    named = next((worker for worker in workers if worker.name == name), None)
    if named is None:
        near = get_close_matches(name, [worker.name for worker in workers], 1)
        suggestion = f'. Did you mean "{near[0]}"?' if near else ""
        raise KiribiError(Code.NOT_FOUND, f'no worker "{name}"{suggestion}', hint="kiribi ps lists them")
    silent_ms = at.now() - named.heartbeat_at
    if is_judged(named) and silent_ms >= at.config.worker.lease_ms:
        if not dry_run:
            at.confirm(f"Declare {name} lost, and end what it runs?")
        return [(named, silent_ms / 1000)]
    if named.alive and named.host == os.uname().nodename:
        sentence = f"{name} is alive on this host, as process {named.pid}"
        raise KiribiError(Code.REFUSED, sentence, hint=f"kiribi stop {name} --now")
    if named.alive:
        sentence = f"{name} on {named.host} has not been silent for long enough to be taken for dead"
        hint = "wait until its lease is over; this version keeps databases on one host only"
        raise KiribiError(Code.REFUSED, sentence, hint=hint)
    if not dry_run:
        at.confirm(f"Declare {name} on {named.host} dead?")
    return []


def _clear_away(at: "Here", *, dry_run: bool) -> None:
    """End what is left of attempts that were cut off long ago, and remove files of what is over."""
    from kiribi_cli.actions.remains import end, old_files, strays, tidy

    path = str(at.database.path)
    left = [one.process.pid for one in strays(at.store, path) if one.is_cut_off]
    if dry_run:
        old = old_files(at.store, at.database.run)
    else:
        left = end(at.store, path) if left else []
        old = tidy(at.store, at.database.run)
    if left:
        pids = ", ".join(map(str, left))
        at.out.talk(f"{'would end' if dry_run else 'ended'} what is left of attempts that were cut off: process {pids}")
    if old:
        at.out.talk(f"{'would remove' if dry_run else 'removed'} {len(old)} files of what is over")


def _settle(at: "Here", silent: "Sequence[tuple[Worker, float]]") -> "list[Settlement]":
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
        path = str(at.database.path)
        settled = rescue(at.store, worker_id, Definitions(config), run_dir=run_dir, db_path=path, silent=silent)
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
        what = "is silent" if worker.alive else "is dead"
        count = len(held[worker.id])
        at.out.line(at.out.shown(f"{worker.name} {what} and held {count} job{'' if count == 1 else 's'}"))
        for one in held[worker.id]:
            becomes = decisions.get(one.claim.job_id, "would be settled" if dry_run else "settled by somebody else")
            at.out.line(f"  {one.claim.job_id}  {at.out.shown(one.claim.job)}  attempt {one.claim.attempt}  {becomes}")
