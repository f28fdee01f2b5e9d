"""What the view `enqueue` (cli.md, 13) has to know of a definition: its plan, as columns of `definitions`."""

from typing import TYPE_CHECKING, TypedDict

from kiribi_cli.core.options import as_unchecked
from kiribi_cli.core.payload import dump

if TYPE_CHECKING:
    from kiribi_cli.core.plan import Plan


class Published(TypedDict):
    """A definition in one of the queues that it may go to; `own`: in that which it names."""

    job: str
    queue: str
    own: int
    kind: str
    priority: int
    tags: str | None
    max_attempts: int
    options: str
    expires_ms: int | None
    payload_max: int
    unique_key: str | None
    unique_until: str | None
    on_conflict: str | None


def published(plan: "Plan", *, own: bool) -> Published:
    """Turn a plan into columns.

    >>> from kiribi_cli.core.definition import Definition, Unique
    >>> from kiribi_cli.core.plan import plan_of
    >>> plan = plan_of(Definition("Mail", "shell", shell="", unique=Unique("to {payload.to}", 60_000)))
    >>> row = published(plan, own=True)
    >>> row["unique_key"], row["unique_until"], row["options"]
    ('["to ",["to"],""]', '60000', '{"unchecked":true}')
    """
    parts, until, on_conflict = plan["unique"] or (None, None, None)
    return {
        "job": plan["job"],
        "queue": plan["queue"],
        "own": int(own),
        "kind": plan["kind"],
        "priority": plan["priority"],
        "tags": plan["tags"],
        "max_attempts": plan["max_attempts"],
        "options": as_unchecked(plan["options"]),
        "expires_ms": plan["expires_ms"],
        "payload_max": plan["payload_max"],
        "unique_key": None if plan["unique"] is None else dump(parts),
        "unique_until": None if until is None else str(until),
        "on_conflict": on_conflict,
    }
