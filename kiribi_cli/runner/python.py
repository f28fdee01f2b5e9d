"""The pool of child interpreters in which Python callables run. Part of the hands: stdlib only, and light.

A child runs one callable at a time. While they are short it is given many ahead, so that neither of us waits for the
other; what it has not begun is taken back as soon as one of them takes long. See pooled.py for how.
"""

from __future__ import annotations

import os

from kiribi_cli.clock import monotonic, now_ms, sleep
from kiribi_cli.runner.brand import brand_of_none
from kiribi_cli.runner.pooled import INLINE, Child, start_child

TYPE_CHECKING = False  # importing typing costs the hands two megabytes
if TYPE_CHECKING:
    from typing import Any

    from kiribi_cli.runner.attempt import Attempt, Base
    from kiribi_cli.runner.launcher import Launcher
    from kiribi_cli.runner.pooled import Stream

_BLOCK = 65_536
# Jobs are given ahead while they usually take less than this, and for about as long as that.
_SHORT = 0.005
_AHEAD = 0.02
_AHEAD_MAX = 256
_PACKET_MAX = 128
# One that takes longer is told to have begun, and gives up what waits behind it.
_LONG = 0.02
# An idle child costs ten megabytes or more; starting one costs 20 ms.
_IDLE = 30.0
_LEAVE = 5.0
_DONE = ["exit", 0]
_BROKEN = "it wrote to descriptors that are not its own, and its interpreter was ended"


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
            self._give(child, [attempt])
        except OSError:
            self._rest(child)
            raise
        self._goes_first(child, monotonic())
        self._give_ahead(child)

    def has(self, pid: int) -> bool:
        """Tell whether one of its children has this pid."""
        return pid in self._children

    def recall(self) -> None:
        """Take back everything that no child has begun, to where attempts wait."""
        for child in self._children.values():
            self._relieve(child)

    def let_idle_go(self) -> None:
        """Let go of children that have nothing to do: the machine lacks what they hold."""
        for child in [child for idle in self._idle.values() for child in idle]:
            self._leave(child)

    def pull(self, attempt: Attempt) -> None:
        """Find out whether an attempt that was given to a child has begun; if not, it waits again afterwards."""
        child = attempt.child
        self._relieve(child)
        if attempt.child is child:
            self._hear(child)
        if attempt.child is child and child.sent[0] is attempt:
            self._has_begun(child, attempt)

    def child_ended(self, pid: int, status: int, usage: Any) -> None:
        """Clear up after a child: only the callable that ran in it is hurt."""
        child = self._children.get(pid)
        if child is None:
            return
        self._hear(child)
        # A child that never got as far as taking a job hurts the one that it was started for; who else would say so?
        first = child.sent.popleft() if child.sent and not child.is_ready else None
        self._take_back(child)
        self._read(child)
        del self._children[pid]
        self._leave(child)
        if child.look is not None:
            self._hands.alarms.cancel(child.look)
        os.close(child.answers)
        self._watch_output(child)
        for fd in (child.out, child.err):
            # A process that it left behind may go on talking.
            self._hands.swallow(fd)
        child.its_turns.close()
        if first is not None or child.sent:
            self._hurt(child, first or child.sent.popleft(), status, usage)
        for attempt in child.sent:
            self._wait_again(attempt)
            self._hands.waiting.appendleft(attempt)

    def dismiss(self) -> None:
        """Let all children go, and wait until they have: they would be killed as soon as we are gone."""
        for child in self._children.values():
            self._leave(child)
        until = monotonic() + _LEAVE
        while self._children and monotonic() < until:
            for pid in list(self._children):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    del self._children[pid]
            sleep(0.002)

    # Children

    def _free_child(self, base: Base) -> Child:
        idle = self._idle.setdefault(base.room, [])
        while idle:
            child = idle.pop()
            if not child.is_leaving and child.given < base.reuse:
                return child
            self._leave(child)
        child = start_child(base, self._harness, self._hands.null, self._hands.hands_id, brand_of_none(self._hands.db))
        self._children[child.pid] = child
        self._hands.watch(child.turns.fileno(), self._rang, child)
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
        """Let a child go: it exits when nobody can give it anything any more, or is killed."""
        if child.is_leaving:
            return
        self._hands.unwatch(child.turns.fileno())
        child.leave()
        idle = self._idle.get(child.base.room, [])
        if child in idle:
            idle.remove(child)
        self._hands.alarms.set(monotonic() + _LEAVE, self._put_out, child)

    def _put_out(self, child: Child) -> None:
        # Known means not reaped yet, so the number is still its own.
        if self._children.get(child.pid) is child and not child.sent:
            os.killpg(child.pid, 9)

    def _break(self, child: Child) -> None:
        """Somebody has written among the answers, and nobody knows what it has done: it goes, with what it runs."""
        child.is_broken = True
        if not child.is_leaving:
            self._take_back(child)
            self._leave(child)
            self._hands.alarms.set(monotonic(), self._end_broken, child)

    def _end_broken(self, child: Child) -> None:
        if self._children.get(child.pid) is child:
            os.killpg(child.pid, 9)

    # Giving

    def _give(self, child: Child, attempts: list[Attempt]) -> None:
        no_payload = attempts[0].lay_out_payload(self._hands.null_payload)
        child.give(attempts, attempts[0].folder, no_payload)

    def _give_ahead(self, child: Child) -> None:
        base = child.sent[0].base
        if base.usual > _SHORT or child.is_leaving:
            return
        most = min(_AHEAD_MAX, int(_AHEAD / max(base.usual, 0.0001)), base.reuse - child.given + len(child.sent))
        while len(child.sent) <= most // 2 and (some := self._alike(base, most - len(child.sent))):
            try:
                self._give(child, some)
            except OSError:
                self._hands.waiting.extendleft(reversed(some))
                return

    def _alike(self, base: Base, most: int) -> list[Attempt]:
        """Take from what waits what fits into one packet."""
        waiting = self._hands.waiting
        found: list[Attempt] = []
        size = 0
        while waiting and len(found) < min(most, _PACKET_MAX):
            attempt = waiting[0]
            if not attempt.ended:
                size += len(attempt.payload or "") + 64
                like = found[0] if found else attempt
                if attempt.base is not base or attempt.earlier or size > INLINE // 2 or not attempt.goes_with(like):
                    break
                found.append(attempt)
            waiting.popleft()
        return found

    def _relieve(self, child: Child) -> None:
        """Take back what the child has not begun; a child that was too slow to begin anything is free then."""
        had_some = bool(child.sent)
        self._take_back(child)
        if had_some and not child.sent and not child.is_leaving:
            self._rest(child)

    def _take_back(self, child: Child) -> None:
        """Take what the child has not begun, in order, to the front of what waits."""
        back = child.take_back()
        for attempt in back:
            self._wait_again(attempt)
        self._hands.waiting.extendleft(reversed(back))

    def _wait_again(self, attempt: Attempt) -> None:
        """Make an attempt that was given away one that waits. If it was thought to run, that is told anew later."""
        for alarm in attempt.alarms:
            self._hands.alarms.cancel(alarm)
        attempt.alarms.clear()
        attempt.child = None
        attempt.pid = 0
        attempt.told = False
        self._hands.lose_slot(attempt)

    # Watching

    def _goes_first(self, child: Child, since: float) -> None:
        """Note that the first of what was given runs now; look later whether it takes long."""
        attempt = child.sent[0]
        self._hands.take_slot(attempt)
        child.since = since
        if child.look is None:
            child.look = self._hands.alarms.set(since + self._patience(attempt), self._look, child)

    def _patience(self, attempt: Attempt) -> float:
        return _LONG if attempt.timeout_ms is None else min(_LONG, attempt.timeout_ms / 1000)

    def _look(self, child: Child) -> None:
        """See how far a child is that has something to do."""
        child.look = None
        self._hear(child)
        if not child.sent:
            return
        attempt = child.sent[0]
        now = monotonic()
        if now < child.since + self._patience(attempt):
            child.look = self._hands.alarms.set(child.since + self._patience(attempt), self._look, child)
            return
        if child.is_ready:
            # First of all: it may not have begun even the first one.
            self._relieve(child)
            if not child.sent:
                return
            attempt.base.usual = max(attempt.base.usual, _LONG)
        self._has_begun(child, attempt)
        self._watch_output(child)
        if not child.is_ready:
            # Its time is that of the interpreter's start.
            child.look = self._hands.alarms.set(now + _LONG, self._look, child)

    def _has_begun(self, child: Child, attempt: Attempt) -> None:
        if not attempt.pid:
            at_ms = now_ms() - round((monotonic() - child.since) * 1000)
            self._hands.began(attempt, child.pid, at_ms, child.since)

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
            self._hands.unwatch(child.out)
            self._hands.unwatch(child.err)

    # Hearing

    def _rang(self, _: int, child: Child) -> None:
        self._hear(child)

    def _hear(self, child: Child) -> None:
        answers = child.hear()
        if not answers:
            if child.is_broken:
                self._break(child)
            return
        # The marks were written before the answers: they are there.
        self._read(child)
        ran: list[tuple[int, int, int]] = []
        is_held = False
        for words in answers:
            if words == [0]:
                child.is_ready = True
            elif words == ["leave"]:
                # The last one changed it for good: another shall run what stands behind.
                self._take_back(child)
                self._leave(child)
            elif not child.sent or type(words) is not list or words[:1] != [child.sent[0].id]:
                self._break(child)
                break
            elif len(words) == 2:
                self._stale(child)
            elif child.sent[0].stop is not None:
                # It came to an end while being stopped; its child goes with whatever it has left running.
                is_held = True
                self._hands.ending.hurry(child.sent[0])
                break
            else:
                self._answered(child, words, ran)
        if ran:
            self._hands.tell_ran(child.pid, child.rss, ran)
        if not is_held:
            self._go_on(child)

    def _answered(self, child: Child, words: list[Any], ran: list[tuple[int, int, int]]) -> None:
        """Note the end of the first that was given; the plain ones are gathered in `ran`."""
        attempt = child.sent.popleft()
        began_at, began, took = words[1:4]
        child.since = began + took
        base = attempt.base
        base.usual = took if took > base.usual else base.usual * 0.8 + took * 0.2
        attempt.child = None
        if len(words) == 4:
            outcome, result, note, usage = _DONE, None, None, [0, 0, child.rss]
            if attempt.is_plain():
                ran.append((attempt.id, began_at, round(took * 1000)))
                self._hands.drop(attempt)
                return
        else:
            outcome, result, note, usage = words[4:]
            child.rss = usage[2]
        attempt.pid = child.pid
        attempt.at_ms = began_at
        attempt.took_ms = round(took * 1000)
        handed = (None, None) if base.result == "none" else (result, note)
        self._hands.end(attempt, outcome, usage, handed)

    def _go_on(self, child: Child) -> None:
        self._unwatch_output(child)
        if child.sent:
            self._goes_first(child, child.since)
            self._give_ahead(child)
        elif child.pid in self._children and child not in self._idle.get(child.base.room, ()):
            self._rest(child)

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
        self._has_begun(child, attempt)
        code = os.waitstatus_to_exitcode(status)
        if not child.is_ready and code >= 0 and attempt.stop is None:
            words = attempt.last_words().strip().rpartition("\n")[2]
            reason = f"{child.base.interpreter} cannot run callables: exit {code}" + (f": {words}" if words else "")
            self._hands.end(attempt, ["never", reason])
            return
        attempt.took_ms = round((monotonic() - attempt.began) * 1000)
        if child.is_broken and attempt.stop is None:
            self._hands.end(attempt, ["raised", "OSError", _BROKEN, False])
            return
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
