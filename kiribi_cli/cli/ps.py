"""kiribi ps."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from kiribi_cli.cli.declared import Context, Option
from kiribi_cli.cli.wiring import Column, here

if TYPE_CHECKING:
    from kiribi_cli.cli.wiring import Here
    from kiribi_cli.core.job import Job
    from kiribi_cli.store.base import Worker

DAY_MS = 86_400_000
COLUMNS = (
    Column("worker", "WORKER"),
    Column("pid", "PID"),
    Column("started_at", "UP"),
    Column("queues", "QUEUES", raw=lambda view: ",".join(view["queues"])),
    Column("busy", "BUSY", raw=lambda view: f"{view['busy']}/{view['slots']}"),
    Column("heartbeat_at", "SEEN"),
    Column("state", "STATE"),
)
HEAD = ("WORKER", "PID", "UP", "QUEUES", "BUSY", "SEEN", "ROLE")
FIELDS = (
    "worker", "host", "pid", "version", "state", "started_at", "heartbeat_at", "slots", "busy", "queues", "scheduler",
    "config_path", "config_error", "running",
)  # fmt: skip


def ps(
    ctx: Context,
    *,
    everybody: Annotated[bool, Option("--all", help="Also those that ended within the last day.")] = False,
    watch: Annotated[bool, Option("-w", "--watch", help="Show again every 2 seconds (terminal only).")] = False,
) -> int:
    """Show workers and what they run.

    Examples:
        kiribi ps
        kiribi ps --all
        kiribi ps --json | jq -r '.[].running[].id'
    """
    at = here(ctx)
    if watch:
        from kiribi_cli.cli.watch import watching

        return watching(at, lambda: show(at, everybody=everybody))
    show(at, everybody=everybody)
    return 0


def show(at: "Here", *, everybody: bool) -> None:
    from kiribi_cli.actions.views import worker_view

    now = at.now()
    jobs = at.store.running()
    found = at.store.workers(stopped_since=now - DAY_MS if everybody else None)
    shown = [worker for worker in found if everybody or worker.stopped_at is None]
    views = [worker_view(worker, _jobs_of(worker, jobs), now=now) for worker in shown]
    if at.out.form != "table" or at.out.quiet or at.out.fields:
        at.out.list(views, COLUMNS, name="worker", known=FIELDS)
        return
    if not views:
        at.out.note("no worker is alive; kiribi worker starts one")
    for line in page(at, shown, views, now):
        at.out.line(line)


def _jobs_of(worker: "Worker", jobs: "Sequence[Job]") -> "list[Job]":
    return [job for job in jobs if worker.stopped_at is None and job.worker == worker.name]


def page(at: "Here", workers: "Sequence[Worker]", views: Sequence[Mapping[str, Any]], now: int) -> Iterator[str]:
    """Lay the workers out in columns, each with the jobs it runs below it."""
    from kiribi_cli.core.durations import took

    rows = [HEAD, *(_row(at, worker, view, now) for worker, view in zip(workers, views, strict=True))]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEAD))]
    if views:
        yield at.out.style(_spaced(HEAD, widths), "bold")
    for row, view in zip(rows[1:], views, strict=True):
        yield at.out.style(_spaced(row, widths), "red" if view["state"] == "dead" else None)
        if view["config_error"]:
            yield f"  jobs.toml: {at.out.shown(view['config_error'])}"
        for job in view["running"]:
            ran = f"{took(job['elapsed_ms'])}  attempt {job['attempt']}{_progress(job['progress'])}"
            yield f"  {job['id']}  {at.out.shown(job['job'])}  {ran}"


def _row(at: "Here", worker: "Worker", view: Mapping[str, Any], now: int) -> tuple[str, ...]:
    from kiribi_cli.actions.stop import is_suspended
    from kiribi_cli.core.durations import age

    roles = [view["state"]] if view["state"] != "running" else []
    roles += ["stopped"] if is_suspended(worker) else []
    roles += ["foreground"] if worker.kind == "run" else []
    roles += ["low disk"] if worker.low_disk else []
    return (
        at.out.shown(worker.name),
        str(worker.pid),
        age(now - worker.started_at),
        at.out.shown(",".join(view["queues"])) or "all",
        f"{view['busy']}/{worker.slots}",
        f"{age(now - worker.heartbeat_at)} ago",
        ", ".join(roles),
    )


def _spaced(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _progress(progress: Mapping[str, Any] | None) -> str:
    if not progress or progress["fraction"] is None:
        return ""
    done = round(progress["fraction"] * 10)
    return f"  {'█' * done}{'░' * (10 - done)} {progress['fraction']:.0%}"
