"""Standard modules in their plainest form, for the hands: the full ones bring along enum, a megabyte of it."""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing costs the hands two megabytes
if TYPE_CHECKING:
    import signal
    from collections import deque
else:
    try:
        import _signal as signal
        from _collections import deque
    except ImportError:  # an interpreter that arranges its library otherwise
        import signal
        from collections import deque

__all__ = ["deque", "signal"]
