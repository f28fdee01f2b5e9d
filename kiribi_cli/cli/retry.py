"""kiribi retry."""

from typing import Annotated

from kiribi_cli.cli.declared import Context, Option, filtered
from kiribi_cli.cli.wiring import DryRun, Ids, here


@filtered
def retry(
    ctx: Context,
    ids: Ids = None,
    *,
    force: Annotated[bool, Option("--force", help="Also jobs that are completed.")] = False,
    more: Annotated[
        int | None, Option("--more", metavar="N", min=1, max=1000, help="Attempts granted (the original max_attempts).")
    ] = None,
    delay: Annotated[str | None, Option("--in", metavar="T", help="Not before so long from now.")] = None,
    spread: Annotated[str | None, Option("--spread", metavar="T", help="Spread the starts over T.")] = None,
    limit: Annotated[int | None, Option("--limit", metavar="N", help="At most N jobs, the oldest first.")] = None,
    dry_run: DryRun = False,
) -> int:
    """Put failed, cancelled and skipped jobs back into the queue.

    The same job goes on: attempts are appended, nothing is erased. Retrying jobs start now. Named ids are not
    asked about; jobs picked by a filter are listed by name first, and need a yes.

    Examples:
        kiribi retry 42
        kiribi retry --status failed --since 1d --spread 10m
        kiribi ls --status failed -q | kiribi retry - --yes
    """
    from kiribi_cli.actions import change
    from kiribi_cli.actions.acting import would_act
    from kiribi_cli.cli.acting import choose, question, tell

    at = here(ctx)
    in_ms, spread_ms = at.duration(delay or "0"), at.duration(spread or "0")
    chosen = choose(at, ids, "retry", force=force, limit=limit)
    if dry_run:
        action = would_act("retry", chosen)
    else:
        if chosen.by_filter and chosen.ids:
            at.confirm(question("Retry", chosen))
        action = change.retry(
            at.store, chosen, by=at.by, now=at.now(), force=force, more=more, in_ms=in_ms, spread_ms=spread_ms
        )
    done = "pending again" if not (in_ms or spread_ms) else "scheduled again"
    return tell(at, action, chosen, would="retry", done=done)
