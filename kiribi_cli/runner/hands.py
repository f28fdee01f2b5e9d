"""The brain's side of the hands: start them, tell them what to run, read what became of it. Never blocks on a job."""

import os
import select
import signal
import socket
import sys
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, Self

from kiribi_cli.clock import monotonic, sleep
from kiribi_cli.core.definition import Limits
from kiribi_cli.core.outcome import (
    SUCCESS,
    Cancelled,
    Ended,
    Exited,
    Interrupted,
    NeverStarted,
    Outcome,
    Raised,
    Signalled,
    Snoozed,
    TimedOut,
    Usage,
)
from kiribi_cli.core.records import asdict
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.runner.frames import Wire
from kiribi_cli.runner.launch import Base, Launch, Lost, Progressed, Report, Returned, Started
from kiribi_cli.runner.log import remove
from kiribi_cli.runner.process import boot_id, pid_namespace
from kiribi_cli.runner.remains import keep
from kiribi_cli.runner.spawn import SCARCITY

# Bases that the hands are made to remember; composing one again costs one message.
_KNOWN_MAX = 256
_KNOCK_MS = 3000
# Seconds for which a launcher is tried to be started on a machine that lacks processes or memory.
_LACKING_S = 3.0
# -I and -S: nothing of the user's environment or site-packages gets into the hands, and they start in 12 ms.
_ALONE = ("-I", "-S", "-X", "utf8", "-c")
_CODE = (
    "import sys; sys.path.insert(0, sys.argv[1]); from kiribi_cli.runner.launcher import main; main(3, *sys.argv[2:])"
)


class HandsLost(Exception):  # noqa: N818  (named for what happened)
    """The hands are gone; what they ran is described by the attempts' recorded processes."""


class HandsSilent(HandsLost):
    """They are there, but stopped, or they hang."""


