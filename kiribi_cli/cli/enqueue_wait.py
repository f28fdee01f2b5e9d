"""`kiribi enqueue --wait` and its kind: one job, waited for, its log or result printed, its end as the exit status."""

from kiribi_cli import clock
from kiribi_cli.actions.logs import Following, Wanted
from kiribi_cli.actions.views import JOB_FIELDS, job_view
from kiribi_cli.actions.wait import TIMED_OUT, Waited, wait
from kiribi_cli.cli import enqueue_one as one
from kiribi_cli.cli.log_text import Style, write_lines, write_pieces
from kiribi_cli.cli.wiring import Here
from kiribi_cli.core.job import Job, NewJob, Status
from kiribi_cli.core.records import dataclass
from kiribi_cli.store.base import Inserted


@dataclass(frozen=True, slots=True)
class Patience:
    """How to wait: print the log meanwhile, the result afterwards; exit as the job does; so long at most."""

    follow: bool
    exit_code: bool
    result: bool
    timeout: str | None


def enqueue_and_wait(at: Here, row: NewJob, patience: Patience, *, require_worker: bool) -> int:
    """Store the job, wait for its end, and return the exit status. Ctrl-C leaves the job alone."""
    until = None if patience.timeout is None else clock.monotonic() + at.duration(patience.timeout) / 1000
    inserted = one.store_row(at, row, require_worker=require_worker)
    one.note(at, inserted)
    _tell_id(at, inserted, patience)
    if patience.follow and _follow(at, inserted.id, until):
        return TIMED_OUT
    waited = wait(at.store, [inserted.id], until=until)
    _tell_end(at, inserted, waited, patience)
    return waited.job_exit_status() if patience.exit_code else waited.exit_status()


def _tell_id(at: Here, inserted: Inserted, patience: Patience) -> None:
    if patience.follow and not at.globals.silent:
        # stdout is for the log.
        at.out.talk(str(inserted.id))
    elif not patience.result and not at.out.as_json:
        one.print_id(at, inserted)


def _follow(at: Here, job_id: int, until: float | None) -> bool:
    """Print what the job prints, as it comes; tell whether time ran out."""
    job = at.store.job(job_id, now=at.now())
    if job is None:
        return False
    following = Following(at.store, at.database.logs, [job], Wanted(), until=until)
    if at.out.as_json:
        write_lines(at, following.by_line(), Style())
    else:
        write_pieces(at, following.printed(), Style())
    return following.timed_out


def _tell_end(at: Here, inserted: Inserted, waited: Waited, patience: Patience) -> None:
    job = waited.ended.get(inserted.id)
    if patience.result:
        if job is not None and job.result is not None:
            at.out.line(_result_text(job.result))
    elif at.out.as_json and not patience.follow:
        ended = job or at.store.job(inserted.id, now=at.now())
        if ended is not None:
            view = job_view(ended, now=at.now(), deduplicated=inserted.deduplicated)
            at.out.thing(view, lambda: [str(inserted.id)], known=JOB_FIELDS)
    if job is not None and job.status is not Status.COMPLETED:
        at.out.note(_how(at, job))


def _result_text(text: str) -> str:
    """A string as it is, as a script wants it; anything else as JSON."""
    from json import loads

    value = loads(text)
    return value if isinstance(value, str) else text


def _how(at: Here, job: Job) -> str:
    why = at.out.shown(job.error.message) if job.error else ""
    return f"job {job.id} {job.status}" + (f": {why}" if why else "") + f"; kiribi logs {job.id}"
