"""`kiribi why`: one sentence."""

from typing import Annotated

from kiribi_cli.cli.declared import Argument, Context
from kiribi_cli.cli.wiring import here


def why(ctx: Context, job: Annotated[str, Argument(metavar="ID", help="42, @last, @last:NAME or @-2.")]) -> None:
    """Say in one sentence why a job does not run yet, or what became of it.

    Examples:
      kiribi why 42
      kiribi why @last --json | jq -r .code
    """
    from kiribi_cli.actions.jobs import found_jobs
    from kiribi_cli.actions.why import why_view
    from kiribi_cli.cli.people import clock_ms
    from kiribi_cli.core.job import Status

    at = here(ctx)
    now = at.now()
    found = found_jobs(at.store, [at.id(job)], now=now)[0]
    # Only what is pending depends on jobs.toml, so a finished job is explained without reading it.
    known = at.outline if found.status is Status.PENDING else None
    problem = _problem(at.config_error)
    attempts = at.store.attempts(found.id)
    view = why_view(
        at.store, found, attempts, now=now, known=known, problem=problem, at=lambda ms: clock_ms(ms, now, at.zone)
    )
    at.out.thing(view, lambda: [at.out.shown(view["message"])])


def _problem(error: Exception | None) -> str | None:
    if error is None:
        return None
    details = getattr(error, "details", ())
    return str(details[0] if details else error)
