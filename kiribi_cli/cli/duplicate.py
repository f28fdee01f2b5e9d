"""kiribi duplicate."""

from typing import Annotated

from kiribi_cli.cli import options
from kiribi_cli.cli.declared import Argument, Context, Option
from kiribi_cli.cli.wiring import DryRun, here


def duplicate(
    ctx: Context,
    words: Annotated[list[str], Argument(metavar="ID [KEY=VALUE]...", help="The job, and what differs.")],
    *,
    payload: Annotated[
        str | None, Option("-p", "--payload", metavar="JSON", help="Another payload: JSON, @FILE or -.")
    ] = None,
    edit: Annotated[bool, Option("--edit", help="Open the payload in $VISUAL or $EDITOR.")] = False,
    count: Annotated[int, Option("--count", metavar="N", min=1, max=10_000, help="So many of them.")] = 1,
    queue: Annotated[str | None, Option("--queue", metavar="Q", help="Another queue.")] = None,
    priority: Annotated[int | None, Option("--priority", metavar="N", help="Another priority.")] = None,
    tag: options.Tags = None,
    name: Annotated[str | None, Option("--name", metavar="NAME", help="Another name (ad-hoc jobs).")] = None,
    delay: options.In = None,
    when: options.At = None,
    max_attempts: options.MaxAttempts = None,
    timeout: options.Timeout = None,
    expires: options.Expires = None,
    backoff: options.Backoff = None,
    unique: Annotated[str | None, Option("--unique", metavar="KEY", help="A unique key of its own.")] = None,
    until: Annotated[str | None, Option("--while", metavar="W", help="pending, unfinished or a duration.")] = None,
    on_conflict: Annotated[str | None, Option("--on-conflict", metavar="C", help="skip or error (error here).")] = None,
    env: Annotated[list[str] | None, Option("--env", metavar="NAME[=VALUE]", help="Ad-hoc jobs only.")] = None,
    cwd: Annotated[str | None, Option("--cwd", metavar="DIR", help="Another folder (ad-hoc jobs).")] = None,
    dry_run: DryRun = False,
) -> int:
    """Enqueue a new job like one that is there.

    Same definition, payload and options as the old job had, due now. What differs is said as for kiribi enqueue.
    Prints the ids of the new jobs.

    Examples:
        kiribi duplicate 42
        kiribi duplicate @last:Mailer to=ops@example.com
        kiribi duplicate 42 --edit
        kiribi duplicate 42 --count 10 --queue slow
    """
    from kiribi_cli.actions.duplicate import insert_like, like
    from kiribi_cli.actions.jobs import found_jobs
    from kiribi_cli.actions.request import Request
    from kiribi_cli.cli import doors

    at = here(ctx)
    said = Request(
        queue=queue, priority=priority, tags=tuple(tag or ()), name=name, delay=delay, at=when, cwd=cwd,
        max_attempts=max_attempts, timeout=timeout, expires=expires, backoff=backoff, unique=unique, until=until,
        on_conflict=on_conflict, env=tuple(env or ()),
    )  # fmt: skip
    [job] = found_jobs(at.store, [at.id(words[0])], now=at.now())
    given = doors.given_payload(payload)
    if edit:
        given = _edited_payload(ctx, job.payload if given is None else given)
    now = at.now()
    row = like(
        job, said, at.config, doors.caller(at), payload=given, words=tuple(words[1:]), read=doors.file_text, now=now
    )
    if dry_run:
        said_payload = at.out.shown(row["payload"] or "–")
        if at.out.as_json:
            at.out.document(
                {"action": "duplicate", "dry_run": True, "matched": 1, "changed": 0, "ids": [], "refused": []}
            )
        else:
            at.out.line(f"Would enqueue {count} like job {job.id}   {at.out.shown(job.job)}   {said_payload}")
        return 0
    inserted = insert_like(at.store, [row] * count, now=now)
    _print(ctx, [each.id for each in inserted], {each.id for each in inserted if each.deduplicated})
    return 0


def _edited_payload(ctx: Context, before: str | bytes | None) -> str:
    import json

    from kiribi_cli.cli.editor import edited
    from kiribi_cli.core import payload as payloads

    # What is no payload is refused before anybody edits it.
    value = None if before is None else payloads.parse(before, max(4 * len(before), payloads.DEFAULT_MAX))
    text = before.decode() if isinstance(before, bytes) else before
    shown = "" if text is None else json.dumps(value, indent=2, ensure_ascii=False) + "\n"

    def read(written: str) -> str:
        payloads.parse(written)
        # Untouched, it is taken over byte for byte.
        return text if text is not None and written == shown else written.strip()

    return edited(here(ctx), shown, read)


def _print(ctx: Context, ids: list[int], deduplicated: set[int]) -> None:
    from kiribi_cli.actions.views import job_view

    at = here(ctx)
    if not at.out.as_json:
        for job in ids:
            at.out.line(str(job))
        return
    now = at.now()
    views = [job_view(job, now=now, deduplicated=job.id in deduplicated) for job in at.store.jobs(ids, now=now)]
    if len(views) == 1 or at.out.form == "jsonl":
        for view in views:
            at.out.document(view)
    else:
        at.out.document(views)
