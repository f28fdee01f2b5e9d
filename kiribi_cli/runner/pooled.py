"""One child interpreter as the hands see it: what it was given, how far it is, and whose output is whose.

Jobs go to it some to a packet. One byte for each of them, the number of its packet, goes over a socket of which we hold
both ends: the child takes one before it begins a job, and what it has not taken we can take back. So a child can be
given many at once, and nothing waits behind a callable that turns out to be long, or takes its child down.

Part of the hands: stdlib only, and light.
"""

from __future__ import annotations

import os

from kiribi_cli.runner.frames import dumps, loads
from kiribi_cli.runner.log import spare_the_last
from kiribi_cli.runner.plain import deque
from kiribi_cli.runner.spawn import SpawnFailedError, spawn

TYPE_CHECKING = False  # importing typing costs the hands two megabytes
if TYPE_CHECKING:
    from _socket import socket
    from typing import Any

    from kiribi_cli.runner.attempt import Attempt, Base

_BLOCK = 65_536
# A packet has to fit into the socket's buffer; one job that is longer is read from a file.
INLINE = 32_768
_MARK = 46
_MSG_DONTWAIT = 0x40


class Child:
    """One interpreter. `sent` are the attempts it was given and has not answered, in order; the first one runs.

    `since`: when that one became the first (monotonic seconds).
    """

    def __init__(
        self,
        base: Base,
        pid: int,
        jobs: socket,
        turns: tuple[socket, socket],
        fds: tuple[int, ...],
        brand: int,
    ) -> None:
        self.base = base
        self.pid = pid
        self.jobs = jobs
        self.turns, self.its_turns = turns
        self.answers, self.out, self.err = fds
        self.sent: deque[Attempt] = deque()
        self.given = 0
        self.packets = 0
        self.since = 0.0
        self.is_ready = False
        self.is_leaving = False
        self.is_broken = False
        self.is_watched = False
        self.rest = b""
        self.free_at = 0.0
        self.rss = 0
        self.alarm: Any = None
        self.look: Any = None
        secret = os.urandom(8).hex().encode()
        mark = b"\0kiribi:" + secret + b":"
        self.streams = {self.out: Stream(b"out", mark), self.err: Stream(b"err", mark)}
        jobs.send(b"%b %d" % (secret, brand))

    def give(self, attempts: list[Attempt], files: str, no_payload: str) -> None:
        """Have it run these, all alike but for their payloads. Raises OSError when it cannot take them now."""
        first = attempts[0]
        base = first.base
        rules = [base.result_max, first.stdin == "payload", first.timeout_ms, files, no_payload]
        number = (self.packets + 1) & 0xFF
        jobs = [[attempt.id, attempt.job, attempt.payload] for attempt in attempts]
        packet = dumps([number, base.python, first.env, rules, jobs]).encode("ascii")
        if len(packet) > INLINE:
            packet = _in_file(first, packet)
        self.jobs.send(packet)
        self.packets += 1
        self.turns.send(bytes((number,)) * len(attempts))
        self.given += len(attempts)
        self.sent.extend(attempts)
        for attempt in attempts:
            attempt.child = self
        for stream in self.streams.values():
            stream.order.extend(attempts)

    def take_back(self) -> list[Attempt]:
        """Take what it has not begun, in order."""
        count = min(_hush(self.its_turns), len(self.sent))
        back = [self.sent.pop() for _ in range(count)]
        self.given -= count
        for stream in self.streams.values():
            for _ in range(count):
                stream.order.pop()
        back.reverse()
        return back

    def hear(self) -> list[list[Any]]:
        """Read the answers that are there. It is broken, and nothing more is heard of it, if they are none."""
        _hush(self.turns)
        if self.is_broken:
            return []
        data = self.rest
        try:
            while block := os.read(self.answers, _BLOCK):
                data += block
                if len(block) < _BLOCK:
                    break
        except OSError:
            pass  # nothing more now; that it ended is told by its exit
        whole, newline, self.rest = data.rpartition(b"\n")
        if not newline:
            return []
        try:
            answers: list[list[Any]] = loads("[" + whole.decode("ascii").replace("\n", ",") + "]")
        except (ValueError, StopIteration, RecursionError):
            self.is_broken = True
            return []
        return answers

    def leave(self) -> None:
        """Let it exit when it has done what it has taken."""
        self.is_leaving = True
        self.jobs.close()
        self.turns.close()


