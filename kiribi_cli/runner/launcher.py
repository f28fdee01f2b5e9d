"""The hands: a small process that starts, watches and ends everything that runs, and tells the brain.

Stdlib only, one thread, one loop. It never opens the database and never waits for the brain. When the brain dies it
ends what it was told to end, keeps the rest running, and keeps what there is to tell until the next brain asks.
"""

from __future__ import annotations

import os
import select
import sys

from kiribi_cli.clock import monotonic, now_ms
from kiribi_cli.runner import process
from kiribi_cli.runner.alarms import Alarms
from kiribi_cli.runner.attempt import Attempt, Base, stdin_of
from kiribi_cli.runner.brand import Brand
from kiribi_cli.runner.ending import Ending
from kiribi_cli.runner.instant import rfc3339
from kiribi_cli.runner.log import remove, spare_the_last
from kiribi_cli.runner.plain import deque, signal
from kiribi_cli.runner.spawn import SpawnFailedError, spawn
from kiribi_cli.runner.talk import Door, Tee

TYPE_CHECKING = False  # importing typing costs the hands two megabytes
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_BLOCK = 65_536
# How long the end of an attempt waits for output of what its first process left behind, and how long until Started is
# told: an attempt that is shorter tells it together with its end.
_GRACE = 0.1
_TELL_AFTER = 0.02
_NOBODY: tuple[None, None] = (None, None)
_RETRY = 0.1
_TIDY = 1.0
_LISTEN_AFTER = 0.004
_TRIES = 30
# A quarter of the descriptors that a process has, as a rule.
_SWALLOWED_MAX = 256


