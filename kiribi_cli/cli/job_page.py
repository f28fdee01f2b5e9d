"""The page about one job, for people; and its JSON."""

from collections.abc import Iterator, Sequence
from typing import Any

from kiribi_cli.actions.views import event_view
from kiribi_cli.cli.jobs_table import whole_view
from kiribi_cli.cli.output import compact
from kiribi_cli.cli.people import COLOURS, ago, clock, error_text, how_long, progress_text, status_text
from kiribi_cli.cli.wiring import Here
from kiribi_cli.core.durations import spell_size
from kiribi_cli.core.job import Job
from kiribi_cli.core.records import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """What of the job is wanted."""

    attempts: bool = False
    payload: bool = False
    result: bool = False
    events: bool = False
    reveal: bool = False


def tell(at: Here, jobs: Sequence[Job], page: Page) -> None:
    """Write one page, or several; as JSON one object, or an array."""
    now = at.now()
    views = []
    for job in jobs:
        view = whole_view(at, job, now, reveal=page.reveal)
        if page.events:
            view["events"] = [event_view(event) for event in at.store.events(job_id=job.id)]
        views.append(view)
    if len(views) > 1 and (at.out.as_json or at.out.fields or at.out.quiet):
        at.out.list(views, [], known=tuple(views[0]))
        return
    for place, view in enumerate(views):
        if place:
            at.out.line("")
        at.out.thing(view, lambda view=view: _page(at, view, page, now))  # type: ignore[misc]


def _page(at: Here, view: dict[str, Any], page: Page, now: int) -> Iterator[str]:
    if page.payload or page.result:
        yield from (_document(view[name]) for name in ("payload", "result") if getattr(page, name))
        return
    yield from _head(at, view, now)
    if page.events:
        yield from _events(at, view, now)
    else:
        yield from _attempts(at, view, now)
    yield _line("Next", _next(view))


def _head(at: Here, view: dict[str, Any], now: int) -> Iterator[str]:
    out = at.out
    tags = ", ".join(view["tags"]) or "–"
    status = out.style(status_text(view["status"], unicode=out.unicode), COLOURS.get(view["status"]))
    yield (
        f"{out.style(out.shown(view['job']), 'bold')}  job {view['id']}   {status}   "
        f"{view['attempts']} of {view['max_attempts']} attempts        "
        + out.shown(f"queue {view['queue']} · priority {view['priority']} · tags {tags}")
    )
    when = f"{clock(view['created_at'], now, at.zone)}  {ago(view['created_at'], now)}"
    created = f"{when}   {_by(view, clock(view['scheduled_for'], now, at.zone) if view['scheduled_for'] else None)}"
    yield _line("Created", out.shown(created))
    if view["finished_at"]:
        ran = f"waited {how_long(view['wait_ms'])} · ran {how_long(view['total_ms'])} in all"
        yield _line("Finished", f"{clock(view['finished_at'], now, at.zone)}            {ran}")
    elif view["status"] in ("scheduled", "retrying"):
        yield _line("Due", f"{clock(view['run_at'], now, at.zone)}  {ago(view['run_at'], now)}")
    if view["progress"] and view["status"] == "running":
        yield _line("Progress", out.shown(progress_text(view["progress"])))
    yield _line("Why", out.shown(view["why"]["message"]))
    for title, name in (("Payload", "payload"), ("Result", "result")):
        if view[name] is not None:
            yield _line(title, out.shown(compact(view[name])))
    if view["unique_key"]:
        yield _line("Unique", out.shown(view["unique_key"]))


def _by(view: dict[str, Any], planned: str | None) -> str:
    origin = view["origin"]
    if view["schedule"] and origin["kind"] == "schedule":
        return f"by schedule {view['schedule']}" + (f", planned for {planned}" if planned else "")
    return f"by {origin['by']} ({origin['kind']})" if origin["by"] else f"by {origin['kind']}"


def _attempts(at: Here, view: dict[str, Any], now: int) -> Iterator[str]:
    for place, attempt in enumerate(view["attempt_list"]):
        again = (
            f"   again {ago(attempt['next_attempt_at'], now)}"
            if attempt["next_attempt_at"] and _waits(view, attempt)
            else ""
        )
        error = error_text(attempt["error"], attempt["exit_code"]) if attempt["error"] else attempt["outcome"]
        used = _used(attempt)
        started = clock(attempt["started_at"], now, at.zone)
        text = f"{attempt['attempt']}  {started}  {how_long(attempt['duration_ms'])}  {error}"
        yield _line("" if place else "Attempts", at.out.shown(text) + used + again)


def _waits(view: dict[str, Any], attempt: dict[str, Any]) -> bool:
    return view["status"] in ("retrying", "scheduled") and attempt is view["attempt_list"][-1]


def _used(attempt: dict[str, Any]) -> str:
    if attempt["cpu_user_ms"] is None or not attempt["max_rss_bytes"]:
        return ""
    cpu = how_long(attempt["cpu_user_ms"] + (attempt["cpu_system_ms"] or 0))
    return f"   CPU {cpu} · memory {spell_size(attempt['max_rss_bytes'])}"


def _events(at: Here, view: dict[str, Any], now: int) -> Iterator[str]:
    for place, event in enumerate(view["events"]):
        yield _line(
            "" if place else "Events", at.out.shown(event_text(event, clock(event["ts"], now, at.zone), with_job=False))
        )


def event_text(event: dict[str, Any], when: str, *, with_job: bool = True) -> str:
    """One state change in one line."""
    moved = "" if event["to"] is None else f"  {event['from'] or '·'} → {event['to']}"
    job = f"  {event['job']} {event['id']}" if with_job and event["id"] is not None else ""
    attempt = f"  attempt {event['attempt']}" if event["attempt"] else ""
    code = f"  exit {event['exit_code']}" if event["exit_code"] is not None else ""
    by = f"  by {event['by']}" if event["by"] else ""
    reason = f"  ({event['reason']})" if event["reason"] else ""
    return f"{when}  {event['type']}{job}{moved}{attempt}{code}{by}{reason}"


def _next(view: dict[str, Any]) -> str:
    number = view["id"]
    match view["status"]:
        case "failed" | "cancelled" | "skipped":
            return f"kiribi logs {number} · kiribi retry {number} · kiribi duplicate {number} --edit"
        case "running":
            return f"kiribi logs -f {number} · kiribi cancel {number}"
        case "completed":
            return f"kiribi logs {number} · kiribi duplicate {number}"
        case _:
            return f"kiribi why {number} · kiribi edit {number} · kiribi cancel {number}"


def _document(value: Any) -> str:
    # A text as it is, with its lines; on the way to a terminal Out sees to the rest.
    return value if isinstance(value, str) else compact(value)


def _line(title: str, text: str) -> str:
    return f"{title:<9} {text}"
