"""Learns that somebody has written to the database although nobody rang: a program that enqueues by SQL.

The kernel tells that a file of the folder was written (dnotify: a signal, and nothing to import). That is before the
commit can be seen, so for a while somebody has to glance at the database again and again; only then is it left to the
kernel alone. Where there is no dnotify, or it was found blind, the glances never end.
"""

import fcntl
import os
import signal
from types import FrameType

from kiribi_cli import clock

# Seconds between two glances at most: what is enqueued by SQL starts within 0.1 s.
GLANCE_S = 0.08
FIRST_S = 0.004
# For so long after the last write that is known of: writing ends with an fsync.
CALM_S = 0.5
MISSES = 3


class Watch:
    """Says when to glance at the database in `path`."""

    def __init__(self, path: str) -> None:
        self._folder = os.path.dirname(os.path.realpath(path))  # noqa: PTH120  (pathlib would be loaded for this alone)
        self._file = -1
        self._armed = False
        self._blind = not hasattr(fcntl, "F_NOTIFY")
        self._missed = 0
        self._pause = GLANCE_S
        self._calm_at = self._stirred_at = 0.0

    def pause(self) -> float:
        """Seconds until the next glance; infinity while it is left to the kernel."""
        return float("inf") if self._is_calm() else self._pause

    def glanced(self, *, changed: bool) -> None:
        """Note what a glance saw. Call it only when nothing else is to be done: our own commits are writes, too."""
        if not self._armed:
            self._arm()
        self._pause = GLANCE_S if changed else min(self._pause * 2, GLANCE_S)

    def noticed(self) -> None:
        """Somebody else's commit was found: where the kernel fails to tell, it is not to be trusted."""
        # Once may be a commit that took longer than CALM_S.
        self._missed += self._is_calm()
        if self._missed == MISSES:
            self._armed, self._blind = False, True

    def close(self) -> None:
        """Stop watching."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _is_calm(self) -> bool:
        return self._armed and clock.monotonic() >= self._calm_at

    def _arm(self) -> None:
        """Ask for one signal, at the next write. None comes while we are busy: who arms has nothing else to do."""
        if self._blind:
            return
        try:
            if self._file < 0:
                # The default would be to end us.
                signal.signal(signal.SIGIO, self._stirred)
                self._file = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._armed = True
            self._calm_at = clock.monotonic() + CALM_S
            fcntl.fcntl(self._file, fcntl.F_NOTIFY, fcntl.DN_MODIFY)
        except OSError:
            self._armed, self._blind = False, True

    def _stirred(self, _number: int, _frame: FrameType | None) -> None:
        # Where others write all the time, we look no oftener than without being told.
        now = clock.monotonic()
        self._pause = FIRST_S if now - self._stirred_at > 2 * GLANCE_S else GLANCE_S
        self._stirred_at = now
        self._armed = False
