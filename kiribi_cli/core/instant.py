"""Points in time as programs read them: RFC 3339 in UTC with milliseconds."""

from datetime import UTC, datetime


def rfc3339(ms: int) -> str:
    """Write milliseconds since the epoch as RFC 3339 UTC.

    >>> rfc3339(1_763_920_800_123)
    '2025-11-23T18:00:00.123Z'
    """
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ms % 1000:03d}Z"


def rfc3339_or_none(ms: int | None) -> str | None:
    """The same for a time that may be absent."""
    return None if ms is None else rfc3339(ms)


def clock_text(ms: int, *, utc: bool = False) -> str:
    """Write the time of day for people, in the zone of this machine or UTC.

    >>> clock_text(1_763_920_800_123, utc=True)
    '18:00:00'
    """
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    return (moment if utc else moment.astimezone()).strftime("%H:%M:%S")
