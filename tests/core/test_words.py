"""A schedule in words: never wrong, whatever the expression."""

from itertools import islice
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from kiribi_cli.core.cron import Cron
from kiribi_cli.core.records import replace
from kiribi_cli.core.schedule import Every
from kiribi_cli.core.ticks import ticks
from kiribi_cli.core.words import describe

UTC = ZoneInfo("UTC")
# 2027, and enough days around it for any combination that differs to differ.
YEAR = (1_798_761_600_000, 1_830_297_600_000)


def some(low: int, high: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Values of a field: few, all, or evenly spaced, as people write them."""
    drawn = st.sets(st.integers(low, high), min_size=1, max_size=3)
    stepped = st.tuples(st.integers(low, high), st.sampled_from([1, 2, 5, 6, 7, 10, 12, 15, 20, 30]))
    even = stepped.map(lambda pair: set(range(pair[0], high + 1, pair[1])))
    return st.one_of(drawn, even, st.just(set(range(low, high + 1)))).map(lambda values: tuple(sorted(values)))


CRONS = st.builds(
    Cron,
    seconds=st.one_of(st.just((0,)), st.just((0,)), some(0, 59)),
    minutes=some(0, 59),
    hours=some(0, 23),
    days=some(1, 31),
    months=some(1, 12),
    weekdays=some(0, 6),
    both_days=st.booleans(),
    elapsed=st.just(True),
)


def test_expressions_that_are_told_in_the_same_words_run_at_the_same_times() -> None:
    told: dict[str, list[int]] = {}
    met = []

    @settings(max_examples=800, deadline=None, derandomize=True, database=None)
    @given(CRONS | st.sampled_from([1, 1000, 60_000, 90_000, 900_000, 3_600_000, 86_400_000]).map(Every))
    def look(when: Cron | Every) -> None:
        first = list(islice(ticks(when, UTC, *YEAR), 400))
        words = describe(when)
        if words in told:
            met.append(words)

        assert told.setdefault(words, first) == first, words

    look()

    assert len(met) > 30, "too few had words in common for this to show anything"


def test_every_number_of_an_expression_is_in_its_words() -> None:
    @settings(max_examples=250, deadline=None, derandomize=True, database=None)
    @given(CRONS, st.sampled_from(["seconds", "minutes", "hours", "days", "months", "weekdays"]), st.data())
    def look(cron: Cron, field: str, data: st.DataObject) -> None:
        low, high = {"days": (1, 31), "months": (1, 12), "hours": (0, 23), "weekdays": (0, 6)}.get(field, (0, 59))
        values = set(getattr(cron, field)) ^ {data.draw(st.integers(low, high))}
        other = replace(cron, **{field: tuple(sorted(values)) or (low,)})
        is_same = [*islice(ticks(cron, UTC, *YEAR), 3000)] == [*islice(ticks(other, UTC, *YEAR), 3000)]

        assert is_same or describe(cron) != describe(other)

    look()
