"""`kiribi ls`: which jobs there are."""

from typing import Annotated

from kiribi_cli.cli.declared import Argument, Context, Option, filtered
from kiribi_cli.cli.wiring import Here, here

SCREENFUL = 50
SORTS = ("created", "started", "finished", "priority", "attempts", "duration", "job")


@filtered
def ls(
    ctx: Context,
    query: Annotated[list[str] | None, Argument(metavar="[QUERY]...", help="Words, see `kiribi help queries`.")] = None,
    *,
    sort: Annotated[
        str | None,
        Option(
            "--sort",
            metavar="[-]KEY",
            help="created, started, finished, priority, attempts, duration or job; - turns round.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        Option("-n", "--limit", min=0, metavar="N", help="How many; 0 = all. Default 50 for a table, else all."),
    ] = None,
    before: Annotated[
        int | None, Option("--before", metavar="ID", min=1, max=2**63 - 1, help="Only older than this id, for paging.")
    ] = None,
    count: Annotated[bool, Option("--count", help="Print only how many match.")] = False,
    watch: Annotated[bool, Option("-w", "--watch", help="Show again every 2 seconds (terminal only).")] = False,
    exit_status: Annotated[bool, Option("--exit-status", help="Exit 1 if nothing matched.")] = False,
) -> int:
    """List jobs, newest first.

    Words and options choose; comma or repetition means or, different ones mean and.

    Examples:
      kiribi ls failed since:1h
      kiribi ls --status active --job 'Import*' --sort -priority
      kiribi ls --status failed --json | jq -r '.[].id' | kiribi retry -
      kiribi ls -- -job:Mailer
    """
    from kiribi_cli.core.records import replace

    at = here(ctx)
    which = replace(at.filter(query or ()), before=before)
    if count:
        number = at.store.count(which, now=at.now())
        at.out.document({"count": number}) if at.out.as_json else at.out.line(str(number))
        return int(exit_status and not number)
    if watch:
        from kiribi_cli.cli.watch import rows_that_fit, watching

        # The newest rows stay in sight; what scrolls away is nothing that can be watched.
        return watching(at, lambda: _show(at, which, sort, min(limit or SCREENFUL, rows_that_fit()), talk=False))
    shown = _show(at, which, sort, limit, talk=True)
    return int(exit_status and not shown)


def _show(at: Here, which: "Filter", sort: str | None, limit: int | None, *, talk: bool) -> int:
    from kiribi_cli.actions.views import DETAIL_FIELDS, JOB_FIELDS
    from kiribi_cli.cli.jobs_table import job_columns, views

    key, descending = _sorting(sort)
    most = (SCREENFUL if at.out.form == "table" and not at.out.quiet else None) if limit is None else limit or None
    now = at.now()
    jobs = at.store.find(which, now=now, sort=key, descending=descending, limit=most)
    shown = at.out.list(views(at, jobs, now), job_columns(at.out, now), known=(*JOB_FIELDS, *DETAIL_FIELDS, "note"))
    if talk and at.out.talks and at.out.form == "table" and at.out.tty:
        _say_how_many(at, which, shown, cut=shown == most)
    return shown


def _say_how_many(at: Here, which: "Filter", shown: int, *, cut: bool) -> None:
    if not shown:
        at.out.note("no jobs match" if at.filtered else "no jobs yet: kiribi enqueue -- COMMAND makes one")
        return
    # Bounded: nobody waits for a count over ten million rows.
    total, all_ = at.store.count_some(which, now=at.now(), at_most=10_000) if cut else (shown, True)
    of = f"{shown:,} of {'' if all_ else 'more than '}{max(shown, total):,} jobs"
    at.out.note(f"{of} · kiribi show ID · kiribi logs ID")


def _sorting(word: str | None) -> "tuple[Sort, bool]":
    from typing import cast

    from kiribi_cli.errors import Code, KiribiError

    if word is None:
        return "created", True
    key = word.removeprefix("-")
    if key not in SORTS:
        raise KiribiError(
            Code.USAGE, f'--sort is "{word}"', hint=f"write one of: {', '.join(SORTS)}, with - to turn it round"
        )
    return cast("Sort", key), word.startswith("-")


TYPE_CHECKING = False
if TYPE_CHECKING:
    from kiribi_cli.store.base import Filter, Sort
