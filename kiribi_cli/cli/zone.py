"""The zone of this machine as a value, so that any date gets the offset it had or will have."""

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo


def local_zone(env: Mapping[str, str]) -> tzinfo:
    """Read TZ, else /etc/localtime; a TZ that names no zone (`CET-1CEST`) gives the offset of today."""
    named = env.get("TZ", "").removeprefix(":")
    try:
        if named:
            return ZoneInfo(named)
        with Path("/etc/localtime").open("rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError, KeyError):
        return datetime.fromtimestamp(0, UTC).astimezone().tzinfo or UTC
