"""kiribi sweep."""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from kiribi_cli.cli.declared import Context, Option
from kiribi_cli.cli.wiring import DryRun, here

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kiribi_cli.actions.sweep import Report
    from kiribi_cli.cli.wiring import Here
    from kiribi_cli.core.job import Status


def sweep(
    ctx: Context,
    *,
    older_than: Annotated[
        str | None,
        Option("--older-than", metavar="T", help="Finished longer ago than T, whatever retention says."),
    ] = None,
    status: Annotated[
        list[str] | None,
        Option("--status", metavar="S", help="Only jobs that ended so; comma or repetition = or."),
    ] = None,
    job: Annotated[list[str] | None, Option("--job", metavar="NAME", help="Only jobs of this name (glob).")] = None,
    keep_last: Annotated[
        int | None, Option("--keep-last", metavar="N", min=0, help="Keep the newest N of each name.")
    ] = None,
    max_bytes: Annotated[
        str | None, Option("--max-bytes", metavar="SIZE", help="Of all logs together; the oldest go.")
    ] = None,
    logs_only: Annotated[
        bool, Option("--logs-only", help="Delete logs, also those without a job; keep the history.")
    ] = False,
    dry_run: DryRun = False,
) -> int:
    """Delete old history and logs as `retention` and `logs` say.

    Workers do this by themselves once an hour. It goes in small batches and never blocks the queue; statistics
    stay. It needs a yes.

    Examples:
        kiribi sweep -n
        kiribi sweep --yes
        kiribi sweep --older-than 30d --status failed --keep-last 0
        kiribi sweep --logs-only --max-bytes 500MB --yes
    """
    from kiribi_cli.actions import sweep as action
    from kiribi_cli.core.durations import size_bytes

    at = here(ctx)
    now = at.now()
    wanted = action.request(
        at.config,
        now=now,
        older_than_ms=None if older_than is None else at.duration(older_than),
        statuses=_finished(status or ()),
        names=_names(at, job or ()),
        keep_last=keep_last,
        max_bytes=None if max_bytes is None else size_bytes(max_bytes, bare=True),
        logs_only=logs_only,
    )
    logs = at.database.logs
    if dry_run or not at.globals.yes:
        report = action.preview(at.store, logs, wanted, now=now)
        if not dry_run:
            at.confirm(f"{_sentence(report)}?")
    if not dry_run:
        with _alone(at):
            report = action.sweep(at.store, logs, wanted, by=at.by, now=now)
    if at.out.as_json:
        at.out.document(report.as_object())
    elif dry_run:
        at.out.line(f"Would {_sentence(report, verb='delete')}")
    else:
        at.out.note(f"✓ {_sentence(report, done=True)}")
    return 0


@contextmanager
def _alone(at: "Here") -> "Iterator[None]":
    """Two sweeps never work at once: the second waits for the first, and then finds little to do."""
    from filelock import FileLock, Timeout

    from kiribi_cli.private import make_folder

    run = at.database.run
    make_folder(run)
    lock = FileLock(run / "sweep.lock", mode=0o600)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        at.out.note("another sweep is at work; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _names(at: "Here", words: "Sequence[str]") -> tuple[str, ...]:
    """Turn globs into the names that there are; one that means nobody is a mistake, not all jobs."""
    from fnmatch import fnmatchcase

    from kiribi_cli.actions.jobs import not_known

    known = sorted({*at.store.names(), *at.config.definitions})
    found: list[str] = []
    for glob in (part for each in words for part in each.split(",") if part):
        named = [name for name in known if fnmatchcase(name, glob)]
        if not named:
            raise not_known("job", glob, known, f"no job of the name {glob}")
        found += named
    return tuple(dict.fromkeys(found))


def _finished(words: "Sequence[str]") -> "list[Status]":
    from kiribi_cli.core.job import FINISHED, statuses_named
    from kiribi_cli.errors import Code, KiribiError

    found: list[Status] = []
    for word in (part for each in words for part in each.split(",") if part):
        try:
            named = statuses_named(word)
        except ValueError:
            raise KiribiError(Code.USAGE, f'"{word}" is not a status', hint="kiribi help statuses") from None
        if not set(named) <= set(FINISHED):
            sentence = f"--status {word}: only finished jobs are swept"
            raise KiribiError(Code.USAGE, sentence, hint=f"one of {', '.join(FINISHED)}; kiribi cancel ends others")
        found += named
    return found


def _sentence(report: "Report", *, verb: str = "Delete", done: bool = False) -> str:
    from kiribi_cli.core.durations import spell_size

    counts = ", ".join(f"{number:,} {status}" for status, number in report.jobs.items() if number)
    logs, database = spell_size(report.log_bytes), spell_size(report.db_bytes)
    if done:
        return f"Deleted {counts or 'no job'} · freed {logs} of logs and about {database} of database"
    return f"{verb} {counts or 'no job'} · frees about {logs} of logs and {database} of database"
