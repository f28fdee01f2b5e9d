"""kiribi edit."""

from typing import TYPE_CHECKING, Annotated

from kiribi_cli.cli.declared import Argument, Context, Option
from kiribi_cli.cli.wiring import here

if TYPE_CHECKING:
    from kiribi_cli.actions.edit import Said
    from kiribi_cli.cli.wiring import Here
    from kiribi_cli.core.job import Job


def edit(
    ctx: Context,
    words: Annotated[list[str], Argument(metavar="ID [KEY=VALUE]...", help="The job, and changes to its payload.")],
    *,
    payload: Annotated[
        str | None, Option("-p", "--payload", metavar="JSON", help="A new payload: JSON, @FILE or -.")
    ] = None,
    when: Annotated[str | None, Option("--at", metavar="TIME", help="Not before this time.")] = None,
    delay: Annotated[str | None, Option("--in", metavar="DURATION", help="Not before so long from now.")] = None,
    immediately: Annotated[bool, Option("--now", help="As soon as possible.")] = False,
    priority: Annotated[int | None, Option("--priority", metavar="N", help="A new priority.")] = None,
    queue: Annotated[str | None, Option("--queue", metavar="Q", help="Another queue.")] = None,
    max_attempts: Annotated[int | None, Option("--max-attempts", metavar="N", help="Attempts in all.")] = None,
    timeout: Annotated[str | None, Option("--timeout", metavar="T", help='Of each attempt, or "none".')] = None,
    expires: Annotated[str | None, Option("--expires", metavar="T", help='After its time, or "none".')] = None,
    tag: Annotated[list[str] | None, Option("--tag", metavar="T", help="These tags instead of the old ones.")] = None,
) -> int:
    """Change a job that has not started.

    Without options it opens $VISUAL or $EDITOR with everything that can be changed.

    Examples:
        kiribi edit 42 --at 02:30
        kiribi edit 42 --priority 10 --queue mail
        kiribi edit @last user=43
        kiribi edit 42
    """
    from kiribi_cli.actions.edit import Said, check_editable
    from kiribi_cli.actions.jobs import found_jobs
    from kiribi_cli.actions.request import Request
    from kiribi_cli.cli import doors
    from kiribi_cli.errors import Code, KiribiError

    at = here(ctx)
    if immediately and (when or delay):
        raise KiribiError(Code.USAGE, "--now cannot be given with --at or --in", hint="--now is --at now")
    [job] = found_jobs(at.store, [at.id(words[0])], now=at.now())
    check_editable(job)
    request = Request(
        queue=queue, priority=priority, at="now" if immediately else when, delay=delay, max_attempts=max_attempts,
        timeout=timeout, expires=expires,
    )  # fmt: skip
    # `--tag ""` takes all tags away.
    tags = tuple(each for each in tag if each) if tag else None
    said = Said(request=request, payload=doors.given_payload(payload), words=tuple(words[1:]), tags=tags)
    if said == Said():
        said = _in_editor(at, job)
    if said == Said():
        at.out.note("nothing was changed")
        return 0
    _apply(at, job, said)
    return 0


def _in_editor(at: "Here", job: "Job") -> "Said":
    from kiribi_cli.actions.edit import draft, draft_text, edit_of, said_in
    from kiribi_cli.cli import doors
    from kiribi_cli.cli.editor import edited

    before = draft(job, zone=at.zone)
    head = f"# Job {job.id} ({at.out.shown(job.job)}). Leave everything as it is to change nothing.\n\n"

    def read(text: str) -> "Said":
        said = said_in(text, before)
        # Everything is checked while what was written can still be mended.
        edit_of(job, said, at.config, doors.caller(at), read=doors.file_text, now=at.now())
        return said

    return edited(at, head + draft_text(before), read)


def _apply(at: "Here", job: "Job", said: "Said") -> None:
    from kiribi_cli.actions.edit import edit_of
    from kiribi_cli.actions.views import job_view
    from kiribi_cli.cli import doors
    from kiribi_cli.errors import Code, KiribiError

    now = at.now()
    change = edit_of(job, said, at.config, doors.caller(at), read=doors.file_text, now=now)
    acted = at.store.edit(job.id, change, by=at.by, now=now)
    for _, code, sentence in acted.refused:
        raise KiribiError(Code[code.upper()], sentence, hint=f"kiribi show {job.id}")
    if at.out.quiet:
        at.out.line(str(job.id))
    elif at.out.as_json and (after := at.store.job(job.id, now=now)) is not None:
        at.out.document(job_view(after, now=now))
    else:
        at.out.note(f"✓ job {job.id} is changed")
