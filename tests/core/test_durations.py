"""Durations, sizes and times: what is written is read back, and nonsense is a sentence."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiribi_cli.core.durations import LONGEST_MS, age, duration_ms, size_bytes, spell, spell_size, took, when_ms
from kiribi_cli.errors import Code, KiribiError

BERLIN = ZoneInfo("Europe/Berlin")


def _at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


NOW = _at("2026-11-23T18:00:00+01:00")


def _answer(read: Callable[[], int]) -> Any:
    """What was read, or the code of the refusal."""
    try:
        return read()
    except KiribiError as error:
        return error.code


@given(st.integers(0, LONGEST_MS))
def test_a_spelled_duration_is_read_back(ms: int) -> None:
    assert duration_ms(spell(ms)) == ms


@given(st.integers(0, LONGEST_MS))
def test_took_and_age_are_short_and_near(ms: int) -> None:
    assert len(took(ms)) <= 9
    assert abs(duration_ms(took(ms)) - ms) <= max(50, ms * 0.05)
    assert duration_ms(age(ms)) <= ms


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_a_sentence(text: str) -> None:
    for read in (duration_ms, size_bytes):
        answer = _answer(lambda read=read: read(text, bare=True))

        assert answer is Code.USAGE or answer >= 0


@pytest.mark.parametrize(
    "text", ["", " ", "5", "-5s", "5x", "5 s 3", "1m1h", "1h1h", "s", "1e3s", ".5s", "٣s", "36526d", "9" * 40 + "s"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(KiribiError) as refused:
        duration_ms(text)

    assert refused.value.code is Code.USAGE
    assert refused.value.hint


@pytest.mark.parametrize(
    ("text", "ms"), [("90", 90_000), ("0.5", 500), ("1.5h", 5_400_000), ("1w2d", 777_600_000), ("0s", 0)]
)
def test_a_bare_number_is_seconds_on_the_command_line(text: str, ms: int) -> None:
    assert duration_ms(text, bare=True) == ms


@pytest.mark.parametrize(
    ("text", "count"),
    [("64KB", 64_000), ("64KiB", 65_536), ("10mib", 10_485_760), ("1TB", 10**12), ("2 GB", 2 * 10**9), ("0B", 0)],
)
def test_sizes(text: str, count: int) -> None:
    assert size_bytes(text) == count


@pytest.mark.parametrize("text", ["", "10", "10 M", "MB", "-1MB", "1 0MB", "1EB", "9" * 20 + "GB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(KiribiError):
        size_bytes(text)


@pytest.mark.parametrize(
    ("text", "past", "at"),
    [
        ("now", False, "2026-11-23T18:00:00+01:00"),
        ("today", True, "2026-11-23T00:00:00+01:00"),
        ("Yesterday", True, "2026-11-22T00:00:00+01:00"),
        ("2026-11-24", False, "2026-11-24T00:00:00+01:00"),
        ("2026-07-01 02:30", False, "2026-07-01T02:30:00+02:00"),
        ("2026-11-24T02:30:15.5", False, "2026-11-24T02:30:15.500+01:00"),
        ("2026-11-24T02:30:00Z", False, "2026-11-24T02:30:00+00:00"),
        ("2026-11-24t02:30:00.123456789-05:00", False, "2026-11-24T02:30:00.123-05:00"),
        ("02:30", False, "2026-11-24T02:30:00+01:00"),
        ("02:30", True, "2026-11-23T02:30:00+01:00"),
        ("19:30", False, "2026-11-23T19:30:00+01:00"),
        ("19:30", True, "2026-11-22T19:30:00+01:00"),
        ("18:00", False, "2026-11-24T18:00:00+01:00"),
        ("18:00", True, "2026-11-23T18:00:00+01:00"),
        ("15m", True, "2026-11-23T17:45:00+01:00"),
        ("90", True, "2026-11-23T17:58:30+01:00"),
        ("02:30Z", False, "2026-11-24T02:30:00+00:00"),
    ],
)
def test_times_are_read_in_the_zone(text: str, past: bool, at: str) -> None:
    assert when_ms(text, now_ms=NOW, zone=BERLIN, past=past) == _at(at)


def test_a_time_that_the_zone_skips_is_read_as_if_the_clock_had_not_jumped() -> None:
    assert when_ms("2027-03-28 02:30", now_ms=NOW, zone=BERLIN) == _at("2027-03-28T03:30:00+02:00")


@pytest.mark.parametrize(
    "text",
    [
        "", "soon", "25:00", "2026-13-01", "2026-02-30", "2026-11-24T", "2026-11-24 2:30", "12", "0000-01-01", "15m",
        "2026-11-24Z", "02:30+99:99", "24:00", "2026-11-24  02:30", "T02:30:00x", "99999-01-01",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(KiribiError) as refused:
        when_ms(text, now_ms=NOW, zone=BERLIN)

    assert refused.value.code is Code.USAGE


@given(st.text("0123456789-:. TZ+", max_size=26), st.booleans())
def test_any_text_is_a_time_or_a_sentence(text: str, past: bool) -> None:
    answer = _answer(lambda: when_ms(text, now_ms=NOW, zone=UTC, past=past))

    assert answer is Code.USAGE or isinstance(answer, int)


@given(st.datetimes(timezones=st.just(UTC)))
def test_rfc_3339_is_read_to_the_millisecond(moment: datetime) -> None:
    text = moment.isoformat(timespec="milliseconds")

    assert when_ms(text, now_ms=NOW, zone=BERLIN) == round(
        (
            moment.replace(microsecond=moment.microsecond // 1000 * 1000) - datetime(1970, 1, 1, tzinfo=UTC)
        ).total_seconds()
        * 1000
    )


@pytest.mark.parametrize(
    ("count", "text"), [(999, "999 B"), (1000, "1 KB"), (9_999, "10 KB"), (999_600, "1.0 MB"), (10**15, "1000.0 TB")]
)
def test_sizes_for_people(count: int, text: str) -> None:
    assert spell_size(count) == text
