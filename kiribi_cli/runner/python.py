"""The pool of child interpreters in which Python callables run. Part of the hands: stdlib only, and light.

A child runs one callable at a time. While they are short it is sent some ahead, one packet each, so that it need not
wait for us; what it has not taken from its socket can be taken back, because we hold that end of it too. So nothing
that was only waiting is lost or delayed when a callable takes long, or takes its child down.
"""

from __future__ import annotations

import os

from kiribi_cli.clock import monotonic, now_ms
from kiribi_cli.runner.frames import dumps, loads
from kiribi_cli.runner.instant import rfc3339
from kiribi_cli.runner.plain import deque
from kiribi_cli.runner.spawn import SpawnFailedError, spawn

TYPE_CHECKING = False  # importing typing costs the hands two megabytes
if TYPE_CHECKING:
    from _socket import socket
    from typing import Any

    from kiribi_cli.runner.attempt import Attempt, Base
    from kiribi_cli.runner.launcher import Launcher

_BLOCK = 65_536
_PACKET = 262_144
# Longer payloads are read from their file: a packet has to fit into the socket's buffer.
_INLINE = 32_768
_MARK = 46
# Jobs are sent ahead while they usually take less than this, and for about as long as that.
_SHORT = 0.005
_AHEAD = 0.02
_AHEAD_MAX = 64
# A callable that takes longer gives up what waits behind it.
_GIVE_UP = 0.03
# An idle child costs ten megabytes or more; starting one costs 20 ms.
_IDLE = 30.0
_LEAVE = 5.0
_MSG_DONTWAIT = 0x40


class Child:
    """One interpreter. `sent` are the attempts it was given and has not answered, in order; the first one runs."""

    def __init__(
        self, base: Base, pid: int, jobs: socket, its_end: socket, fds: tuple[int, int, int], secret: bytes
    ) -> None:
        self.base = base
        self.pid = pid
        self.jobs = jobs
        self.its_end = its_end
        self.answers, self.out, self.err = fds
        self.mark = b"\0kiribi:" + secret + b":"
        self.sent: deque[Attempt] = deque()
        self.given = 0
        self.is_ready = False
        self.is_leaving = False
        self.is_watched = False
        self.buffer = bytearray()
        self.streams = {self.out: Stream(b"out", self), self.err: Stream(b"err", self)}
        self.answered: deque[tuple[Attempt, list[Any]]] = deque()
        self.used = (0.0, 0.0)
        self.free_at = 0.0
        self.alarm: Any = None


class Stream:
    """One output of a child, cut at the marks. `done`: how many attempts it has been cut off from."""

    __slots__ = ("child", "held", "name", "order")

    def __init__(self, name: bytes, child: Child) -> None:
        self.name = name
        self.child = child
        self.held = b""
        self.order: deque[Attempt] = deque()

    def take(self, data: bytes) -> list[tuple[Attempt, bytes]]:
        """Cut a block at the marks; what may be the beginning of one is held back."""
        mark = self.child.mark
        data = self.held + data
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