class Stream:
    """One output of a child, cut at the marks. `order`: the attempts it has not been cut off from."""

    __slots__ = ("_mark", "held", "name", "order")

    def __init__(self, name: bytes, mark: bytes) -> None:
        self.name = name
        self._mark = mark
        self.held = b""
        self.order: deque[Attempt] = deque()

    def take(self, data: bytes) -> list[tuple[Attempt, bytes]]:
        """Cut a block at the marks; what may be the beginning of one is held back."""
        mark = self._mark
        data = self.held + data
        count = data.count(mark)
        if len(data) == count * _MARK and count <= len(self.order):
            # They are all that it holds: callables usually print nothing.
            self.held = b""
            for _ in range(count):
                self.order.popleft()
            return []
        pieces: list[tuple[Attempt, bytes]] = []
        start = 0
        while (end := data.find(mark, start)) >= 0 and end + _MARK <= len(data):
            if self.order:
                attempt = self.order.popleft()
                if end > start:
                    pieces.append((attempt, data[start:end]))
            start = end + _MARK
        rest = data[start:]
        keep = rest.find(b"\0", max(0, len(rest) - _MARK + 1)) if end < 0 else end - start
        while 0 <= keep < len(rest) and not mark.startswith(rest[keep : keep + len(mark)]):
            keep = rest.find(b"\0", keep + 1)
        self.held = rest[keep:] if keep >= 0 else b""
        rest = rest[:keep] if keep >= 0 else rest
        if rest and self.order:
            pieces.append((self.order[0], rest))
        return pieces


def start_child(base: Base, harness: str, null: int, hands: str, brand: int = 0) -> Child:
    """Start an interpreter for callables. `hands` names us, for whoever has to end it when we are killed. `brand`:
    as brand_of_none gives it, for the harness to put on what each job starts.

    Raises SpawnFailedError or OSError.
    """
    from _socket import AF_UNIX, SOCK_SEQPACKET, SOCK_STREAM, socketpair

    opened: list[int] = []
    jobs, its_jobs = socketpair(AF_UNIX, SOCK_SEQPACKET)
    turns = socketpair(AF_UNIX, SOCK_STREAM)
    try:
        for _ in range(3):
            opened += os.pipe2(os.O_CLOEXEC)
        spare_the_last(opened[5])
        fds = (null, opened[3], opened[5], its_jobs.fileno(), opened[1], turns[1].fileno())
        env = base.env | {"KIRIBI_HANDS": hands}
        pid = spawn(base.setting, base.interpreter, [base.interpreter, harness], env, fds)
    except (OSError, SpawnFailedError):
        for fd in opened[::2]:
            os.close(fd)
        for one in (jobs, *turns):
            one.close()
        raise
    finally:
        for fd in opened[1::2]:
            os.close(fd)
        its_jobs.close()
    jobs.setblocking(False)  # noqa: FBT003  (takes no keywords)
    for fd in opened[::2]:
        os.set_blocking(fd, False)
    return Child(base, pid, jobs, turns, tuple(opened[::2]), brand)


def _hush(turns: socket) -> int:
    """Take all bytes that are there, and give their number."""
    try:
        return len(turns.recv(_BLOCK, _MSG_DONTWAIT))
    except OSError:
        return 0


def _in_file(attempt: Attempt, packet: bytes) -> bytes:
    path = attempt.path("packet")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    attempt.has_packet = True
    try:
        if attempt.folder_is_own:
            os.fchown(fd, attempt.base.setting.uid or 0, attempt.base.setting.gid or 0)
        while packet:
            packet = packet[os.write(fd, packet) :]
    finally:
        os.close(fd)
    return b"@" + os.fsencode(path)
