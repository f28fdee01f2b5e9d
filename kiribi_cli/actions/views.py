"""Jobs, attempts, workers and events as JSON objects: every field of cli.md, section 3, in order. Masks secrets."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kiribi_cli.core.definition import Backoff, Exponential, Fixed, Listed
from kiribi_cli.core.event import event_object
from kiribi_cli.core.instant import rfc3339, rfc3339_or_none
from kiribi_cli.core.job import Attempt, Event, Job, Options, Problem, Status
from kiribi_cli.core.options import options_from
from kiribi_cli.core.progress import read_progress
from kiribi_cli.core.records import dataclass
from kiribi_cli.core.redact import redacted
from kiribi_cli.store.base import Worker

JOB_FIELDS = (
    "id", "job", "kind", "adhoc", "status", "queue", "priority", "tags", "attempts", "max_attempts", "snoozes",
    "unique_key", "mutex", "deduplicated", "created_at", "run_at", "started_at", "finished_at", "expires_at",
    "cancel_requested_at", "wait_ms", "duration_ms", "total_ms", "exit_code", "signal", "error", "progress",
    "schedule", "scheduled_for", "flow", "step", "after", "parent", "origin", "worker",
)  # fmt: skip
DETAIL_FIELDS = ("payload", "result", "options", "attempt_list", "why")


@dataclass(frozen=True, slots=True)
class Masks:
    """Which keys are masked: the patterns in effect for a definition, else the general ones. `off` shows everything."""

    general: Sequence[str]
    by_name: Mapping[str, Sequence[str]]
    off: bool = False

    def of(self, job: str) -> Sequence[str]:
        return () if self.off else self.by_name.get(job, self.general)


# Where jobs.toml cannot be read nobody knows what is secret, so every value is.
MASK_ALL = Masks(("*",), {})


def job_view(job: Job, *, now: int, deduplicated: bool = False) -> dict[str, Any]:
    """The job object. Running times go up to `now`."""
    running = job.status is Status.RUNNING and job.started_at is not None
    so_far = max(0, now - (job.started_at or now)) if running else 0
    return {
        "id": job.id,
        "job": job.job,
        "kind": job.kind,
        "adhoc": job.adhoc,
        "status": str(job.status),
        "queue": job.queue,
        "priority": job.priority,
        "tags": list(job.tags),
        "attempts": job.attempts,
        "max_attempts": job.max_attempts,
        "snoozes": job.snoozes,
        "unique_key": job.unique_key,
        "mutex": None,
        "deduplicated": deduplicated,
        "created_at": rfc3339(job.created_at),
        "run_at": rfc3339(job.run_at),
        "started_at": rfc3339_or_none(job.started_at),
        "finished_at": rfc3339_or_none(job.finished_at),
        "expires_at": rfc3339_or_none(job.expires_at),
        "cancel_requested_at": rfc3339_or_none(job.cancel_requested_at),
        "wait_ms": job.wait_ms,
        "duration_ms": so_far if running else job.duration_ms,
        "total_ms": job.total_ms + so_far,
        "exit_code": job.exit_code,
        "signal": job.signal,
        "error": error_view(job.error),
        "progress": progress_view(job.progress),
        "schedule": job.schedule,
        "scheduled_for": rfc3339_or_none(job.scheduled_for),
        "flow": job.flow,
        "step": job.step,
        "after": [],
        "parent": job.parent,
        "origin": {"kind": job.origin_kind, "by": job.origin_by},
        "worker": job.worker,
    }


def detail_view(
    job: Job, attempts: Sequence[Attempt], *, now: int, masks: Masks, logs: Path, why: Mapping[str, Any]
) -> dict[str, Any]:
    """What `show` knows: the job object and its payload, result, options, attempts and `why`."""
    return {
        **job_view(job, now=now),
        "payload": document(job.payload, masks.of(job.job), "payload"),
        "result": document(job.result, masks.of(job.job), "result"),
        "options": options_view(options_from(job.options)),
        "attempt_list": [attempt_view(attempt, logs=logs, now=now) for attempt in attempts],
        "why": dict(why),
    }


def document(text: str | None, patterns: Sequence[str], root: str) -> Any:
    """A stored JSON text as a value, masked; None for nothing."""
    return None if text is None else redacted(json.loads(text), patterns, root=root)


def options_view(options: Options) -> dict[str, Any]:
    """What was frozen at enqueue; of the environment only the names."""
    return {
        "timeout_ms": options.timeout_ms,
        "kill_after_ms": options.kill_after_ms,
        "backoff": backoff_view(options.backoff),
        "env": list(options.env or ()),
        "cwd": options.cwd,
        "command": list(options.command) if options.command is not None else None,
    }


def backoff_view(backoff: Backoff) -> dict[str, Any]:
    """A backoff as an object with its kind."""
    match backoff:
        case Fixed(base_ms, jitter):
            return {"kind": "fixed", "base_ms": base_ms, "jitter": jitter}
        case Exponential(base_ms, factor, max_ms, jitter):
            return {"kind": "exponential", "base_ms": base_ms, "factor": factor, "max_ms": max_ms, "jitter": jitter}
        case Listed(delays_ms):
            return {"kind": "list", "delays_ms": list(delays_ms)}


def attempt_view(attempt: Attempt, *, logs: Path, now: int) -> dict[str, Any]:
    """The attempt object. `log_path` is None where nothing was printed."""
    live = attempt.finished_at is None
    return {
        "id": attempt.id,
        "job_id": attempt.job_id,
        "attempt": attempt.attempt,
        "outcome": attempt.outcome,
        "decision": attempt.decision,
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
        "http_status": attempt.http_status,
        "error": error_view(attempt.error),
        "started_at": rfc3339(attempt.started_at),
        "finished_at": rfc3339_or_none(attempt.finished_at),
        "duration_ms": max(0, now - attempt.started_at) if live else attempt.duration_ms,
        "cpu_user_ms": attempt.cpu_user_ms,
        "cpu_system_ms": attempt.cpu_system_ms,
        "max_rss_bytes": attempt.max_rss_bytes,
        "command": _command(attempt.command),
        "cwd": attempt.cwd,
        "worker": attempt.worker,
        "host": attempt.host,
        "pid": attempt.pid,
        "log_bytes": attempt.log_bytes,
        "log_path": str(logs / str(attempt.id)) if attempt.log_bytes or live else None,
        "next_attempt_at": rfc3339_or_none(attempt.next_attempt_at),
    }


def worker_view(worker: Worker, running: Sequence[Job], *, now: int) -> dict[str, Any]:
    """The worker object. A worker whose lock is free is `dead`, whatever it last said of itself."""
    ended = worker.stopped_at is not None
    return {
        "worker": worker.name,
        "host": worker.host,
        "pid": worker.pid,
        "version": worker.version,
        "state": worker.state if worker.alive and not ended else "dead",
        "started_at": rfc3339(worker.started_at),
        "heartbeat_at": rfc3339(worker.heartbeat_at),
        "slots": worker.slots,
        # Short jobs are claimed ahead; what waits in the launcher for a slot keeps none busy.
        "busy": min(len(running), worker.slots),
        "queues": dict(worker.queues) if worker.queues is not None else {},
        "scheduler": worker.scheduler,
        "config_path": worker.config_path,
        "config_error": worker.config_error,
        "running": [_running(job, now) for job in running],
    }


def event_view(event: Event) -> dict[str, Any]:
    """One state change, as in cli.md, `events`."""
    return event_object(event)


def error_view(error: Problem | None) -> dict[str, Any] | None:
    """Why it failed, or None."""
    return {"kind": error.kind, "message": error.message, "fingerprint": error.fingerprint} if error else None


def progress_view(line: str | None) -> dict[str, Any] | None:
    """How far it says it is, or None."""
    if line is None:
        return None
    fraction, message = read_progress(line)
    return {"fraction": fraction, "message": message}


def _running(job: Job, now: int) -> dict[str, Any]:
    return {
        "id": job.id,
        "job": job.job,
        "attempt": job.attempt,
        "elapsed_ms": max(0, now - (job.started_at or now)),
        "progress": progress_view(job.progress),
    }


def _command(text: str | None) -> Any:
    # argv is stored as a JSON array; the text of a shell job as it is.
    if text is None or not text.startswith("["):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
