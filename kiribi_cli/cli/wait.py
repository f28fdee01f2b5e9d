"""`kiribi wait`: until jobs have ended."""

from typing import TYPE_CHECKING, Annotated

from kiribi_cli.cli.declared import Argument, Context, Option, filtered
from kiribi_cli.cli.wiring import Here, here

if TYPE_CHECKING:
    from collections.abc import Callable

    from kiribi_cli.actions.wait import Waited


@filtered
def wait(
    ctx: Context,
    ids: Annotated[
        list[str] | None, Argument(metavar="[ID]...", help="42, @last, @last:NAME, @-2, or - for ids from stdin.")
    ] = None,
    *,
    all_: Annotated[bool, Option("--all", help="Until all have ended (the default).")] = False,
    any_: Annotated[bool, Option("--any", help="Until one has ended; prints its id.")] = False,
    for_: Annotated[str, Option("--for", metavar="finished|started", help="What to wait for.")] = "finished",
    fail_fast: Annotated[bool, Option("--fail-fast", help="Return at the first failure.")] = False,
    timeout: Annotated[
        str | None, Option("--timeout", metavar="T", help="Give up after this time, exit 124; the jobs go on.")
    ] = None,
    exit_code: Annotated[
        bool, Option("--exit-code", help="Exit as the job did; of several the first that is not 0.")
    ] = False,
    require_worker: Annotated[
        bool, Option("--require-worker", help="Exit 8 if no live worker serves one of them.")
    ] = False,
    no_progress: Annotated[bool, Option("--no-progress", help="No progress bar.")] = False,
) -> int:
    """Wait until jobs have ended, in whatever way; a retry is no end.

    Filters choose once, when it begins; jobs that come later are not waited for. No match is exit 0.

    Examples:
      kiribi wait "$id" --timeout 10m
      kiribi wait --tag import --fail-fast
      kiribi wait "$id" --exit-code
    """
    from typing import cast

    from kiribi_cli import clock
    from kiribi_cli.actions.wait import wait as wait_for
    from kiribi_cli.errors import Code, KiribiError

    at = here(ctx)
    if all_ and any_:
        raise KiribiError(Code.USAGE, "--all and --any exclude each other")
    if for_ not in ("finished", "started"):
        raise KiribiError(Code.USAGE, f'--for is "{for_}"', hint="write finished or started")
    chosen = _chosen(at, ids or [])
    _check_workers(at, chosen, required=require_worker)
    until = clock.monotonic() + at.duration(timeout) / 1000 if timeout else None
    told, finish = _progress(at, quiet=no_progress)
    try:
        goal = cast("Literal['started', 'finished']", for_)
        waited = wait_for(at.store, chosen, until=until, any_=any_, fail_fast=fail_fast, for_=goal, told=told)
    finally:
        finish()
    _answer(at, waited, any_=any_)
    return _verdict(waited, any_=any_, exit_code=exit_code)


def _chosen(at: Here, words: list[str]) -> list[int]:
    from kiribi_cli.errors import Code, KiribiError

    if words and at.filtered:
        raise KiribiError(Code.USAGE, "ids and filters exclude each other", hint="give one or the other")
    if words:
        return at.existing(words)
    if not at.filtered:
        raise KiribiError(Code.USAGE, "wait for what?", hint="name ids, or filters: kiribi wait --tag import")
    from kiribi_cli.core.job import UNFINISHED
    from kiribi_cli.core.records import replace

    which = at.filter()
    # Only unfinished ones, unless a status is asked for: nobody waits for what has ended long ago.
    which = which if which.statuses else replace(which, statuses=UNFINISHED)
    return [job.id for job in at.store.find(which, now=at.now(), descending=False)]


def _check_workers(at: Here, ids: list[int], *, required: bool) -> None:
    if not (required or at.out.talks):
        return
    from kiribi_cli.actions.why import serving
    from kiribi_cli.core.job import FINISHED
    from kiribi_cli.errors import Code, KiribiError

    open_jobs = [job for job in at.store.jobs(ids, now=at.now()) if job.status not in FINISHED]
    for queue in dict.fromkeys(job.queue for job in open_jobs):
        if not serving(at.store, queue):
            sentence = f"no live worker serves queue {queue}"
            if required:
                raise KiribiError(Code.NO_WORKER, sentence, hint="kiribi worker starts one")
            at.out.note(sentence + "; kiribi worker starts one")


def _progress(at: Here, *, quiet: bool) -> "tuple[Callable[[Waited], None], Callable[[], None]]":
    if quiet or not at.out.talks:
        return (lambda _: None), (lambda: None)
    from kiribi_cli.cli.wait_bar import WaitBar

    bar = WaitBar(unicode=at.out.unicode)
    return bar.show, bar.clear


def _answer(at: Here, waited: "Waited", *, any_: bool) -> None:
    if at.out.as_json:
        at.out.document(waited.view())
    elif any_ and (there := waited.ended or waited.started):
        at.out.line(str(next(iter(there))))


def _verdict(waited: "Waited", *, any_: bool, exit_code: bool) -> int:
    if any_ and waited.ended and not waited.timed_out:
        # The one whose id was printed is the one that counts.
        from kiribi_cli.core.records import replace

        first = next(iter(waited.ended))
        waited = replace(waited, ids=(first,))
    return waited.job_exit_status() if exit_code else waited.exit_status()


if TYPE_CHECKING:
    from typing import Literal
