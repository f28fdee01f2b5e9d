"""What the operating system tells a worker: stop, stop now, kill, read the file again. Counts, never acts."""

import os
import signal
from types import FrameType


class Signals:
    """Count stop signals and remember HUP; `fileno` becomes readable when one arrives."""

    def __init__(self) -> None:
        self.stops = 0
        # The stop signal that came last, to be passed on by `kiribi run`.
        self.last: int | None = None
        self.reload = False
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def install(self, *, hang_up_stops: bool = False) -> None:
        """Take over INT, TERM and HUP; undo what a careless parent left (blocked or ignored signals).

        `hang_up_stops`: HUP means that the terminal is gone, as for any command in it; under nohup it means nothing.
        """
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        if not hang_up_stops:
            signal.signal(signal.SIGHUP, self._hup)
        elif signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._stop)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self.stops += 1
        self.last = number

    def _hup(self, _number: int, _frame: FrameType | None) -> None:
        self.reload = True

    def take_reload(self) -> bool:
        """Whether HUP arrived since the last call."""
        asked, self.reload = self.reload, False
        return asked

    def fileno(self) -> int:
        return self._read

    def clear(self) -> None:
        """Empty the pipe, so that the next wait sleeps."""
        try:
            while os.read(self._read, 512):
                pass
        except BlockingIOError:
            return
