"""kiribi rm."""

from typing import Annotated

from kiribi_cli.cli.declared import Context, Option, filtered
from kiribi_cli.cli.wiring import DryRun, Ids, here

# A job gets its stop signal and ten seconds by default before it is killed; then somebody has to write that down.
PATIENCE_S = 30.0


@filtered
def rm(
    ctx: Context,
    ids: Ids = None,
    *,
    force: Annotated[bool, Option("--force", help="Cancel unfinished ones first, and wait for their end.")] = False,
    dry_run: DryRun = False,
) -> int:
    """Delete finished jobs with their attempts and logs.

    Statistics keep counting them. It always asks; without a terminal it needs --yes.

    Examples:
        kiribi rm 42
        kiribi rm --job Import --until 30d -n
        kiribi rm --status cancelled --yes
    """
    from kiribi_cli import clock
    from kiribi_cli.actions import change
    from kiribi_cli.actions.acting import would_act
    from kiribi_cli.cli.acting import choose, question, tell

    at = here(ctx)
    chosen = choose(at, ids, "rm", force=force)
    if dry_run:
        return tell(at, would_act("rm", chosen), chosen, would="delete", done="")
    if chosen.ids:
        at.confirm(question("Delete", chosen))
    if force:
        asked = change.cancel(at.store, chosen, by=at.by, now=at.now())
        pause = lambda: clock.sleep(0.05)  # noqa: E731
        change.await_end(at.store, asked.changed, clock=clock.monotonic, pause=pause, patience=PATIENCE_S)
    action = change.remove(at.store, at.database.logs, chosen, by=at.by, now=at.now())
    return tell(at, action, chosen, would="delete", done="deleted")
