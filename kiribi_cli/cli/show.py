"""`kiribi show`: everything about a job."""

from typing import Annotated

from kiribi_cli.cli.declared import Argument, Context, Option
from kiribi_cli.cli.wiring import here


def show(
    ctx: Context,
    ids: Annotated[list[str], Argument(metavar="ID...", help="42, @last, @last:NAME, @-2, or - for ids from stdin.")],
    *,
    attempts: Annotated[bool, Option("--attempts", help="The attempts (the default, with the rest).")] = False,
    payload: Annotated[bool, Option("--payload", help="Only the payload.")] = False,
    result: Annotated[bool, Option("--result", help="Only the result.")] = False,
    events: Annotated[bool, Option("--events", help="Every move: when, from, to, by whom, why.")] = False,
    tree: Annotated[bool, Option("--tree", help="The flow it belongs to, as a tree.")] = False,
    reveal: Annotated[bool, Option("--reveal", help="Show what `redact` masks; asks unless --yes.")] = False,
) -> None:
    """Show a job: how it stands and why, its payload, its attempts.

    Several ids give one after another, or a JSON array.

    Examples:
      kiribi show @last
      kiribi show 42 --events
      kiribi show 42 --json | jq .result
    """
    from kiribi_cli.actions.jobs import found_jobs
    from kiribi_cli.cli.job_page import Page, tell
    from kiribi_cli.errors import Code, KiribiError

    at = here(ctx)
    if tree:
        raise KiribiError(
            Code.USAGE, "kiribi has no flows yet, so there is no tree to show", hint="kiribi show ID --events"
        )
    if reveal and not at.out.tty:
        at.confirm("Show values that jobs.toml wants masked?")
    jobs = found_jobs(at.store, at.ids(ids), now=at.now())
    tell(at, jobs, Page(attempts=attempts, payload=payload, result=result, events=events, reveal=reveal))
