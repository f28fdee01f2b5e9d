"""The output of a job in the foreground: files and pipes get its bytes unchanged, terminals text and colours only."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from select import select
from typing import TYPE_CHECKING

from kiribi_cli.cli.safe import Cleaner
from kiribi_cli.cli.wiring import Here

if TYPE_CHECKING:
    from threading import Thread

_BLOCK = 65_536
# When the hands are gone, so is the other end of our pipes; only what a job left behind could still hold one.
_LAST_WORDS_S = 5.0


class Terminal:
    """Where output goes whose way ends at a terminal: through pipes, and read on the other side by a thread.

    A thread, because a terminal can be stopped (Ctrl-S), and signals have to reach the job all the same.
    """

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours
        self._cleaners: dict[int, tuple[int, Cleaner]] = {}
        self._thread: Thread | None = None

    def instead_of(self, fd: int) -> int:
        """Give a descriptor to write to, so that it comes out of `fd` cleaned."""
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        self._cleaners[ours] = (os.dup(fd), Cleaner(colours=self._colours))
        return theirs

    def start(self) -> None:
        """Begin to pass on."""
        if self._cleaners:
            from threading import Thread

            self._thread = Thread(target=self._pass_on, daemon=True)
            self._thread.start()

    def finish(self) -> None:
        """Wait until everything is passed on."""
        if self._thread is not None:
            self._thread.join(_LAST_WORDS_S)

    def _pass_on(self) -> None:
        while self._cleaners:
            for ours in select(list(self._cleaners), [], [])[0]:
                target, cleaner = self._cleaners[ours]
                data = os.read(ours, _BLOCK)
                _write(target, cleaner.feed(data) if data else cleaner.rest())
                if not data:
                    del self._cleaners[ours]
                    os.close(ours)
                    os.close(target)


@contextmanager
def outputs_for_hands(at: Here) -> Iterator[Terminal]:
    """Let what is started meanwhile have the right outputs: with --json, stdout holds the answer alone."""
    terminal = Terminal(colours=at.out.color != "never" and os.environ.get("TERM") != "dumb")
    kept = {}
    try:
        for fd, target in ((1, 2 if at.out.as_json else 1), (2, 2)):
            theirs = terminal.instead_of(target) if os.isatty(target) else target
            if theirs != fd:
                kept[fd] = os.dup(fd)
                os.dup2(theirs, fd)
            if theirs > 2:
                os.close(theirs)
        yield terminal
    finally:
        for fd, before in kept.items():
            os.dup2(before, fd)
            os.close(before)
    terminal.start()


def print_logs(at: Here, logs: Path, attempt_ids: tuple[int, ...]) -> None:
    """Print what was held back, attempt by attempt, each stream to where it belongs."""
    from kiribi_cli.runner.output import read

    cleaners = {
        name: Cleaner(colours=at.out.color != "never") if stream.isatty() else None
        for name, stream in (("out", sys.stdout), ("err", sys.stderr), ("gap", sys.stderr))
    }
    for attempt_id in attempt_ids:
        for piece in read(logs / str(attempt_id)):
            target, cleaner = sys.stdout if piece.stream == "out" else sys.stderr, cleaners[piece.stream]
            data = piece.data or f"[kiribi: {piece.missing} bytes are missing here]\n".encode()
            target.flush()
            target.buffer.write(cleaner.feed(data).encode() if cleaner else data)
            target.flush()
    for name, cleaner in cleaners.items():
        if cleaner:
            target = sys.stdout if name == "out" else sys.stderr
            target.write(cleaner.rest())
            target.flush()


def _write(fd: int, text: str) -> None:
    data = text.encode(errors="backslashreplace")
    with suppress(OSError):  # the terminal is gone: the job goes on, and so does its log
        while data:
            data = data[os.write(fd, data) :]
