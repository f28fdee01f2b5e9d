"""kiribi cancel."""

from typing import Annotated

from kiribi_cli.cli.declared import Context, Option, filtered
from kiribi_cli.cli.wiring import DryRun, Ids, here


@filtered
def cancel(
    ctx: Context,
    ids: Ids = None,
    *,
    wait: Annotated[bool, Option("--wait", help="Return when the running ones have ended.")] = False,
    signal: Annotated[str | None, Option("--signal", metavar="SIG", help="Send this first, not stop_signal.")] = None,
    immediately: Annotated[bool, Option("--now", help="SIGKILL at once.")] = False,
    dry_run: DryRun = False,
) -> int:
    """End unfinished jobs.

    A waiting job is cancelled at once. A running one gets its stop signal, and SIGKILL to all of it after
    kill_after; the command returns when the request is stored. Jobs picked by a filter need a yes.

    Examples:
        kiribi cancel 42
        kiribi cancel --job Import --status pending
        kiribi cancel @last --now --wait
    """
    from kiribi_cli import clock
    from kiribi_cli.actions import change
    from kiribi_cli.actions.acting import would_act
    from kiribi_cli.cli.acting import choose, question, tell
    from kiribi_cli.errors import Code, KiribiError

    at = here(ctx)
    if signal and immediately:
        raise KiribiError(Code.USAGE, "--signal and --now cannot both be given", hint="--now is --signal KILL")
    first = change.signal_word(signal) if signal else "SIGKILL" if immediately else None
    chosen = choose(at, ids, "cancel")
    if dry_run:
        return tell(at, would_act("cancel", chosen), chosen, would="cancel", done="")
    if chosen.by_filter and chosen.ids:
        at.confirm(question("Cancel", chosen))
    action = change.cancel(at.store, chosen, by=at.by, now=at.now(), signal=first)
    if wait:
        change.await_end(at.store, action.changed, clock=clock.monotonic, pause=lambda: clock.sleep(0.05))
    running = {job.id for job in at.store.running()}.intersection(action.changed)
    done = f"cancelled, {len(running)} of them still ending" if running else "cancelled"
    return tell(at, action, chosen, would="cancel", done=done)