class Hands:
    """A launcher process and the socket to it."""

    def __init__(self, wire: Wire, pid: int, path: str, *, is_child: bool) -> None:
        self.pid = pid
        self.path = path
        self._wire = wire
        self._is_child = is_child
        # One descriptor that becomes readable both when there is something to read and when what waits can be written.
        self._epoll = select.epoll()
        self._epoll.register(wire.fd, select.EPOLLIN)
        self._is_full = False
        # With `tee`: whether a reader of our stdout or stderr had gone when the job printed something.
        self.is_unheard = False
        self._boot = boot_id()
        self._namespace = pid_namespace()
        # A process that ended before anybody looked when it began, as in the column attempts.process.
        self.unseen_process = f'["{self._boot}", "{self._namespace}", 0]'
        self._keys: dict[int, tuple[Base, int]] = {}
        self._last_key = 0
        # Why they ended, where they could say it.
        self.last_words = ""
        # What came together with the answer to `attach`.
        self._early: list[Any] = []

    @classmethod
    def start(
        cls, *, logs_dir: str, run_dir: str, db_path: str | None, slots: int | None = None, tee: bool = False
    ) -> Self:
        """Start a launcher. At most `slots` attempts run at once (None: all), further ones wait in the hands in order.

        `tee`: pass output through to this process's stdout and stderr as it comes, besides the log. The launcher
        listens at `path` for a later `attach`. Both folders must exist, with absolute paths. Raises REFUSED without
        /proc, and where no process can be started.
        """
        refuse_without_proc()
        ours, theirs = socket.socketpair()
        root = str(Path(__file__).resolve().parent.parent.parent)
        limit = "" if slots is None else str(slots)
        arguments = [root, logs_dir, run_dir, db_path or "", limit, "1" if tee else ""]
        with theirs:
            pid = _spawn_patiently([sys.executable, *_ALONE, _CODE, *arguments], theirs.fileno(), quiet=not tee)
        hands = cls(Wire(ours.detach()), pid, f"{run_dir}/hands-{pid}.sock", is_child=True)
        try:
            keep(run_dir, pid)
        except OSError as error:
            hands.close()
            raise KiribiError(
                Code.STORE, f"cannot write into {run_dir}: {error.strerror}", hint="kiribi doctor looks at the disk"
            ) from error
        return hands

    @classmethod
    def attach(cls, path: str, *, silent: int | None = None) -> Self:
        """Take over the hands whose brain has died. Raises HandsLost when nobody is there, or they have a brain, and
        HandsSilent when they do not answer. `silent`: the pid of a living brain that they are to leave, as if it had
        died: they have left it when this returns.

        The first reports are a Started for all that runs and the Ended of everything not yet `settled`.
        Attempts that were not to be adopted are being ended: a Lost for each, and another when it is over.
        """
        wire = Wire(_connect(path))
        if silent is not None:
            wire.send([["leave", silent]])
        until = monotonic() + _KNOCK_MS / 1000
        messages: list[Any] = []
        while not messages and not wire.lost and monotonic() < until:
            select.select([wire.fd], [], [], max(0.0, until - monotonic()))
            messages = wire.receive()
        if not messages and not wire.lost:
            wire.close()
            raise HandsSilent(f"the hands at {path} do not answer")
        if not messages or messages[0][0] != "hello":
            wire.close()
            raise HandsLost(f"the hands at {path} did not answer; they may have a worker")
        hands = cls(wire, messages[0][1], path, is_child=False)
        keep(path.rpartition("/")[0], hands.pid)
        hands._early = messages[1:]
        return hands

    @property
    def folder(self) -> str:
        """The run folder that they work in."""
        return self.path.rpartition("/")[0]

    def fileno(self) -> int:
        """Give the descriptor that becomes readable when `reports` has something to do (for select or epoll)."""
        return self._epoll.fileno()

    def start_many(self, launches: Sequence[Launch]) -> None:
        """Hand over attempts; never blocks. Raises HandsLost."""
        messages: list[Any] = []
        for like, some in groupby(launches, key=_alike):
            key = self._key(like[0], messages)
            if like[0].python and not like[-1]:
                _, argv, env, stdin, timeout_ms, _ = like
                jobs = [(launch.attempt_id, launch.job_id, launch.payload) for launch in some]
                messages.append(("call", key, argv, env, stdin, timeout_ms, jobs))
                continue
            messages += [("run", key, launch.attempt_id, launch.job_id, *launch[3:]) for launch in some]
        self._send(messages)

    def stop(
        self,
        attempt_id: int,
        why: Literal["cancel", "interrupt"],
        by: str = "",
        signal: int | None = None,
        kill_after_ms: int | None = None,
    ) -> None:
        """End an attempt: signal to the group, kill_after, SIGKILL to all of it (0: at once). Unknown ids are ignored.

        Asking again shortens what is going on, never lengthens it. Its Ended says Cancelled(by) or Interrupted.
        """
        self._send([["stop", attempt_id, why, by, signal, kill_after_ms]])

    def recall(self) -> None:
        """Take back what waits in the hands: one Returned for each attempt that has not started."""
        self._send([["recall"]])

    def resize(self, slots: int | None) -> None:
        """Change how many attempts run at once; running ones go on."""
        self._send([["slots", slots]])

    def settled(self, attempt_ids: Collection[int]) -> None:
        """Say that these ends are stored: the hands keep the Ended of an adoptable attempt until then."""
        self._send([["settled", list(attempt_ids)]])

    def reports(self) -> list[Report]:
        """Take what has been reported, oldest first, without waiting. Raises HandsLost once everything was taken."""
        self.flush()
        messages = self._early + self._wire.receive()
        self._early = []
        if not messages and self._wire.lost:
            raise HandsLost(f"the hands (pid {self.pid}) are gone")
        found: list[Report] = []
        for message in messages:
            self._read(message, found)
        return found

    def flush(self) -> bool:
        """Write what is buffered for the hands; true when nothing is left. Everything else here tries it too."""
        is_full = not self._wire.flush()
        if is_full != self._is_full:
            self._is_full = is_full
            self._epoll.modify(self._wire.fd, select.EPOLLIN | (select.EPOLLOUT if is_full else 0))
        return not is_full

    def close(self) -> None:
        """Let go: as a brain's death for what still runs. The launcher exits when nothing is left to run or report."""
        self._epoll.close()
        self._wire.close()
        if self._is_child:
            # It usually exits at once, and then it is not left as a zombie; if jobs keep it, init or we reap it later.
            _reap(self.pid)

    def _key(self, base: Base, messages: list[Any]) -> int:
        known = self._keys.get(id(base))
        if known is not None:
            return known[1]
        if len(self._keys) >= _KNOWN_MAX:
            _, old = self._keys.pop(next(iter(self._keys)))
            messages.append(["drop", old])
        self._last_key += 1
        self._keys[id(base)] = (base, self._last_key)
        messages.append(["base", self._last_key, _fields(base)])
        return self._last_key

    def _send(self, messages: list[Any]) -> None:
        if self._wire.lost:
            raise HandsLost(f"the hands (pid {self.pid}) are gone")
        self._wire.send(messages)
        self.flush()

    def _read(self, message: list[Any], found: list[Report]) -> None:
        match message[0]:
            case "e":
                (_, attempt_id, outcome, started_at, took_ms, user, system, rss, words, kept, result, note, pid) = (
                    message
                )
                usage = Usage(user, system, rss)
                found.append(
                    Ended(attempt_id, _outcome(outcome), started_at, took_ms, usage, words, kept, result, note, pid)
                )
            case "ran":
                _, pid, rss, ran = message
                usage = Usage(0, 0, rss)
                found += [Ended(id_, SUCCESS, at, ms, usage, pid=pid) for id_, at, ms in ran]
            case "s":
                _, attempt_id, pid, ticks, at_ms = message
                found.append(Started(attempt_id, pid, ticks, self._boot, self._namespace, at_ms))
            case "p":
                found.append(Progressed(message[1], message[2]))
            case "unheard":
                self.is_unheard = True
            case "r":
                found.append(Returned(message[1], message[2]))
            case "lost":
                found.append(Lost(message[1], message[2]))
            case "words":
                self.last_words = message[1]
            case other:
                raise ValueError(f"the hands said {other!r}")


