"""Durations, sizes and points in time: from the text a person writes to integers, and back for people to read.

Durations are milliseconds, sizes bytes, times milliseconds since 1970-01-01T00:00:00Z. Now and the zone are arguments.
"""

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from datetime import time as clock_time

from kiribi_cli.errors import Code, KiribiError

UNITS_MS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
# A century. Longer is a slip of the finger, and sums with it must fit the database's integers.
LONGEST_MS = 36_525 * 86_400_000

_UNITS_BYTES: dict[str, int] = {"b": 1} | {
    f"{letter}{infix}b": base**power
    for infix, base in (("", 1000), ("i", 1024))
    for power, letter in enumerate("kmgt", start=1)
}
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_DURATION = re.compile("".join(rf"(?:(?P<{unit}>{_NUMBER}){unit}(?![a-z]))?" for unit in UNITS_MS))
_SIZE = re.compile(rf"({_NUMBER})\s?([kmgt]?i?b)", re.IGNORECASE)
_MOMENT = re.compile(
    r"(?:([0-9]{4})-([0-9]{2})-([0-9]{2}))?"
    r"(?:(?:^|[T ])([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6})[0-9]*)?)?\s?(Z|[+-][0-9]{2}:[0-9]{2})?)?",
    re.IGNORECASE,
)


def duration_ms(text: str, *, bare: bool = False) -> int:
    """Read a duration: `"90s"`, `"2h30m"`. With `bare` a number alone is seconds, as on the command line.

    >>> duration_ms("90s"), duration_ms("2h30m"), duration_ms("500ms"), duration_ms("1.5h"), duration_ms("1w")
    (90000, 9000000, 500, 5400000, 604800000)
    >>> duration_ms("90", bare=True)
    90000
    """
    word = text.strip()
    if bare and re.fullmatch(_NUMBER, word):
        word += "s"
    match = _DURATION.fullmatch(word)
    if not match or not word:
        raise _bad(f'"{text}" is not a duration', "90s, 2h30m or 1d (units ms s m h d w, the largest first)")
    parts: dict[str, str] = {unit: count for unit, count in match.groupdict().items() if count}
    # Rounding once per part keeps "0.1s" at 100 and "1.5h" exact; what is longer than 15 digits is no duration.
    total = sum(round(float(count[:16]) * UNITS_MS[unit]) for unit, count in parts.items())
    if total > LONGEST_MS:
        raise _bad(f'"{text}" is longer than a hundred years', "90s, 2h30m or 1d")
    return total


def size_bytes(text: str, *, bare: bool = False) -> int:
    """Read a size: KB, MB, GB, TB are powers of 1000, KiB, MiB, GiB, TiB of 1024. With `bare` a number alone is bytes.

    >>> size_bytes("64KB"), size_bytes("10MiB"), size_bytes("1.5GB"), size_bytes("12B")
    (64000, 10485760, 1500000000, 12)
    """
    word = text.strip()
    if bare and re.fullmatch("[0-9]{1,18}", word):
        return int(word)
    match = _SIZE.fullmatch(word)
    if not match or len(match[1]) > 15:
        raise _bad(f'"{text}" is not a size', "64KB, 10MiB or 2GB")
    return round(float(match[1]) * _UNITS_BYTES[match[2].lower()])


def when_ms(text: str, *, now_ms: int, zone: tzinfo, past: bool = False) -> int:
    """Read a point in time; what names no offset is in `zone`.

    RFC 3339, `2026-11-24`, `2026-11-24 02:30`, `02:30` (the next one; with `past` the last one), `now`, `today`,
    `yesterday`; with `past` (after --since and --until) a duration means ago. A time that the zone skips is read as
    if the clock had not jumped.

    >>> noon = 1_795_521_600_000
    >>> when_ms("2026-11-24T02:30:00+01:00", now_ms=noon, zone=UTC)
    1795483800000
    >>> when_ms("02:30", now_ms=noon, zone=UTC) - noon, when_ms("02:30", now_ms=noon, zone=UTC, past=True) - noon
    (52200000, -34200000)
    >>> when_ms("15m", now_ms=noon, zone=UTC, past=True) - noon
    -900000
    """
    word = text.strip()
    now = datetime.fromtimestamp(now_ms / 1000, zone)
    if word.lower() == "now":
        return now_ms
    if word.lower() in ("today", "yesterday"):
        return _millis(_midnight(now.date() - timedelta(days=word.lower() == "yesterday"), zone))
    if past and (re.fullmatch(_NUMBER, word) or (word and _DURATION.fullmatch(word))):
        return now_ms - duration_ms(word, bare=True)
    match = _MOMENT.fullmatch(word)
    if not match or not word:
        raise _bad_moment(text, past=past)
    try:
        return _moment_ms(match, now, past=past)
    except (ValueError, OverflowError) as error:
        raise _bad_moment(text, past=past) from error


