"""A new job like one that is there: same definition, payload and options, but for what is said otherwise."""

from collections.abc import Callable

from kiribi_cli.actions.enqueue import Caller, Recipe, Recipes, payload_text
from kiribi_cli.actions.request import Request
from kiribi_cli.config.model import Config
from kiribi_cli.core.job import Job, NewJob, Options
from kiribi_cli.core.options import options_from, options_text
from kiribi_cli.core.plan import tags_text
from kiribi_cli.core.records import replace
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.store.base import Inserted, Store, UniqueTaken


def like(
    job: Job,
    said: Request,
    config: Config,
    caller: Caller,
    *,
    payload: str | bytes | None = None,
    words: tuple[str, ...] = (),
    read: Callable[[str], str],
    now: int,
) -> NewJob:
    """Make the row of a job like `job`, due now unless `said` names a time. Checked as any enqueue is.

    What was frozen in the old one stays, also where the definition has changed since. A unique key that is held is a
    conflict unless `said` wants it otherwise: to answer with the id of the old job would be to duplicate nothing.
    """
    recipe = Recipes(config, caller).of(request_like(job, said, config))
    text = payload_text(recipe.definition, job.payload if payload is None else payload, words, read)
    new = recipe.job(text, now=now)
    if "unique_key" in new and said.on_conflict is None:
        new["on_conflict"] = "error"
    return new | _frozen(job, said, recipe, new["run_at"])


def insert_like(store: Store, rows: list[NewJob], *, now: int) -> list[Inserted]:
    """Store all or nothing; raises CONFLICT naming the job that holds a unique key."""
    try:
        return store.insert(rows, now=now)
    except UniqueTaken as taken:
        sentence = f'the unique key "{taken.key}" is held by job {taken.holder}, which is not finished'
        hint = f"kiribi show {taken.holder}; or give this one a key of its own: --unique KEY"
        raise KiribiError(Code.CONFLICT, sentence, hint=hint) from None


def request_like(job: Job, said: Request, config: Config) -> Request:
    """Say in the words of `enqueue` what would make this job, as far as its definition does not say it."""
    if not job.adhoc:
        defined = config.definitions.get(job.job)
        key = job.unique_key if defined is None or defined.unique is None else None
        return replace(said, job=job.job, unique=said.unique or key)
    options = options_from(job.options)
    if options.command is None:
        raise KiribiError(Code.NOT_FOUND, f"job {job.id} has no command to run again")
    env = tuple(f"{name}={value}" for name, value in (options.env or {}).items())
    return replace(
        said,
        command=options.command,
        name=said.name or job.job,
        cwd=said.cwd or options.cwd,
        env=(*env, *said.env),
        unique=said.unique or job.unique_key,
    )


def options_like(job: Job, said: Request, recipe: Recipe) -> Options:
    """Keep the frozen options, but for those said otherwise."""
    options = options_from(job.options)
    if said.timeout is not None:
        options = replace(options, timeout_ms=recipe.definition.timeout_ms)
    if said.backoff is not None:
        options = replace(options, backoff=recipe.definition.backoff)
    if job.adhoc:
        fresh = options_from(recipe.plan["options"])
        options = replace(options, command=fresh.command, cwd=fresh.cwd, env=fresh.env)
    return options


def _frozen(job: Job, said: Request, recipe: Recipe, run_at: int) -> NewJob:
    kept: NewJob = {"options": options_text(options_like(job, said, recipe))}
    if said.queue is None:
        kept["queue"] = job.queue
    if said.priority is None:
        kept["priority"] = job.priority
    if said.max_attempts is None:
        kept["max_attempts"] = job.max_attempts
    if said.expires is None:
        kept["expires_at"] = None if job.expires_at is None else run_at + job.expires_at - job.run_at
    kept["tags"] = tags_text(tuple(dict.fromkeys((*job.tags, *said.tags))))
    return kept
