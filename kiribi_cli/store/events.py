"""Events as they are written: one row for every move, in the transaction that moves the job."""

from typing import Any

from kiribi_cli.core.job import EventType

_NOTHING: dict[str, Any] = dict.fromkeys(
    ("job_id", "job", "from_status", "to_status", "attempt", "final", "exit_code", "by", "reason", "details")
)


def event(type_: EventType | str, at: int, **values: Any) -> dict[str, Any]:
    """Build the row of an event for the statement turn.event; what is not named does not apply."""
    return {**_NOTHING, "type": type_, "at": at, **values}
