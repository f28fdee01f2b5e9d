"""Jobs as rows: the columns of `ls`, and the fields that only some readers want."""

from collections.abc import Iterable, Iterator
from typing import Any

from kiribi_cli.actions.views import DETAIL_FIELDS, job_view
from kiribi_cli.cli.output import Column, Out, View
from kiribi_cli.cli.people import COLOURS, ago, how_long, note, status_text
from kiribi_cli.cli.wiring import Here
from kiribi_cli.core.job import Job


def job_columns(out: Out, now: int) -> list[Column]:
    """id job status attempts created_at duration_ms note."""
    return [
        Column("id", "ID"),
        Column("job", "JOB"),
        Column(
            "status", "STATUS", cell=lambda job: status_text(job["status"], unicode=out.unicode),
            style=lambda job: COLOURS.get(job["status"]),
        ),
        Column("attempts", "ATT", raw=lambda job: f"{job['attempts']}/{job['max_attempts']}"),
        Column("created_at", "CREATED", cell=lambda job: ago(job["created_at"], now)),
        Column("duration_ms", "TOOK", cell=lambda job: how_long(job["duration_ms"])),
        Column("note", "NOTE", raw=note, cell=lambda job: _told(job, now), grow=True),
    ]  # fmt: skip


def _told(job: View, now: int) -> str:
    said = note(job)
    if job["status"] == "scheduled":
        return f"starts {ago(job['run_at'], now)}"
    if job["status"] == "retrying":
        return f"again {ago(job['run_at'], now)}" + (f" · {said}" if said else "")
    return said


def views(at: Here, jobs: Iterable[Job], now: int) -> Iterator[dict[str, Any]]:
    """Job objects; with the fields of `show` where --fields asks for one of them, since those cost a look each."""
    detailed = set(at.globals.fields) & set(DETAIL_FIELDS)
    if not detailed:
        for job in jobs:
            view = job_view(job, now=now)
            yield {**view, "note": note(view)} if "note" in at.globals.fields else view
        return
    for job in jobs:
        view = whole_view(at, job, now)
        yield {**view, "note": note(view)}


def whole_view(at: Here, job: Job, now: int, *, reveal: bool = False) -> dict[str, Any]:
    """The object that `show` prints."""
    from kiribi_cli.actions.jobs import masks_of, story

    known = at.outline
    problem = at.config_error.message if at.config_error else None
    masks = masks_of(known, reveal=reveal)
    return story(at.store, job, now=now, masks=masks, logs=at.database.logs, known=known, problem=problem).view
