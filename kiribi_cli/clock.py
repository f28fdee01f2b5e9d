"""The only module that reads time or rolls dice. Everything else is given both as arguments."""

import time

TYPE_CHECKING = False  # typing costs 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable


def now_ms() -> int:
    """Read the wall clock: milliseconds since 1970-01-01T00:00:00Z, as stored and shown."""
    return time.time_ns() // 1_000_000


def monotonic() -> float:
    """Read a clock that never jumps, in seconds: timeouts, leases and delays follow it."""
    return time.monotonic()


def dice() -> float:
    """Roll a number in [0, 1)."""
    if not _dice:
        # The import costs 5 ms and `kiribi enqueue` never rolls.
        from random import random

        _dice.append(random)
    return _dice[0]()


# random.random, once it is needed. It spreads retries, and guards nothing.
_dice: "list[Callable[[], float]]" = []


def sleep(seconds: float) -> None:
    """Sleep; here so that a test can count and replace every sleep there is."""
    time.sleep(seconds)
