"""Old history goes by itself: once an hour one of the workers runs `kiribi sweep`, beside its own loop."""

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from kiribi_cli.private import make_folder

if TYPE_CHECKING:
    import subprocess

HOURLY_MS = 3_600_000


class Sweeper:
    """Start the sweep when it is due, and reap it. `argv` is the command line; none: never sweep.

    The age of one file says when the last sweep began, so workers that live for minutes only do their share.
    """

    def __init__(self, argv: Sequence[str], run_dir: str) -> None:
        self._argv = argv
        self._stamp = os.path.join(run_dir, "swept")  # noqa: PTH118  (pathlib would be loaded for this alone)
        self._process: subprocess.Popen[bytes] | None = None  # loaded once an hour: it is 0.8 MB

    def step(self, now: int) -> None:
        """Look once: `now` in milliseconds. What cannot be done now (full disk, no more processes) is tried again."""
        with suppress(OSError):
            if self._argv and not self.busy() and self._due(now):
                from subprocess import DEVNULL, Popen

                self._process = Popen(self._argv, stdin=DEVNULL, stdout=DEVNULL, start_new_session=True)

    def busy(self) -> bool:
        """Whether a sweep of ours goes on."""
        if self._process is not None and self._process.poll() is not None:
            self._process = None
        return self._process is not None

    def close(self) -> None:
        """End it between two batches; the next one goes on where it stopped."""
        if self.busy() and self._process is not None:
            self._process.terminate()
            self._process.wait()

    def _due(self, now: int) -> bool:
        try:
            swept = os.stat(self._stamp).st_mtime_ns // 1_000_000  # noqa: PTH116  (as above)
        except FileNotFoundError:
            self._touch(now)
            return False
        if 0 <= now - swept < HOURLY_MS:
            return False
        self._touch(now)
        return True

    def _touch(self, now: int) -> None:
        # Somebody may have tidied the folder away under us.
        make_folder(os.path.dirname(self._stamp))  # noqa: PTH120  (as above)
        os.close(os.open(self._stamp, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        os.utime(self._stamp, ns=(now * 1_000_000, now * 1_000_000))