def _moment_ms(match: re.Match[str], now: datetime, *, past: bool) -> int:
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    at = clock_time(int(hour or 0), int(minute or 0), int(second or 0), int((fraction or "0").ljust(6, "0")))
    zone = now.tzinfo if offset is None else datetime.fromisoformat(f"2000-01-01T00:00:00{offset.upper()}").tzinfo
    if year:
        return _millis(datetime.combine(date(int(year), int(month), int(day)), at, zone))
    here = now.astimezone(zone)
    moment = datetime.combine(here.date(), at, zone)
    if past and _millis(moment) > _millis(now):
        moment = datetime.combine(here.date() - timedelta(days=1), at, zone)
    elif not past and _millis(moment) <= _millis(now):
        moment = datetime.combine(here.date() + timedelta(days=1), at, zone)
    return _millis(moment)


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, clock_time(), zone)


def _millis(moment: datetime) -> int:
    # Whole numbers all the way: float seconds would round the milliseconds of distant years.
    return (moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _bad(sentence: str, examples: str) -> KiribiError:
    return KiribiError(Code.USAGE, sentence, hint=f"write it as {examples}")


def _bad_moment(text: str, *, past: bool) -> KiribiError:
    ago = ", or a duration ago such as 2h" if past else "; for a delay use --in"
    forms = "2026-11-24, 2026-11-24 02:30, 02:30, now, today, yesterday or RFC 3339"
    return _bad(f'"{text}" is not a time', f"{forms}{ago}")


def spell(ms: int) -> str:
    """Write a duration exactly, in the form `duration_ms` reads.

    >>> spell(90_000), spell(9_000_000), spell(500), spell(0), spell(604_800_000)
    ('1m30s', '2h30m', '500ms', '0s', '7d')
    """
    sign, rest, parts = ("-" if ms < 0 else ""), abs(ms), []
    for unit in ("d", "h", "m", "s", "ms"):
        count, rest = divmod(rest, UNITS_MS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return sign + "".join(parts) if parts else "0s"


def took(ms: int) -> str:
    """Write how long something ran, to about three figures.

    >>> took(20), took(1_234), took(59_960), took(1_692_000), took(9_000_000), took(270_000_000)
    ('20ms', '1.2s', '1m', '28m12s', '2h30m', '3d3h')
    """
    if ms < 1_000:
        return f"{ms}ms"
    if ms < 59_950:
        return f"{ms / 1000:.1f}s"
    for unit, lower in (("d", "h"), ("h", "m"), ("m", "s")):
        if ms + UNITS_MS[lower] // 2 >= UNITS_MS[unit]:
            return spell((ms + UNITS_MS[lower] // 2) // UNITS_MS[lower] * UNITS_MS[lower])
    return spell(ms)


def age(ms: int) -> str:
    """Write how long ago or ahead something is, in one unit, rounded down.

    >>> age(41_900), age(750_000), age(30_000_000), age(270_000_000), age(3)
    ('41s', '12m', '8h', '3d', '0s')
    """
    for unit in ("d", "h", "m"):
        if abs(ms) >= UNITS_MS[unit]:
            return f"{abs(ms) // UNITS_MS[unit]}{unit}"
    return f"{abs(ms) // 1000}s"


def spell_size(count: int) -> str:
    """Write bytes for people, in powers of 1000.

    >>> spell_size(0), spell_size(64_000), spell_size(325_058_560), spell_size(1_500_000_000)
    ('0 B', '64 KB', '325 MB', '1.5 GB')
    """
    scaled = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if abs(scaled) < 999.5:
            whole = abs(scaled) >= 9.95 or scaled == int(scaled)
            return f"{scaled:.0f} {unit}" if whole else f"{scaled:.1f} {unit}"
        scaled /= 1000
    return f"{scaled:.1f} TB"
