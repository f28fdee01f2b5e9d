"""Percentiles from buckets are within ten percent."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from kiribi_cli.core.histogram import bucket, percentile, value

TIMES = st.integers(min_value=0, max_value=10**12)


@given(TIMES)
def test_a_bucket_stands_for_its_times_within_ten_percent(ms):
    # And half a millisecond, for the answer is a whole number of them.
    assert abs(value(bucket(ms)) - ms) <= 0.1 * ms + 0.5


@given(TIMES, TIMES)
def test_longer_is_never_in_a_lower_bucket(one, other):
    assert (bucket(one) <= bucket(other)) or one > other


@given(st.lists(TIMES, min_size=1, max_size=200), st.floats(min_value=0, max_value=1))
def test_a_percentile_is_near_the_true_one(times, q):
    ordered = sorted(times)
    rank = max(1, -int(-q * len(ordered) // 1))
    true = ordered[rank - 1]

    assert abs(percentile(Counter(map(bucket, times)), q) - true) <= 0.1 * true + 0.5


def test_of_nothing_there_is_no_percentile():
    assert percentile({}, 0.5) is None
