"""`kiribi stats`: how it goes."""

from typing import TYPE_CHECKING, Annotated, Any, cast

from kiribi_cli.cli.declared import Context, Option
from kiribi_cli.cli.wiring import Here, here

if TYPE_CHECKING:
    from kiribi_cli.actions.stats import By

GROUPS = ("job", "queue", "hour", "error", "tag")
DAY_MS = 86_400_000


def stats(
    ctx: Context,
    *,
    since: Annotated[
        str | None, Option("--since", metavar="T", help="From this time on, or this long ago; default 24h.")
    ] = None,
    until: Annotated[str | None, Option("--until", metavar="T", help="Before this time; default now.")] = None,
    by: Annotated[str, Option("--by", metavar="job|queue|hour|error|tag", help="One row for each of these.")] = "job",
    job: Annotated[str | None, Option("--job", metavar="NAME", help="Only this job definition.")] = None,
    watch: Annotated[bool, Option("-w", "--watch", help="Show again every 2 seconds (terminal only).")] = False,
    plain: Annotated[bool, Option("--plain", help="No bars, no redrawing.")] = False,
) -> int | None:
    """Count what ended and how, how long it took and waited, and what CPU and memory it used.

    Percentiles are within 10 %, come from hourly figures and survive `kiribi sweep`.

    Examples:
      kiribi stats
      kiribi stats --since 7d --by error
      kiribi stats --job Import --by hour --json
    """
    from kiribi_cli.errors import Code, KiribiError

    at = here(ctx)
    if by not in GROUPS:
        raise KiribiError(Code.USAGE, f'--by is "{by}"', hint=f"write one of: {', '.join(GROUPS)}")
    if job is not None and by in ("error", "tag"):
        raise KiribiError(
            Code.USAGE, f"--by {by} cannot be narrowed to one job", hint="use --by job, queue or hour with --job"
        )
    if job is not None:
        _must_be_known(at, job)

    def once() -> None:
        _show(at, cast("By", by), since, until, job, plain=plain)

    if watch:
        from kiribi_cli.cli.watch import watching

        return watching(at, once, plain=plain)
    once()
    return None


def _show(at: Here, by: "By", since: str | None, until: str | None, job: str | None, *, plain: bool) -> None:
    from kiribi_cli.actions.stats import stats as gather
    from kiribi_cli.cli.stats_page import headline, stats_columns
    from kiribi_cli.errors import Code, KiribiError

    now = at.now()
    first = at.moment(since, past=True) if since else now - DAY_MS
    last = at.moment(until, past=True) if until else now
    if first >= last:
        raise KiribiError(Code.USAGE, "--since is not before --until")
    found: dict[str, Any] = gather(at.store, since=first, until=last, now=now, by=by, job=job)
    if at.out.as_json and not at.out.fields:
        at.out.document(found)
        return
    if at.out.form == "table" and not at.out.quiet and not at.out.fields:
        for line in headline(at.out, found, last - first, plain=plain):
            at.out.line(line)
    at.out.list(
        found["by"], stats_columns(at.out, by, plain=plain), name=by, known=tuple(found["by"][0]) if found["by"] else ()
    )


def _must_be_known(at: Here, job: str) -> None:
    from kiribi_cli.actions.jobs import not_known

    known = {*at.store.names(), *(at.outline.jobs if at.outline else ())}
    if job not in known and not at.store.hours("job", since=0, until=at.now() + DAY_MS, key=job):
        raise not_known("job", job, sorted(known), f'no job "{job}" in jobs.toml or in the history')