class Pool:
    """All children, and what goes to which."""

    def __init__(self, hands: Launcher) -> None:
        self._hands = hands
        self._children: dict[int, Child] = {}
        self._idle: dict[str, list[Child]] = {}
        self._harness = os.path.join(os.path.dirname(__file__), "child.py")  # noqa: PTH118, PTH120  (pathlib is heavy)

    def run(self, attempt: Attempt) -> None:
        """Give an attempt that has a slot to a child. Raises SpawnFailedError or OSError."""
        child = self._free_child(attempt.base)
        try:
            self._give(child, attempt)
        except OSError:
            self._rest(child)
            raise
        self._goes_first(child)
        self._give_ahead(child)

    def recall(self) -> None:
        """Take back everything that no child has begun, to where attempts wait."""
        for child in self._children.values():
            self._relieve(child)

    def pull(self, attempt: Attempt) -> None:
        """Find out whether an attempt that was sent ahead has begun; if not, it waits again afterwards."""
        child = attempt.child
        self._relieve(child)
        if attempt.child is child:
            self._hear(child.answers, child)

    def child_ended(self, pid: int, status: int, usage: Any) -> None:
        """Clear up after a child: only the callable that ran in it is hurt."""
        child = self._children.get(pid)
        if child is None:
            return
        self._hear(child.answers, child)
        # A child that never got as far as taking a job hurts the one that it was started for; who else would say so?
        first = child.sent.popleft() if child.sent and not child.is_ready else None
        self._take_back(child)
        self._read(child)
        del self._children[pid]
        self._leave(child)
        self._hands.forget(child.answers)
        self._watch_output(child)
        for fd in (child.out, child.err):
            # A process that it left behind may go on talking.
            self._hands.swallow(fd)
        child.its_end.close()
        if first is not None or child.sent:
            self._hurt(child, first or child.sent.popleft(), status, usage)
        for attempt in child.sent:
            self._wait_again(attempt)
            self._hands.waiting.appendleft(attempt)

    # Children

    def _free_child(self, base: Base) -> Child:
        idle = self._idle.setdefault(base.room, [])
        while idle:
            child = idle.pop()
            if not child.is_leaving and child.given < base.reuse:
                return child
            self._leave(child)
        return self._new_child(base)

    def _new_child(self, base: Base) -> Child:
        from _socket import AF_UNIX, SOCK_SEQPACKET, socketpair

        opened: list[int] = []
        jobs, its_end = socketpair(AF_UNIX, SOCK_SEQPACKET)
        try:
            for _ in range(3):
                opened += os.pipe2(os.O_CLOEXEC)
            fds = (self._hands.null, opened[3], opened[5], its_end.fileno(), opened[1])
            argv = [base.interpreter, self._harness]
            pid = spawn(base.setting, base.interpreter, argv, base.env, fds)
        except (OSError, SpawnFailedError):
            for fd in opened[::2]:
                os.close(fd)
            jobs.close()
            its_end.close()
            raise
        finally:
            for fd in opened[1::2]:
                os.close(fd)
        secret = os.urandom(8).hex().encode()
        child = Child(base, pid, jobs, its_end, (opened[0], opened[2], opened[4]), secret)
        jobs.setblocking(False)  # noqa: FBT003  (takes no keywords)
        jobs.send(secret)
        for fd in opened[::2]:
            os.set_blocking(fd, False)
        self._children[pid] = child
        self._hands.watch(child.answers, self._hear, child)
        return child

    def _rest(self, child: Child) -> None:
        """Keep a child that has nothing to do for a while, if it may run more."""
        if child.is_leaving or child.given >= child.base.reuse:
            self._leave(child)
            return
        child.free_at = monotonic()
        self._idle[child.base.room].append(child)
        if child.alarm is None:
            child.alarm = self._hands.alarms.set(child.free_at + _IDLE, self._retire, child)

    def _retire(self, child: Child) -> None:
        child.alarm = None
        if child.is_leaving:
            return
        idle_for = 0.0 if child.sent else monotonic() - child.free_at
        if idle_for >= _IDLE:
            self._leave(child)
        else:
            child.alarm = self._hands.alarms.set(monotonic() + _IDLE - idle_for, self._retire, child)

    def _leave(self, child: Child) -> None:
        """Let a child go: it exits when its socket ends, or is killed."""
        if child.is_leaving:
            return
        child.is_leaving = True
        child.jobs.close()
        idle = self._idle.get(child.base.room, [])
        if child in idle:
            idle.remove(child)
        self._hands.alarms.set(monotonic() + _LEAVE, self._put_out, child)

    def _put_out(self, child: Child) -> None:
        if self._children.get(child.pid) is child and not child.sent:
            os.killpg(child.pid, 9)

    # Giving

    def _give(self, child: Child, attempt: Attempt) -> None:
        env = attempt.lay_out(self._hands.null_payload)
        if attempt.timeout_ms is not None:
            env["KIRIBI_DEADLINE"] = rfc3339(now_ms() + attempt.timeout_ms)
        base = attempt.base
        words = [attempt.id, base.python, attempt.payload, env, base.result_max, attempt.stdin == "payload"]
        packet = dumps(words).encode("ascii")
        if len(packet) > _INLINE:
            packet = _write_packet(attempt, packet)
        child.jobs.send(packet)
        attempt.child = child
        child.given += 1
        child.sent.append(attempt)
        for stream in child.streams.values():
            stream.order.append(attempt)

    def _give_ahead(self, child: Child) -> None:
        base = child.sent[0].base
        if base.usual > _SHORT or child.is_leaving:
            return
        most = min(_AHEAD_MAX, int(_AHEAD / max(base.usual, 0.0001)))
        waiting = self._hands.waiting
        while waiting and len(child.sent) <= most and child.given < base.reuse:
            attempt = waiting[0]
            if not attempt.ended:
                if attempt.base.room != base.room or attempt.earlier:
                    return
                try:
                    self._give(child, attempt)
                except OSError:
                    attempt.clean_up()
                    return
            waiting.popleft()

    def _relieve(self, child: Child) -> None:
        """Take back what the child has not begun; a child that was too slow to begin anything is free then."""
        had_some = bool(child.sent)
        self._take_back(child)
        if had_some and not child.sent and not child.is_leaving:
            self._rest(child)

    def _take_back(self, child: Child) -> None:
        """Take what the child has not, in order, to the front of what waits."""
        back: list[Attempt] = []
        while not child.is_leaving or child.sent:
            try:
                packet = child.its_end.recv(_PACKET, _MSG_DONTWAIT)
            except OSError:
                break
            if not packet:
                break
            number = _attempt_in(packet)
            if child.sent and child.sent[-1].id != number:
                back += [attempt for attempt in child.sent if attempt.id == number]
            elif child.sent:
                back.append(child.sent[-1])
        for attempt in reversed(back):
            child.sent.remove(attempt)
            child.given -= 1
            for stream in child.streams.values():
                stream.order.remove(attempt)
            self._wait_again(attempt)
            self._hands.waiting.appendleft(attempt)

    def _wait_again(self, attempt: Attempt) -> None:
        """Make an attempt that was given away one that waits. If it was thought to run, that is told anew later."""
        for alarm in attempt.alarms:
            self._hands.alarms.cancel(alarm)
        attempt.alarms.clear()
        attempt.child = None
        attempt.pid = 0
        attempt.told = False
        self._hands.lose_slot(attempt)

    # Hearing

    def _goes_first(self, child: Child) -> None:
        """Note that the first of what was sent runs now."""
        attempt = child.sent[0]
        if attempt.pid:
            return
        now = monotonic()
        self._hands.take_slot(attempt)
        self._hands.began(attempt, child.pid, now_ms(), now)
        if not child.is_watched or len(child.sent) > 1:
            attempt.alarms.append(self._hands.alarms.set(now + _GIVE_UP, self._takes_long, child, attempt))

    def _takes_long(self, child: Child, attempt: Attempt) -> None:
        if not child.sent or child.sent[0] is not attempt:
            return
        self._watch_output(child)
        if not child.is_ready:
            # Its time is that of the interpreter's start.
            attempt.alarms.append(self._hands.alarms.set(monotonic() + _GIVE_UP, self._takes_long, child, attempt))
            return
        attempt.base.usual = max(attempt.base.usual, _GIVE_UP)
        self._relieve(child)

    def _watch_output(self, child: Child) -> None:
        """Read what a child prints as it comes. Not before a callable takes long: the output of the others, and the
        marks, are read with their answers, and would wake us twice for each.
        """
        if not child.is_watched:
            child.is_watched = True
            self._hands.watch(child.out, self._print, child)
            self._hands.watch(child.err, self._print, child)

    def _unwatch_output(self, child: Child) -> None:
        if child.is_watched:
            child.is_watched = False
            self._hands.mute(child.out)
            self._hands.mute(child.err)

    def _hear(self, fd: int, child: Child) -> None:
        try:
            while block := os.read(fd, _BLOCK):
                child.buffer += block
                if len(block) < _BLOCK:
                    break
        except OSError:
            pass  # nothing there now; that it ended is told by its exit
        for words in _frames(child.buffer):
            if len(words) == 1:
                child.is_ready = True
            elif words[1] == "back":
                self._stale(child)
            else:
                child.answered.append((child.sent.popleft(), words))
        if child.answered:
            # The marks were written before the answers: they are there.
            self._read(child)
            self._finish_answered(child)

    def _finish_answered(self, child: Child) -> None:
        while child.answered:
            attempt, words = child.answered.popleft()
            if attempt.stop is not None:
                # It came to an end while being stopped; its child goes with whatever it has left running.
                child.sent.appendleft(attempt)
                self._hands.ending.hurry(attempt)
                return
            self._finish(child, attempt, words)
        self._unwatch_output(child)
        if child.sent:
            self._goes_first(child)
            self._give_ahead(child)
        else:
            self._rest(child)

    def _finish(self, child: Child, attempt: Attempt, words: list[Any]) -> None:
        _, outcome, result, note, began_at, _, took, usage = words
        base = attempt.base
        base.usual = took if took > base.usual else base.usual * 0.8 + took * 0.2
        attempt.pid = child.pid
        attempt.at_ms = began_at
        attempt.took_ms = round(took * 1000)
        attempt.child = None
        handed = (None, None) if base.result == "none" else (result, note)
        self._hands.end(attempt, outcome, usage, handed)

    def _stale(self, child: Child) -> None:
        """The file of the callable has changed: a fresh child shall run it, and what stands behind it."""
        attempt = child.sent.popleft()
        for stream in child.streams.values():
            stream.order.remove(attempt)
        self._take_back(child)
        self._leave(child)
        self._wait_again(attempt)
        self._hands.waiting.appendleft(attempt)

    def _hurt(self, child: Child, attempt: Attempt, status: int, usage: Any) -> None:
        """End the attempt whose child died under it."""
        code = os.waitstatus_to_exitcode(status)
        if not child.is_ready and code >= 0 and attempt.stop is None:
            words = attempt.last_words().strip().rpartition("\n")[2]
            reason = f"{child.base.interpreter} cannot run callables: exit {code}" + (f": {words}" if words else "")
            self._hands.end(attempt, ["never", reason])
            return
        attempt.took_ms = round((monotonic() - attempt.began) * 1000)
        attempt.over = (status, usage)
        self._hands.ending.first_process_ended(attempt)

    # Output

    def _print(self, fd: int, child: Child) -> None:
        try:
            data = os.read(fd, _BLOCK)
        except OSError:
            return
        if data:
            self._share_out(child.streams[fd], data)
        else:
            # Nobody can write to it any more: the child is about to end, which is told by its exit.
            self._unwatch_output(child)

    def _read(self, child: Child) -> None:
        for fd, stream in child.streams.items():
            try:
                while data := os.read(fd, _BLOCK):
                    self._share_out(stream, data)
                    if len(data) < _BLOCK:
                        break
            except OSError:
                continue  # all read

    def _share_out(self, stream: Stream, data: bytes) -> None:
        for attempt, piece in stream.take(data):
            attempt.take(stream.name, piece)
            if self._hands.tee is not None:
                self._hands.tee.pass_on(stream.name, piece)


def _frames(buffer: bytearray) -> list[Any]:
    found = []
    place = 0
    while len(buffer) - place >= 4:
        end = place + 4 + int.from_bytes(buffer[place : place + 4], "big")
        if end > len(buffer):
            break
        found.append(loads(buffer[place + 4 : end].decode("ascii")))
        place = end
    if place:
        del buffer[:place]
    return found


def _write_packet(attempt: Attempt, packet: bytes) -> bytes:
    path = attempt.path("packet")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        if attempt.folder_is_own:
            os.fchown(fd, attempt.base.setting.uid or 0, attempt.base.setting.gid or 0)
        while packet:
            packet = packet[os.write(fd, packet) :]
    finally:
        os.close(fd)
    return b"@%d %b" % (attempt.id, os.fsencode(path))


def _attempt_in(packet: bytes) -> int:
    """Give the attempt that a packet is about; -1 for the secret, which comes first."""
    number = packet[1:].replace(b" ", b",").partition(b",")[0]
    return int(number) if packet[:1] in (b"@", b"[") else -1
