"""A time as jobs are told it, written without datetime and what that brings along. Runs in the hands."""


def rfc3339(ms: int) -> str:
    """Write milliseconds since the epoch as RFC 3339 in UTC, without the two modules that datetime brings along.

    >>> rfc3339(951_782_400_007), rfc3339(1_795_463_999_999)
    ('2000-02-29T00:00:00.007Z', '2026-11-23T19:59:59.999Z')
    """
    days, rest = divmod(ms, 86_400_000)
    # Days since 0000-03-01, so that the leap day ends a year: Hinnant, "chrono-compatible low-level date algorithms".
    era, day = divmod(days + 719_468, 146_097)
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    date = (year + era * 400 + month // 10, month + (3 if month < 10 else -9), day - (153 * month + 2) // 5 + 1)
    seconds, milliseconds = divmod(rest, 1000)
    clock = (seconds // 3600, seconds // 60 % 60, seconds % 60)
    return "{:04d}-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}.{:03d}Z".format(*date, *clock, milliseconds)
