"""One job: stored, its id printed, and where wanted waited for."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from kiribi_cli.actions.enqueue import Recipes, enqueue, no_worker, payload_text, preview, serving
from kiribi_cli.actions.request import Request
from kiribi_cli.actions.views import JOB_FIELDS, document, job_view
from kiribi_cli.cli import doors, streams
from kiribi_cli.cli.wiring import Here
from kiribi_cli.config import cache
from kiribi_cli.core.job import Job, NewJob
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.store.base import Inserted


def prepared_row(at: Here, request: Request, payload: str | None, words: Sequence[str]) -> NewJob:
    """Check everything and make the row; nothing is written, and no database needs to be there."""
    if request.job is None and not request.command:
        raise KiribiError(
            Code.USAGE,
            "what is to be enqueued?",
            hint="kiribi enqueue JOB [KEY=VALUE]..., or kiribi enqueue -- COMMAND",
        )
    if request.job is not None and request.command:
        raise KiribiError(
            Code.USAGE, f"there is a definition ({request.job}) and a command after --", hint="name one of the two"
        )
    recipe = Recipes(at.config, doors.caller(at)).of(request)
    given = payload_text(recipe.definition, doors.given_payload(payload), tuple(words), doors.file_text)
    at.out.check_fields((), JOB_FIELDS)
    return recipe.job(given, now=at.now())


def store_row(at: Here, row: NewJob, *, require_worker: bool) -> Inserted:
    """Store it, durable on return."""
    if require_worker:
        check_served(at, row["queue"])
    inserted = enqueue(at.open_store(create=True), row, now=row["created_at"])
    # So that the next one can do without reading jobs.toml.
    cache.save(at.config)
    return inserted


def check_served(at: Here, queue: str) -> None:
    """Raise NO_WORKER unless a live worker takes jobs from the queue; creates no database."""
    if not at.database.path.exists() or not serving(at.store, queue):
        raise no_worker(queue)


def print_id(at: Here, inserted: Inserted) -> None:
    """The answer: the id alone, or the fields or the object that were asked for."""
    try:
        if at.out.as_json or at.globals.fields:
            at.out.thing(_view(at, inserted), lambda: [str(inserted.id)], known=JOB_FIELDS)
        else:
            at.out.line(str(inserted.id))
    except KiribiError as error:
        raise KiribiError(error.code, f"job {inserted.id} is stored, but {error.message}", hint=error.hint) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        streams.abandon()
        sentence = f"job {inserted.id} is stored, but its id could not be written: {error.strerror}"
        raise KiribiError(Code.FAILED, sentence) from error


def note(at: Here, inserted: Inserted) -> None:
    """The friendly line, if a person reads it."""
    # The job is stored: a look that fails must not keep its id from being printed.
    with suppress(KiribiError):
        if at.out.talks and (job := at.store.job(inserted.id, now=at.now())) is not None:
            _note(at, job, inserted)


def _note(at: Here, job: Job, inserted: Inserted) -> None:
    tick, dot = ("✓", "·") if at.out.unicode else ("ok:", "-")
    name = at.out.shown(job.job)
    if inserted.deduplicated:
        at.out.note(f"{dot} {name} is there already: job {job.id}, {job.status}")
    else:
        at.out.note(f"{tick} {name} is job {job.id}, {job.status} in {job.queue} ({_company(at, job)})")


def print_preview(at: Here, row: NewJob) -> None:
    """What would be enqueued; the job object has null for an id."""
    from kiribi_cli.actions.jobs import masks_of
    from kiribi_cli.config.outline import outline_of

    now = at.now()
    job = preview(row, now=now)
    payload = document(job.payload, masks_of(outline_of(at.config)).of(job.job), "payload")
    view = {**job_view(job, now=now), "id": None, "payload": payload}
    at.out.thing(view, lambda: [_would(at, view)], known=(*JOB_FIELDS, "payload"))


def _would(at: Here, view: dict[str, Any]) -> str:
    from kiribi_cli.cli.output import compact

    payload = "" if view["payload"] is None else f" with {compact(view['payload'])}"
    when = f", not before {view['run_at']}" if view["status"] == "scheduled" else ""
    return at.out.shown(f"Would enqueue {view['job']} in {view['queue']}{payload}{when}")


def _view(at: Here, inserted: Inserted) -> dict[str, Any]:
    now = at.now()
    job = at.store.job(inserted.id, now=now)
    if job is None:
        raise KiribiError(Code.NOT_FOUND, "it was deleted meanwhile")
    return job_view(job, now=now, deduplicated=inserted.deduplicated)


def _company(at: Here, job: Job) -> str:
    workers = len(serving(at.store, job.queue))
    ahead = at.store.ahead_of(job, now=at.now())
    # The store counts no further.
    many = "1,000 or more" if ahead >= 1000 else str(ahead)
    return f"{many} ahead, {workers or 'no'} worker{'' if workers == 1 else 's'}"
