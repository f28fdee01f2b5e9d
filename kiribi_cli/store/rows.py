"""From rows to values."""

import json
from functools import lru_cache
from typing import Any

from kiribi_cli.core.job import Attempt, Event, Job, Problem, Status
from kiribi_cli.store.base import Worker
from kiribi_cli.store.database import Row


@lru_cache(maxsize=1024)
def tags_of(text: str | None) -> tuple[str, ...]:
    """Read the tags of a row: a JSON array of strings, NULL for none."""
    return tuple(json.loads(text)) if text else ()


def problem(kind: str | None, message: str | None, fingerprint: str | None) -> Problem | None:
    return None if kind is None else Problem(kind, message or "", fingerprint or "")


def job_of(row: Row, now: int) -> Job:
    """Build a job from the statement look.jobs. What is due reads as pending."""
    (
        id_, job, kind, adhoc, status, queue, priority, tags, attempts, max_attempts, snoozes, interruptions, attempt,
        attempt_id, unique_key, created_at, run_at, first_started_at, started_at, finished_at, expires_at,
        cancel_requested_at, cancel_requested_by, duration_ms, total_ms, exit_code, signal, error_kind, error_message,
        error_fingerprint, reason, progress, schedule, scheduled_for, flow, step, parent, origin_kind, origin_by,
        worker, payload, result, options, wait_ms,
    ) = row  # fmt: skip
    if status in ("scheduled", "retrying") and run_at <= now:
        status = "pending"
    return Job(
        id_, job, kind, bool(adhoc), Status(status), queue, priority, tags_of(tags), attempts, max_attempts, snoozes,
        interruptions, attempt, attempt_id, unique_key, created_at, run_at, first_started_at, started_at, finished_at,
        expires_at, cancel_requested_at, cancel_requested_by, duration_ms, total_ms, exit_code, signal,
        problem(error_kind, error_message, error_fingerprint), reason, progress, schedule, scheduled_for, flow, step,
        parent, origin_kind, origin_by, worker, payload, result, options, wait_ms,
    )  # fmt: skip


def attempt_of(row: Row) -> Attempt:
    id_, job_id, attempt, outcome, decision, exit_code, signal, http_status, *rest = row
    error_kind, error_message, error_fingerprint, *rest = rest
    error = problem(error_kind, error_message, error_fingerprint)
    return Attempt(id_, job_id, attempt, outcome, decision, exit_code, signal, http_status, error, *rest)


def event_of(row: Row) -> Event:
    seq, at, type_, _, job_id, job, from_status, to_status, attempt, final, exit_code, by, reason, details = row
    read: dict[str, Any] | None = json.loads(details) if details else None
    return Event(
        seq, at, type_, job_id, job, from_status, to_status, attempt, None if final is None else bool(final), exit_code,
        by, reason, read,
    )  # fmt: skip


def worker_of(row: Row, *, alive: bool) -> Worker:
    head, (queues, scheduler, low_disk, config_path, config_error) = row[:13], row[13:]
    served = json.loads(queues) if queues else None
    values: Row = (*head, served, bool(scheduler), bool(low_disk), config_path, config_error, alive)
    return Worker(*values)
