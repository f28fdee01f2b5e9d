"""What the clock of a zone does: stretches of time in which it stays the same distance from UTC.

A tzinfo is asked, day by day, and a change found by halving: nothing is known of where it has its rules from. What was
found is kept. Times are milliseconds since the epoch; a local time is those plus the offset of the moment.
"""

from bisect import bisect_right
from datetime import datetime, timedelta, tzinfo

from kiribi_cli.core.records import dataclass

DAY_MS = 86_400_000
# A little within the years 1 to 9999, so that every local time is a date, too.
EARLIEST_MS = -62_135_596_800_000 + 8 * DAY_MS
LATEST_MS = 253_402_300_800_000 - 8 * DAY_MS

_BLOCK = 35  # 2 ** 35 ms are 398 days
# Offsets are less than a day, so a change of the clocks is felt for two at most.
_MARGIN_MS = 4 * DAY_MS
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  (UTC and local times side by side, and they are subtracted)
_MILLISECOND = timedelta(milliseconds=1)
_MOST_BLOCKS = 4096


@dataclass(frozen=True, slots=True)
class Stretch:
    """From `start` (included) to `end` (not) the clock shows UTC plus `offset`.

    Local times from `gap_from` up to the first of this stretch were never shown: the clock was set forward (None: it
    was not). Those before `floor` have been shown before: it was set back. Those from `again_from` on will be shown
    again. From `calm` on nothing of how the stretch began matters any more.
    """

    start: int
    end: int
    offset: int
    floor: int
    calm: int
    gap_from: int | None = None
    again_from: int | None = None


def stretch_at(zone: tzinfo, moment: int) -> Stretch | None:
    """Say in which stretch a moment lies; None outside the years that there are.

    A long stretch is given in pieces of about a year, of which only the first has a beginning that matters.
    """
    number = moment >> _BLOCK
    block = _blocks.get((zone, number))
    if block is None:
        if not EARLIEST_MS <= moment <= LATEST_MS:
            return None
        if len(_blocks) >= _MOST_BLOCKS:
            _blocks.clear()
        block = _blocks[zone, number] = _block(zone, number << _BLOCK, (number + 1) << _BLOCK)
    starts, stretches = block
    # The very first piece of all may begin after the number of its block does.
    return stretches[bisect_right(starts, moment) - 1] if moment >= starts[0] else None


_blocks: dict[tuple[tzinfo, int], tuple[list[int], list[Stretch]]] = {}


def _block(zone: tzinfo, low: int, high: int) -> tuple[list[int], list[Stretch]]:
    """The stretches of a block; what comes shortly before and after it is looked at, too."""
    low, high = max(low, EARLIEST_MS), min(high, LATEST_MS + 1)
    first, last = low - _MARGIN_MS, high + _MARGIN_MS
    starts = [first, *_changes(zone, first, last)]
    offsets = [_offset(zone, start) for start in starts]
    ends = [*starts[1:], last]
    stretches = []
    for index, (start, end, offset) in enumerate(zip(starts, ends, offsets, strict=True)):
        if end <= low or start >= high:
            continue
        begins = start + offset
        shown = max((ends[each] + offsets[each] for each in range(index)), default=begins)
        coming = min((starts[each] + offsets[each] for each in range(index + 1, len(starts))), default=end + offset)
        floor = max(begins, shown)
        stretch = Stretch(
            start=max(start, low),
            end=end,
            offset=offset,
            floor=floor,
            # A minute: the first whole one after a gap that ends within one.
            calm=max(start + 60_000, floor - offset) if index else start,
            gap_from=shown if shown < begins and start >= low else None,
            again_from=coming if coming < end + offset else None,
        )
        stretches.append(stretch)
    return [stretch.start for stretch in stretches], stretches


def _changes(zone: tzinfo, first: int, last: int) -> list[int]:
    """The moments in (first, last) from which another offset holds. No zone has had two within a day."""
    changes = []
    before = _offset(zone, first)
    for day in range(first, last, DAY_MS):
        after = _offset(zone, day + DAY_MS)
        if after != before:
            changes.append(_change(zone, day, day + DAY_MS))
            before = after
    return changes


def _change(zone: tzinfo, low: int, high: int) -> int:
    before = _offset(zone, low)
    while high - low > 1000:
        middle = (low + high) // 2000 * 1000
        if _offset(zone, middle) == before:
            low = middle
        else:
            high = middle
    return high


def _offset(zone: tzinfo, moment: int) -> int:
    utc = _EPOCH + timedelta(seconds=moment // 1000)
    return (zone.fromutc(utc.replace(tzinfo=zone)).replace(tzinfo=None) - utc) // _MILLISECOND
