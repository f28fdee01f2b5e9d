"""`kiribi events`: every move, as it was recorded."""

from typing import TYPE_CHECKING, Annotated

from kiribi_cli.cli.declared import Context, Option
from kiribi_cli.cli.wiring import Here, here
from kiribi_cli.errors import Code, KiribiError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kiribi_cli.core.job import Event


def events(
    ctx: Context,
    *,
    follow: Annotated[
        bool, Option("-f", "--follow", help="Go on with what happens next; from now if no --since.")
    ] = False,
    since: Annotated[str | None, Option("--since", metavar="T", help="Not before this time, or this long ago.")] = None,
    from_seq: Annotated[
        int | None, Option("--from-seq", metavar="N", min=0, max=2**63 - 1, help="From this number on.")
    ] = None,
    types: Annotated[
        list[str] | None,
        Option("--type", metavar="T", help="Only of this type, such as job.failed; comma or repetition = or."),
    ] = None,
    job: Annotated[str | None, Option("--id", metavar="ID", help="Only of this job.")] = None,
) -> None:
    """Print state changes, oldest first: lines on a terminal, JSON lines otherwise.

    Examples:
      kiribi events --since 1h --type job.failed
      kiribi events -f | jq -c 'select(.final)'
      kiribi events --from-seq 90121
    """
    from kiribi_cli.cli.events_stream import follow_events

    at = here(ctx)
    wanted = _types(types or ())
    job_id = _one(at, job) if job else None
    start = at.moment(since, past=True) if since else None
    if follow:
        first = from_seq if from_seq is not None else (0 if start is not None else at.store.last_seq() + 1)
        _print(at, follow_events(at.store, from_seq=first, since=start, types=wanted, job_id=job_id))
        return
    _print(at, at.store.events(from_seq=from_seq or 0, since=start, types=wanted, job_id=job_id))


def _one(at: Here, word: str) -> int:
    ids = at.existing([word])
    if len(ids) != 1:
        raise KiribiError(Code.USAGE, f"--id takes one id, not {len(ids)}", hint="kiribi events --id @last")
    return ids[0]


def _print(at: Here, found: "Iterator[Event]") -> None:
    from kiribi_cli.actions.views import event_view
    from kiribi_cli.cli.job_page import event_text
    from kiribi_cli.cli.people import clock

    readable = at.out.form == "table"
    if at.out.form == "json" or at.out.quiet or (at.out.form == "tsv" and at.out.fields):
        at.out.list((event_view(event) for event in found), [], name="seq", known=FIELDS)
        return
    for event in found:
        view = event_view(event)
        if readable:
            at.out.line(at.out.shown(event_text(view, clock(view["ts"], at.now(), at.zone))))
        else:
            at.out.row(view)


FIELDS = ("seq", "ts", "type", "id", "job", "from", "to", "attempt", "final", "exit_code", "by", "reason")


def _types(words: "tuple[str, ...] | list[str]") -> list[str]:
    from typing import get_args

    from kiribi_cli.core.job import EventType

    known = get_args(EventType)
    wanted = [item.strip() for word in words for item in word.split(",") if item.strip()]
    for word in wanted:
        if word not in known:
            raise KiribiError(Code.USAGE, f'there is no event type "{word}"', hint=f"one of: {', '.join(known)}")
    return wanted
