"""Times as a histogram with geometric buckets: bucket n holds [1.2^n, 1.2^(n+1)) ms, so a percentile is within 10 %."""

from bisect import bisect_right
from collections.abc import Mapping
from math import ceil

BASE = 1.2
ZERO = -1
# 3.6e15 ms are more than a hundred thousand years.
_BOUNDS = tuple(BASE**n for n in range(197))


def bucket(ms: int) -> int:
    """Return the bucket of a time; -1 is for what took less than a millisecond.

    >>> [bucket(ms) for ms in (0, 1, 2, 1000)]
    [-1, 0, 3, 37]
    """
    return bisect_right(_BOUNDS, ms) - 1


def value(bucket: int) -> int:
    """Return the time a bucket stands for, in milliseconds: the geometric middle.

    >>> [value(n) for n in (-1, 0, 3, 37)]
    [0, 1, 2, 932]
    """
    return 0 if bucket < 0 else round(BASE ** (bucket + 0.5))


def bounds(bucket: int) -> tuple[int, int]:
    """Return the least and the greatest time of a bucket, in whole milliseconds.

    >>> [bounds(n) for n in (-1, 0, 3, 37)]
    [(0, 0), (1, 1), (2, 2), (851, 1020)]
    """
    if bucket < 0:
        return 0, 0
    return ceil(BASE**bucket), ceil(BASE ** (bucket + 1)) - 1


def percentile(buckets: Mapping[int, int], q: float) -> int | None:
    """Return the time that a share `q` (0 to 1) of the counted ones did not exceed; None if nothing was counted.

    >>> percentile({0: 90, 37: 10}, 0.5), percentile({0: 90, 37: 10}, 0.95), percentile({}, 0.5)
    (1, 932, None)
    """
    total = sum(buckets.values())
    if not total:
        return None
    # The rank counts from 1, so that the share 0 is the smallest and 1 the largest.
    rank = max(1, -int(-q * total // 1))
    seen = 0
    for n in sorted(buckets):
        seen += buckets[n]
        if seen >= rank:
            return value(n)
    return value(max(buckets))
