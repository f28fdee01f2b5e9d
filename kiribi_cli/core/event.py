"""The JSON shape of an event: one line of `kiribi events` and of `kiribi worker --log-format json`."""

from typing import Any

from kiribi_cli.core.instant import rfc3339
from kiribi_cli.core.job import Event


def event_object(event: Event) -> dict[str, Any]:
    """The fields of cli.md, `events`, in order; details of an event without a job stand under their own names."""
    plain = {
        "seq": event.seq,
        "ts": rfc3339(event.at),
        "type": event.type,
        "id": event.job_id,
        "job": event.job,
        "from": event.from_status,
        "to": event.to_status,
        "attempt": event.attempt,
        "final": event.final,
        "exit_code": event.exit_code,
        "by": event.by,
        "reason": event.reason,
    }
    return plain | (event.details or {})