class Launcher:
    """Everything that the hands know."""

    def __init__(self, wire_fd: int, logs: str, run: str, db: str | None, slots: int | None, *, tee: bool) -> None:
        self.logs = logs
        self.run = run
        self.db = db
        self.slots = slots
        self.epoll = select.epoll()
        self.alarms = Alarms()
        # Pipes of processes that attempts left behind, the oldest first.
        self.swallowed: dict[int, None] = {}
        self.readers: dict[int, tuple[Callable[..., object], Any]] = {}
        self.attempts: dict[int, Attempt] = {}
        self.by_pid: dict[int, Attempt] = {}
        self.waiting: deque[Attempt] = deque()
        self.active = 0
        self.bases: dict[int, Base] = {}
        self.kept: dict[int, list[Any]] = {}
        self.outbox: list[Any] = []
        self.null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self.null_payload = _null_payload(run)
        self.tee = Tee(self) if tee else None
        self.pool: Any = None
        # What has ended, and may have left a file.
        self.gone: set[int] = set()
        self.ending = Ending(self)
        # Whether who is being heard has hung up.
        self.hung_up = 0
        self.brand = Brand(db)
        self.hands_id = f"{os.getpid()}:{process.start_ticks(os.getpid())}"
        self.oom = process.OutOfMemory()
        self._catch_children()
        self.door = Door(self, wire_fd)

    def loop(self) -> None:
        """Serve until there is nobody to tell anything and nothing to run."""
        while not self.door.is_deserted() or self.attempts or self.kept:
            if self.waiting:
                self.admit()
            self.door.tell()
            at = self.alarms.next()
            for fd, flags in self.epoll.poll(-1 if at is None else max(0.0, at - monotonic() + 0.0005)):
                self.hung_up = flags & select.EPOLLHUP
                call, subject = self.readers.get(fd, _NOBODY)
                if call is not None:
                    call(fd, subject)
            self.alarms.ring(monotonic())
        self.tidy()
        self.door.close()
        if self.pool is not None:
            self.pool.dismiss()

    def watch(self, fd: int, call: Callable[..., object], subject: Any = None) -> None:
        """Have `call(fd, subject)` made whenever there is something to read."""
        self.readers[fd] = (call, subject)
        self._register(fd)

    def _register(self, fd: int) -> None:
        if fd not in self.readers:
            return
        try:
            self.epoll.register(fd, select.EPOLLIN)
        except FileExistsError:
            return  # its number has been given to another that is watched
        except OSError:
            # The kernel has no room for another watch now; until it has, whoever writes may wait.
            self.alarms.set(monotonic() + _RETRY, self._register, fd)

    def unwatch(self, fd: int) -> None:
        """Watch it no more; it stays open."""
        del self.readers[fd]
        try:
            self.epoll.unregister(fd)
        except FileNotFoundError:
            return  # there was no room for it

    def forget(self, fd: int) -> None:
        """Watch it no more, if anybody did, and close it."""
        self.readers.pop(fd, None)
        os.close(fd)

    # What the brain says

    def obey(self, message: list[Any]) -> None:
        """Do what a message of the brain asks."""
        kind = message[0]
        if kind == "run":
            self._expect(Attempt(self.bases[message[1]], message[2:], self.logs, self.run))
        elif kind == "call":
            # Callables of one definition, alike but for their payloads.
            _, key, argv, env, stdin, timeout_ms, jobs = message
            base = self.bases[key]
            for number, job, payload in jobs:
                fields = [number, job, "", argv, env, payload, stdin, timeout_ms, False]
                self._expect(Attempt(base, fields, self.logs, self.run))
        elif kind == "base":
            self.bases[message[1]] = Base(message[2])
        elif kind == "drop":
            self.bases.pop(message[1], None)
        elif kind == "stop":
            self.stop(*message[1:])
        elif kind == "recall":
            self.recall()
        elif kind == "slots":
            self.slots = message[1]
        elif kind == "settled":
            for attempt_id in message[1]:
                self.kept.pop(attempt_id, None)

    def _expect(self, attempt: Attempt) -> None:
        self.attempts[attempt.id] = attempt
        self.waiting.append(attempt)

    def stop(self, attempt_id: int, why: str, by: str, number: int | None, kill_after_ms: int | None) -> None:
        """End an attempt for the brain; one that has not started ends at once."""
        attempt = self.attempts.get(attempt_id)
        if attempt is None:
            return
        if attempt.child is not None:
            self.pool.pull(attempt)
            if attempt.ended:
                return
        if attempt.pid == 0:
            self.end(attempt, ["cancelled", by] if why == "cancel" else ["interrupted"])
            return
        kill_after = attempt.base.kill_after if kill_after_ms is None else kill_after_ms / 1000
        self.ending.begin(attempt, why, by, number or attempt.base.stop_signal, kill_after)

    def recall(self) -> None:
        """Give back what has not started."""
        if self.pool is not None:
            self.pool.recall()
        for attempt in list(self.waiting):
            if self.attempts.get(attempt.id) is attempt and attempt.pid == 0:
                self.give_back(attempt, "")
        self.waiting.clear()

    def give_back(self, attempt: Attempt, why: str) -> None:
        """Return what has not begun; what was told to run stands so in the store, and ends as interrupted."""
        if attempt.was_told:
            self.end(attempt, ["interrupted"])
            return
        self.drop(attempt)
        self.outbox.append(["r", attempt.id, why])

    def orphaned(self) -> None:
        """Go on without a brain: what is not to be adopted is ended, and nobody will ask about it."""
        if self.pool is not None:
            self.pool.recall()
        for attempt in list(self.attempts.values()):
            if attempt.child is not None:
                # It may have begun just now: then it is to be ended as well.
                self.pool.pull(attempt)
            if attempt.ended:
                continue
            if attempt.pid == 0:
                self.drop(attempt)
            elif not attempt.base.adopt:
                attempt.unreported = True
                self.ending.begin(attempt, "lost", "", attempt.base.stop_signal, attempt.base.kill_after)
        self.waiting.clear()
        for fd in range(3):
            # Nobody who waits for our brain's output to end shall wait for us.
            os.dup2(self.null, fd)

    # Starting

    def admit(self) -> None:
        """Start what waits, as far as there are slots; first of all end what earlier attempts of those jobs left."""
        ready: list[Attempt] = []
        while self.waiting and (self.slots is None or self.active < self.slots):
            attempt = self.waiting.popleft()
            if self.attempts.get(attempt.id) is attempt:
                self.take_slot(attempt)
                ready.append(attempt)
        again = {attempt.job for attempt in ready if attempt.earlier}
        left = process.left_of_jobs(again, self.db) if again else {}
        for attempt in ready:
            if attempt.earlier and attempt.job in left:
                self.ending.clear(attempt, left[attempt.job])
            else:
                self.start(attempt)

    def start(self, attempt: Attempt) -> None:
        """Start an attempt in its slot, or say why it cannot be."""
        try:
            if attempt.base.python:
                self._to_pool(attempt)
            else:
                self._spawn(attempt)
        except SpawnFailedError as error:
            attempt.clean_up()
            if not error.scarce:
                self.end(attempt, ["never", error.reason])
            else:
                self.try_later(attempt, error.reason)
        except OSError as error:
            # Its files could not be made: no room, no folder. That is our trouble, not the job's.
            attempt.clean_up()
            self.try_later(attempt, error.strerror or str(error))

    def try_later(self, attempt: Attempt, why: str) -> None:
        """Start it again shortly; after many tries it is handed back with the reason, which costs the job nothing."""
        if self.pool is not None:
            self.pool.let_idle_go()
        attempt.tries += 1
        if attempt.tries > _TRIES:
            self.give_back(attempt, why)
        else:
            attempt.alarms.append(self.alarms.set(monotonic() + _RETRY, self.start, attempt))

    def _to_pool(self, attempt: Attempt) -> None:
        if self.pool is None:
            from kiribi_cli.runner.python import Pool

            self.pool = Pool(self)
        self.pool.run(attempt)

    def _spawn(self, attempt: Attempt) -> None:
        env = attempt.base.env | attempt.lay_out(self.null_payload)
        at_ms = now_ms()
        if attempt.timeout_ms is not None:
            env["KIRIBI_DEADLINE"] = rfc3339(at_ms + attempt.timeout_ms)
        stdin = self._stdin(attempt)
        opened: list[int] = []
        try:
            opened += os.pipe2(os.O_CLOEXEC)
            opened += os.pipe2(os.O_CLOEXEC)
            spare_the_last(opened[3])
            out, out_end, err, err_end = opened
            began = monotonic()
            self.brand.put_on(attempt.job)
            pid = spawn(attempt.base.setting, attempt.program, attempt.argv, env, (stdin, out_end, err_end))
        except (OSError, SpawnFailedError):
            for fd in opened[::2]:
                os.close(fd)
            raise
        finally:
            self.brand.take_off()
            for fd in opened[1::2]:
                os.close(fd)
            if stdin not in (0, self.null):
                os.close(stdin)
        self.by_pid[pid] = attempt
        for fd, stream in ((out, b"out"), (err, b"err")):
            os.set_blocking(fd, False)
            attempt.pipes[fd] = stream
        self.began(attempt, pid, at_ms, began)
        if self.tee is not None:
            self._listen(attempt)
        else:
            attempt.alarms.append(self.alarms.set(began + _LISTEN_AFTER, self._listen, attempt))

    def _listen(self, attempt: Attempt) -> None:
        """Read what it prints as it comes. Until then it has the room of a pipe, and most commands end before."""
        for fd in attempt.pipes:
            if fd not in self.readers:
                self.watch(fd, self.read, attempt)

    def began(self, attempt: Attempt, pid: int, at_ms: int, began: float) -> None:
        """Note that an attempt runs; its time counts from here."""
        attempt.pid = pid
        attempt.at_ms = at_ms
        attempt.began = began
        attempt.alarms.append(self.alarms.set(began + _TELL_AFTER, self._tell_started, attempt))
        if attempt.timeout_ms is not None:
            at = began + attempt.timeout_ms / 1000
            attempt.alarms.append(self.alarms.set(at, self.ending.time_is_up, attempt))
        self.oom.look()

    def _stdin(self, attempt: Attempt) -> int:
        if attempt.stdin == "inherit":
            return 0
        return stdin_of(attempt.payload) if attempt.stdin == "payload" and attempt.payload is not None else self.null

    def _tell_started(self, attempt: Attempt) -> None:
        attempt.ticks = process.start_ticks(attempt.pid)
        attempt.told = attempt.was_told = True
        if not attempt.unreported:
            self.outbox.append(["s", attempt.id, attempt.pid, attempt.ticks, attempt.at_ms])
        attempt.alarms = [alarm for alarm in attempt.alarms if alarm.call is not None]
        attempt.alarms.append(self.alarms.set(attempt.began + 1, self._look_at_progress, attempt))

    def _look_at_progress(self, attempt: Attempt) -> None:
        text = attempt.new_progress()
        if text is not None and not attempt.unreported:
            self.outbox.append(["p", attempt.id, text])
        self.oom.look()
        attempt.alarms = [alarm for alarm in attempt.alarms if alarm.call is not None]
        attempt.alarms.append(self.alarms.set(monotonic() + 1, self._look_at_progress, attempt))

    # Reading

    def read(self, fd: int, attempt: Attempt) -> bool:
        """Take one block of output; false when there is none now."""
        try:
            data = os.read(fd, _BLOCK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            del attempt.pipes[fd]
            self.forget(fd)
            if attempt.over is not None and not attempt.pipes:
                self.ending.first_process_ended(attempt)
            return False
        attempt.take(attempt.pipes[fd], data)
        if self.tee is not None:
            self.tee.pass_on(attempt.pipes[fd], data)
        return True

    def swallow(self, fd: int) -> None:
        """Read on without keeping it; of too many the oldest is let go, or one day nothing could be started."""
        self.readers[fd] = (self._swallow, None)
        self.swallowed[fd] = None
        if len(self.swallowed) > _SWALLOWED_MAX:
            self._let_go(next(iter(self.swallowed)))

    def _let_go(self, fd: int) -> None:
        self.swallowed.pop(fd, None)
        self.forget(fd)

    def _swallow(self, fd: int, _: None) -> None:
        """Drop what a process left behind prints: nobody reads it any more, but it must not die of talking."""
        try:
            data = os.read(fd, _BLOCK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._let_go(fd)

    # Ending

    def _catch_children(self) -> None:
        reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.watch(reader, self._children_ended)

    def _children_ended(self, fd: int, _: None) -> None:
        try:
            os.read(fd, _BLOCK)
        except BlockingIOError:
            return
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            attempt = self.by_pid.pop(pid, None)
            if attempt is not None:
                self._first_process_ended(attempt, status, usage)
            elif self.pool is not None:
                self.pool.child_ended(pid, status, usage)

    def _first_process_ended(self, attempt: Attempt, status: int, usage: Any) -> None:
        attempt.over = (status, usage)
        attempt.took_ms = round((monotonic() - attempt.began) * 1000)
        for fd in list(attempt.pipes):
            # A pipe holds 64 KiB, or a MiB at most; what comes after that many blocks is written by somebody else.
            for _ in range(17):
                if not self.read(fd, attempt):
                    break
        if attempt.pipes:
            self._listen(attempt)
            attempt.alarms.append(self.alarms.set(monotonic() + _GRACE, self.ending.first_process_ended, attempt))
        elif not attempt.ended:
            self.ending.first_process_ended(attempt)

    def finish(self, attempt: Attempt) -> None:
        """Tell the end of an attempt whose processes are gone, or none of our business any more."""
        assert attempt.over is not None  # noqa: S101  (only then is it finished)
        if self.tee is not None and not self.tee.is_done():
            self.alarms.set(monotonic() + _TELL_AFTER, self.finish, attempt)
            return
        for fd in list(attempt.pipes):
            self.swallow(fd)
        attempt.pipes.clear()
        status, usage = attempt.over
        self.end(attempt, self.ending.outcome(attempt, status), usage)

    def end(self, attempt: Attempt, outcome: list[Any], usage: Any = None, result: Any = None) -> None:
        """Close an attempt and report it; `result` is given where it did not come by a file or stdout."""
        self.drop(attempt)
        if attempt.opened is not None:
            attempt.opened.close()
        text, note = (None, None) if attempt.pid == 0 else result or attempt.collect()
        if attempt.pid:
            attempt.clean_up()
        used = (0, 0, 0) if usage is None else usage if isinstance(usage, list) else _used(usage)
        message = [
            "e",
            attempt.id,
            outcome,
            attempt.at_ms or None,
            attempt.took_ms,
            *used,
            attempt.last_words(),
            attempt.log_bytes,
            text,
            note,
            0 if attempt.told else attempt.pid,
        ]
        if attempt.unreported:
            self.outbox.append(["lost", attempt.id, True])
            return
        if attempt.base.adopt:
            self.kept[attempt.id] = message
        self.outbox.append(message)

    def tell_ran(self, pid: int, rss: int, ran: list[tuple[int, int, int]]) -> None:
        """Report callables that ran in one child and have nothing to say: (attempt, start, milliseconds) of each."""
        self.outbox.append(["ran", pid, rss, ran])

    def drop(self, attempt: Attempt) -> None:
        """Know it no more."""
        attempt.ended = True
        for alarm in attempt.alarms:
            self.alarms.cancel(alarm)
        attempt.alarms.clear()
        self.attempts.pop(attempt.id, None)
        self.lose_slot(attempt)
        if not self.gone:
            self.alarms.set(monotonic() + _TIDY, self.tidy)
        self.gone.add(attempt.id)

    def tidy(self) -> None:
        """Remove what progress files attempts left that have ended since the last time: hardly any has one."""
        gone, self.gone = self.gone, set()
        try:
            names = os.listdir(self.run)  # noqa: PTH208  (pathlib costs the hands memory)
        except OSError:
            names = []  # too few descriptors, or no folder any more: a small file that stays does no harm
        for name in names:
            number, _, kind = name.partition(".")
            if kind == "progress" and number.isdigit() and int(number) in gone:
                remove(f"{self.run}/{name}")

    def take_slot(self, attempt: Attempt) -> None:
        """Count it as running."""
        if not attempt.has_slot:
            attempt.has_slot = True
            self.active += 1

    def lose_slot(self, attempt: Attempt) -> None:
        """Count it as running no more."""
        if attempt.has_slot:
            attempt.has_slot = False
            self.active -= 1


def _null_payload(run: str) -> str:
    """Make the file that all attempts without a payload share. It is read-only, and put right at each start."""
    path = f"{run}/null"
    draft = f"{path}.{os.getpid()}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o400)
    os.write(fd, b"null")
    os.close(fd)
    os.rename(draft, path)  # noqa: PTH104  (as in log.py)
    return path


def _used(usage: Any) -> tuple[int, int, int]:
    return round(usage.ru_utime * 1000), round(usage.ru_stime * 1000), usage.ru_maxrss * 1024


def main(wire_fd: int, logs: str, run: str, db: str, slots: str, tee: str) -> None:
    """Be the hands. Called by hands.py in a fresh interpreter."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        # Only the brain decides; a Ctrl-C in the terminal reaches it as well.
        signal.signal(number, signal.SIG_IGN)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  (pathlib costs the hands memory)
        if int(name) > 2 and int(name) != wire_fd:
            try:
                os.close(int(name))
            except OSError:
                continue  # the one with which the folder was listed
    os.set_inheritable(wire_fd, False)  # noqa: FBT003  (takes no keywords)
    process.become_subreaper()
    hands = Launcher(wire_fd, logs, run, db or None, int(slots) if slots else None, tee=tee == "1")
    try:
        hands.loop()
    except BaseException:
        from traceback import format_exc

        hands.door.last_words(format_exc())
        raise
    sys.stderr.flush()
