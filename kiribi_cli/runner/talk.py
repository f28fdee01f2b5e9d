"""To whom the hands talk: the brain, the next brain when that one dies, and a terminal. Stdlib only, and light."""

from __future__ import annotations

import os
import select
import sys

from kiribi_cli.clock import monotonic
from kiribi_cli.runner import process
from kiribi_cli.runner.frames import Wire
from kiribi_cli.runner.log import remove

TYPE_CHECKING = False  # importing typing costs the hands two megabytes
if TYPE_CHECKING:
    from typing import Any

    from kiribi_cli.runner.launcher import Launcher

_PENDING_MAX = 65_536
# A pipe that can be written to at all takes so much without blocking.
_CHUNK = 4096
_KNOCK = 0.2


class Door:
    """The socket to the brain, and the one on which the next brain may knock."""

    def __init__(self, hands: Launcher, wire_fd: int) -> None:
        self._hands = hands
        self._wire: Wire | None = Wire(wire_fd)
        self._knocking: list[int] = []
        self._is_full = False
        self.path = f"{hands.run}/hands-{os.getpid()}.sock"
        self._listener = listen(self.path)
        hands.watch(wire_fd, self._hear)
        hands.watch(self._listener.fileno(), self._knock)

    def is_deserted(self) -> bool:
        """Tell whether there is no brain."""
        return self._wire is None and not self._knocking

    def tell(self) -> None:
        """Send what there is to tell."""
        wire = self._wire
        if wire is None:
            self._hands.outbox.clear()
            return
        if self._hands.outbox:
            wire.send(self._hands.outbox)
            self._hands.outbox = []
        is_full = not wire.flush()
        if is_full != self._is_full and not wire.lost:
            self._is_full = is_full
            self._hands.epoll.modify(wire.fd, select.EPOLLIN | (select.EPOLLOUT if is_full else 0))

    def last_words(self, text: str) -> None:
        """Say why we end, if anybody can hear it."""
        if self._wire is not None:
            self._wire.send([["words", text]])

    def close(self) -> None:
        """Take the door away."""
        remove(self.path)
        # What the brain wrote down about us.
        remove(self.path.removesuffix("sock") + "json")
        self._listener.close()

    def _hear(self, fd: int, _: object) -> None:
        wire = self._wire
        if wire is None:
            return
        messages = wire.receive()
        while self._hands.hung_up and not wire.lost:
            # What it said last, up to its end: nothing is begun for a brain that is dead.
            messages += wire.receive()
        for message in messages:
            self._hands.obey(message)
        if wire.lost:
            self._lose_brain(fd)
            if self._knocking:
                self._hands.unwatch(self._knocking[0])
                self._let_in(self._knocking.pop(0))

    def _lose_brain(self, fd: int) -> None:
        self._wire = None
        self._is_full = False
        self._hands.forget(fd)
        self._hands.orphaned()

    def _knock(self, _: int, __: object) -> None:
        # _socket's own accept: socket would import enum and selectors.
        try:
            fd, _address = self._listener._accept()
        except OSError:
            return
        if self._wire is None:
            self._let_in(fd)
            return
        # Our brain may just have died; we hear of that in this turn or the next. Or we are told to leave it.
        self._knocking.append(fd)
        self._hands.watch(fd, self._asked, Wire(fd))
        self._hands.alarms.set(monotonic() + _KNOCK, self._send_away, fd)

    def _asked(self, fd: int, knocker: Wire) -> None:
        """Leave a brain that is silent, if it is the one that is meant; all is then as after its death."""
        messages = knocker.receive()
        if self._wire is not None and messages == [["leave", _peer(self._wire.fd)]]:
            self._knocking.remove(fd)
            self._hands.unwatch(fd)
            self._lose_brain(self._wire.fd)
            self._let_in(fd)
        elif messages or knocker.lost:
            self._send_away(fd)

    def _send_away(self, fd: int) -> None:
        if fd in self._knocking:
            self._knocking.remove(fd)
            self._hands.forget(fd)

    def _let_in(self, fd: int) -> None:
        """Serve a new brain: tell it what runs, and all ends that nobody has stored yet."""
        hands = self._hands
        self._wire = Wire(fd)
        hands.watch(fd, self._hear)
        hands.outbox = [["hello", os.getpid()]]
        for attempt in hands.attempts.values():
            if attempt.pid and not attempt.unreported:
                attempt.ticks = attempt.ticks or process.start_ticks(attempt.pid)
                attempt.told = attempt.was_told = True
                hands.outbox.append(["s", attempt.id, attempt.pid, attempt.ticks, attempt.at_ms])
            elif attempt.unreported:
                hands.outbox.append(["lost", attempt.id, False])
        hands.outbox += hands.kept.values()


class Tee:
    """Passes output on to our own stdout and stderr; when they are slow, so is the job, and nothing else."""

    def __init__(self, hands: Launcher) -> None:
        self._hands = hands
        self._pending = {1: bytearray(), 2: bytearray()}
        self._gone: set[int] = set()
        self._waits = False

    def pass_on(self, stream: bytes, data: bytes) -> None:
        """Write a piece, or as much of it as can be written now."""
        fd = 1 if stream == b"out" else 2
        if fd not in self._gone:
            self._pending[fd] += data
            self._write()

    def is_done(self) -> bool:
        """Tell whether everything has been written."""
        return not any(self._pending.values())

    def _write(self) -> None:
        for fd, pending in self._pending.items():
            while pending and _takes(fd):
                try:
                    del pending[: os.write(fd, pending[:_CHUNK])]
                except BlockingIOError:
                    break
                except BrokenPipeError:
                    self._give_up(fd)
                    self._hands.outbox.append(["unheard"])
                except OSError:
                    self._give_up(fd)
        self._hold(is_full=any(len(pending) > _PENDING_MAX for pending in self._pending.values()))
        if not self.is_done() and not self._waits:
            self._waits = True
            self._hands.alarms.set(monotonic() + 0.01, self._again)

    def _give_up(self, fd: int) -> None:
        """Write there no more: the disk is full, or whoever read it has gone. The log goes on."""
        self._gone.add(fd)
        self._pending[fd].clear()

    def _again(self) -> None:
        self._waits = False
        self._write()

    def _hold(self, *, is_full: bool) -> None:
        for attempt in self._hands.attempts.values():
            for fd in attempt.pipes:
                self._hands.epoll.modify(fd, 0 if is_full else select.EPOLLIN)


def listen(path: str) -> Any:
    """Listen on a Unix socket at `path`, however long that is: its folder is reached through a descriptor."""
    from _socket import AF_UNIX, SOCK_STREAM, socket

    folder, _, name = path.rpartition("/")
    remove(path)
    listener = socket(AF_UNIX, SOCK_STREAM)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    before = os.umask(0o177)
    try:
        listener.bind(f"/proc/self/fd/{handle}/{name}")
    finally:
        os.umask(before)
        os.close(handle)
    listener.listen(8)
    listener.setblocking(False)  # noqa: FBT003  (takes no keywords)
    return listener


def _peer(fd: int) -> int:
    """The process at the other end of our socket: our brain."""
    from _socket import SO_PEERCRED, SOL_SOCKET, socket

    end = socket(fileno=os.dup(fd))
    try:
        return int.from_bytes(end.getsockopt(SOL_SOCKET, SO_PEERCRED, 12)[:4], sys.byteorder)
    finally:
        end.close()


def _takes(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(0))
