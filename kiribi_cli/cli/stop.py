"""kiribi stop."""

from typing import Annotated

from kiribi_cli.cli.declared import Argument, Context, Option
from kiribi_cli.cli.wiring import here


def stop(
    ctx: Context,
    workers: Annotated[list[str] | None, Argument(metavar="[WORKER]...", help="Names, as in kiribi ps.")] = None,
    *,
    immediately: Annotated[bool, Option("--now", help="Do not wait for running jobs: put them back.")] = False,
    no_wait: Annotated[bool, Option("--no-wait", help="Return when the request is stored.")] = False,
    timeout: Annotated[str | None, Option("--timeout", metavar="T", help="Wait so long at most.")] = None,
) -> int:
    """Ask workers to finish what they run and to go.

    All workers of the database, or these. Returns when they are gone.

    Examples:
        kiribi stop
        kiribi stop web1:8123 --now
        kiribi stop --timeout 1m || kiribi stop --now
    """
    from kiribi_cli import clock
    from kiribi_cli.actions.stop import choose_workers, is_suspended, wait_gone
    from kiribi_cli.actions.stop import stop as ask
    from kiribi_cli.errors import Code, KiribiError

    at = here(ctx)
    patience = None if timeout is None else at.duration(timeout) / 1000
    chosen = choose_workers(at.store, workers or ())
    ask(at.store, chosen, "now" if immediately else "drain", now=at.now())
    names = [worker.name for worker in chosen]
    if not no_wait:
        at.out.note(f"waiting for {', '.join(names)}; Ctrl-C leaves them stopping")
        for worker in filter(is_suspended, chosen):
            words = f"{at.out.shown(worker.name)} is stopped (Ctrl-Z, or kill -STOP) and hears nothing"
            at.out.note(f"{words}: kill -CONT {worker.pid}")
        left = wait_gone(at.store, chosen, clock=clock.monotonic, pause=lambda: clock.sleep(0.05), timeout=patience)
        if left:
            still = ", ".join(worker.name for worker in left)
            asleep = [f"kill -CONT {worker.pid}" for worker in left if is_suspended(worker)]
            hint = f"it was stopped by Ctrl-Z or kill -STOP: {'; '.join(asleep)}" if asleep else "kiribi stop --now"
            raise KiribiError(Code.TIMEOUT, f"{still} did not end within {timeout}", hint=hint)
    if at.out.as_json:
        at.out.document({"action": "stop", "workers": names, "waited": not no_wait})
    elif at.out.quiet:
        for name in names:
            at.out.line(at.out.shown(name))
    else:
        at.out.note(f"✓ {', '.join(names)} {'asked to stop' if no_wait else 'stopped'}")
    return 0
