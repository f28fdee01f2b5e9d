"""What is to happen when, on the clock that never jumps. Runs in the hands: stdlib only, and light."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

TYPE_CHECKING = False  # importing typing costs the hands two megabytes
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Alarm:
    """One call at one time."""

    __slots__ = ("_order", "args", "at", "call")

    def __init__(self, at: float, order: int, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.at = at
        self._order = order
        self.call: Callable[..., object] | None = call
        self.args = args

    def __lt__(self, other: Alarm) -> bool:
        return (self.at, self._order) < (other.at, other._order)


class Alarms:
    """Calls to be made, in order of time. Cancelled ones cost nothing for long: most timeouts never happen."""

    __slots__ = ("_cancelled", "_heap", "_order")

    def __init__(self) -> None:
        self._heap: list[Alarm] = []
        self._order = 0
        self._cancelled = 0

    def set(self, at: float, call: Callable[..., object], *args: object) -> Alarm:
        """Call `call(*args)` once the clock says `at` or later."""
        self._order += 1
        alarm = Alarm(at, self._order, call, args)
        heappush(self._heap, alarm)
        return alarm

    def cancel(self, alarm: Alarm) -> None:
        """Do not make that call; nothing happens if it was made."""
        if alarm.call is None:
            return
        alarm.call = None
        self._cancelled += 1
        if self._cancelled > 64 and self._cancelled * 2 > len(self._heap):
            self._heap = [waiting for waiting in self._heap if waiting.call is not None]
            heapify(self._heap)
            self._cancelled = 0

    def next(self) -> float | None:
        """Give the time of the next call."""
        while self._heap and self._heap[0].call is None:
            heappop(self._heap)
            self._cancelled -= 1
        return self._heap[0].at if self._heap else None

    def ring(self, now: float) -> None:
        """Make the calls that are due."""
        while (at := self.next()) is not None and at <= now:
            alarm = heappop(self._heap)
            call, alarm.call = alarm.call, None
            if call is not None:
                call(*alarm.args)