def refuse_without_proc() -> None:
    """Raise REFUSED where the system does not tell which processes there are."""
    if not pid_namespace():
        sentence = "jobs cannot be run without /proc, which tells their processes from others: there is none here"
        raise KiribiError(Code.REFUSED, sentence, hint="mount -t proc proc /proc")


def waiting(run_dir: str) -> Iterable[str]:
    """List the sockets of launchers in this folder, for `attach`; stale ones of dead launchers included."""
    return sorted(str(path) for path in Path(run_dir).glob("hands-*.sock"))


def remove_files(run_dir: str, attempt_ids: Iterable[int]) -> None:
    """Remove what killed hands could not: the files of these attempts beside the sockets."""
    for attempt_id in attempt_ids:
        for kind in ("payload", "result", "progress", "packet"):
            remove(f"{run_dir}/{attempt_id}.{kind}")


def _alike(launch: Launch) -> tuple[Any, ...]:
    """What callables share that are handed over in one message."""
    return launch.base, launch.argv, launch.env, launch.stdin, launch.timeout_ms, launch.earlier


def _outcome(words: list[Any]) -> Outcome:
    match words:
        case ["exit", code]:
            return Exited(code) if code else SUCCESS
        case ["signal", number, oom]:
            return Signalled(number, oom)
        case ["raised", kind, message, final]:
            return Raised(kind, message, final)
        case ["snoozed", delay_ms]:
            return Snoozed(delay_ms)
        case ["timeout", after_ms]:
            return TimedOut(after_ms)
        case ["never", reason]:
            return NeverStarted(reason)
        case ["cancelled", by]:
            return Cancelled(by)
        case ["interrupted"]:
            return Interrupted()
        case other:
            raise ValueError(f"the hands told an unknown end: {other!r}")


def _fields(base: Base) -> dict[str, Any]:
    fields = asdict(base)
    fields["env"] = list(base.env)
    fields["limits"] = _limits(base.limits)
    if base.identity is not None:
        fields["identity"] = [base.identity.uid, base.identity.gid, list(base.identity.groups)]
    return fields


def _limits(limits: Limits) -> list[tuple[str, int | None]]:
    return [
        ("RLIMIT_AS", limits.memory),
        ("RLIMIT_CPU", None if limits.cpu_time_ms is None else max(1, -(-limits.cpu_time_ms // 1000))),
        ("RLIMIT_NOFILE", limits.open_files),
        ("RLIMIT_NPROC", limits.processes),
        ("RLIMIT_FSIZE", limits.file_size),
    ]


def _spawn_patiently(argv: list[str], wire_fd: int, *, quiet: bool) -> int:
    """As _spawn, but wait a little where the machine lacks something for a moment."""
    until = monotonic() + _LACKING_S
    while True:
        try:
            return _spawn(argv, wire_fd, quiet=quiet)
        except OSError as error:
            if error.errno not in SCARCITY:
                raise
            if monotonic() > until:
                sentence = f"no process can be started that would run jobs: {error.strerror}"
                raise KiribiError(Code.REFUSED, sentence, hint="kiribi doctor, or ulimit -a") from error
            sleep(0.1)


def _spawn(argv: list[str], wire_fd: int, *, quiet: bool) -> int:
    """Start the launcher in a session of its own: no Ctrl-C, no Ctrl-Z and no kill of our group reaches it."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    # Not onto itself: that would leave it to close on exec.
    wire = os.dup(wire_fd) if wire_fd == 3 else wire_fd
    try:
        actions: list[Any] = [(os.POSIX_SPAWN_DUP2, wire, 3)]
        # 0, 1 and 2 must be open, or the hands' own files would get these numbers.
        actions += [(os.POSIX_SPAWN_DUP2, null, fd) for fd in range(3) if (fd == 1 and quiet) or not _is_open(fd)]
        every = [number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)]
        # Blocked from the start, so that there is no moment in which one of them ends the hands.
        deaf = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
        return os.posix_spawn(
            argv[0], argv, os.environ, file_actions=actions, setsid=True, setsigmask=deaf, setsigdef=every
        )
    finally:
        os.close(null)
        if wire != wire_fd:
            os.close(wire)


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _connect(path: str) -> int:
    folder, _, name = path.rpartition("/")
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            handle = os.open(folder or "/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                # A Unix address holds 108 bytes; paths may be longer.
                connection.connect(f"/proc/self/fd/{handle}/{name}")
            except ConnectionRefusedError:
                # Left by hands that were killed; their number makes the name theirs alone.
                os.unlink(name, dir_fd=handle)
                raise
            finally:
                os.close(handle)
        except OSError as error:
            raise HandsLost(f"nobody listens at {path}") from error
        return connection.detach()


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
