"""The harness in which Python callables run, one after the other. One file, standard library only, Python 3.8 or newer.

It knows no kiribi: jobs come as JSON, one per packet, on descriptor 3; answers leave as JSON with a length on 4.
After each job it writes a mark into stdout and stderr, by which the hands tell the output of one job from the next.
Whatever a job does to the process (variables, folder, umask, descriptors, streams) is put right before the next.
"""

# ruff: noqa: BLE001, PTH109, PTH116, PTH123, UP031  (what a job raises is an answer; pathlib costs milliseconds at each start)

from __future__ import annotations

import sys

# A script's own folder comes first on sys.path; jobs must not find our modules there.
del sys.path[0]

import json  # noqa: E402
import os  # noqa: E402
import resource  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
import time  # noqa: E402, TID251  (runs without kiribi, so without its clock)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import io
    from types import TracebackType
    from typing import Any

# More than any packet; and less than what makes malloc ask the system for memory each time.
PACKET = 65536
RESULT = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))


class Harness:
    """What there is to restore, and the descriptors to the hands under numbers that jobs do not touch."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.jobs = socket.socket(fileno=_away(3))
        self.answers = _away(4)
        self.null = os.open(os.devnull, os.O_RDWR)
        self.out = _away(1, keep=True)
        self.err = _away(2, keep=True)
        self.payload = _away(os.open(os.devnull, os.O_RDONLY))
        self.payload_path = "/proc/%d/fd/%d" % (self.pid, self.payload)
        self.cwd = os.getcwd()
        self.umask = os.umask(0)
        os.umask(self.umask)
        self.environ = dict(os.environ)
        self.set: dict[str, str] = {}
        self.seen: dict[Any, Any] | None = None
        self.modules: dict[str, tuple[Any, str | None, object]] = {}
        self.has_stdin = False
        self.mark = b""
        self.used = _used()
        self.open_streams()
        sys.path.insert(0, self.cwd)

    def open_streams(self) -> None:
        """Make new text streams on 1 and 2; line by line, so that a log can be followed."""
        self.streams = (_text_stream(1), _text_stream(2))
        sys.stdout, sys.stderr = self.streams

    def serve(self) -> None:
        """Run jobs until the hands close the socket."""
        self.used = _used()
        self.mark = b"\0kiribi:" + self.jobs.recv(PACKET) + b":"
        self.answer([0])
        while True:
            packet = self.jobs.recv(PACKET)
            if not packet:
                return
            if packet.startswith(b"@"):
                # Too long for a packet: it says where the job stands.
                with open(packet.partition(b" ")[2], "rb") as file:
                    packet = file.read()
            job = json.loads(packet.decode("ascii"))
            target = job[1]
            if target in self.modules and _stamp(self.modules[target][1]) != self.modules[target][2]:
                # Its file has changed: a fresh child shall run it.
                self.answer([job[0], "back"])
                return
            self.run(*job)

    def run(self, attempt: int, target: str, payload: str | None, env: dict[str, str], *rules: Any) -> None:
        """Run one job and answer it. `rules`: most bytes of a result, and whether the payload stands on stdin."""
        result_max, on_stdin = rules
        if payload is not None:
            env["KIRIBI_PAYLOAD_FILE"] = self.keep(payload)
        self.prepare(env)
        if payload is not None and on_stdin:
            self.give_stdin(payload)
        began_at = int(time.time() * 1000)
        began = time.monotonic()
        outcome, result, note = self.call(target, payload, result_max)
        took = time.monotonic() - began
        if os.getpid() != self.pid:
            # The job forked and its child came back here: it has nothing to answer.
            os._exit(0)
        self.flush()
        used, self.used = self.used, _used()
        usage = [round((self.used[0] - used[0]) * 1000), round((self.used[1] - used[1]) * 1000), self.used[2]]
        end = self.mark + b"%020d\n" % attempt
        os.write(self.out, end)
        os.write(self.err, end)
        self.answer([attempt, outcome, result, note, began_at, began, took, usage])

    def call(self, target: str, payload: str | None, result_max: int) -> tuple[list[Any], str | None, str | None]:
        """Call the function; give (outcome, result text or None, why a result was dropped or None)."""
        try:
            arguments: tuple[Any, ...] = () if payload is None else (json.loads(payload),)
            function = self.find(target)
            takes_names = bool(arguments) and isinstance(arguments[0], dict)
            value = function(**arguments[0]) if takes_names else function(*arguments)
            if hasattr(value, "__await__"):
                value = _awaited(value)
        except SystemExit as exit_:
            return self.exited(exit_.code), None, None
        except BaseException as error:
            return self.raised(error), None, None
        return _result(value, result_max)

    def find(self, target: str) -> Any:
        """Import what is to be called."""
        if target not in self.modules:
            import importlib

            name, _, path = target.partition(":")
            module = importlib.import_module(name)
            function = module
            for part in path.split("."):
                function = getattr(function, part)
            file = getattr(module, "__file__", None)
            self.modules[target] = (function, file, _stamp(file))
        return self.modules[target][0]

    def exited(self, code: object) -> list[Any]:
        if code is None or isinstance(code, int):
            return ["exit", (code or 0) & 0xFF]
        self.say(str(code) + "\n")
        return ["exit", 1]

    def raised(self, error: BaseException) -> list[Any]:
        kind = type(error).__name__
        if kind == "Snooze":
            delay = getattr(error, "delay", None)
            try:
                return ["snoozed", None if delay is None else max(0, int(float(delay) * 1000))]
            except (TypeError, ValueError, OverflowError):
                return ["snoozed", None]
        import traceback

        try:
            text = str(error)
            self.say("".join(traceback.format_exception(type(error), error, _without_us(error.__traceback__))))
        except Exception as second:
            text = "its message cannot be shown: %s" % type(second).__name__
            self.say("%s: %s\n" % (kind, text))
        return ["raised", kind, _clean(text), False]

    def say(self, text: str) -> None:
        """Write to the log, whatever has become of sys.stderr."""
        self.flush()
        data = text.encode("utf-8", "backslashreplace")
        while data:
            data = data[os.write(self.err, data) :]

    def prepare(self, env: dict[str, str]) -> None:
        """Make the process as a job expects it."""
        # First of all let go of streams of its own: one may hold the number 1 and close it with its last breath.
        sys.stdout, sys.stderr = self.streams
        os.dup2(self.out, 1)
        os.dup2(self.err, 2)
        if self.has_stdin:
            os.dup2(self.null, 0)
            sys.stdin = _stdin()
            self.has_stdin = False
        os.chdir(self.cwd)
        os.umask(self.umask)
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self.streams[0].closed or self.streams[1].closed:
            self.open_streams()
        if not sys.path or sys.path[0] != self.cwd:
            sys.path.insert(0, self.cwd)
        self.set_environ(env)

    def set_environ(self, env: dict[str, str]) -> None:
        if self.seen is None or getattr(os.environ, "_data", None) != self.seen:
            os.environ.clear()
            os.environ.update(self.environ)
            self.set = {}
        for name in self.set:
            if name not in env:
                # What a job was given may hide what the process has.
                os.environ.pop(name, None)
                if name in self.environ:
                    os.environ[name] = self.environ[name]
        for name, value in env.items():
            if self.set.get(name) != value:
                os.environ[name] = value
        self.set = env
        self.seen = dict(getattr(os.environ, "_data", None) or {}) or None

    def keep(self, payload: str) -> str:
        """Keep the payload in a file in memory, a new one for each job, and give the path under which it is found."""
        fd = _in_memory(payload)
        # The same number each time: what it named before is gone with its job.
        os.dup2(fd, self.payload, inheritable=False)
        os.close(fd)
        return self.payload_path

    def give_stdin(self, payload: str) -> None:
        """Let the job read its payload, with a newline, from descriptor 0."""
        fd = _in_memory(payload + "\n")
        os.dup2(fd, 0)
        os.close(fd)
        sys.stdin = _stdin()
        self.has_stdin = True

    def flush(self) -> None:
        for stream in {id(stream): stream for stream in (*self.streams, sys.stdout, sys.stderr)}.values():
            try:
                stream.flush()
            except Exception:  # noqa: S112  (the job closed it or put something of its own there)
                continue

    def answer(self, words: list[Any]) -> None:
        data = json.dumps(words).encode("ascii")
        data = len(data).to_bytes(4, "big") + data
        while data:
            data = data[os.write(self.answers, data) :]


def _in_memory(text: str) -> int:
    """Give a descriptor at the start of a file that holds the text and has no name."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("payload")
    else:
        import tempfile

        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    data = text.encode("utf-8", "surrogatepass")
    while data:
        data = data[os.write(fd, data) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _text_stream(fd: int) -> io.TextIOWrapper:
    return open(fd, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)


def _stdin() -> io.TextIOWrapper:
    return open(0, encoding="utf-8", errors="surrogateescape", closefd=False)


def _away(fd: int, *, keep: bool = False) -> int:
    """Move a descriptor out of the way, not to be inherited."""
    import fcntl

    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    # 60, or the upper half of what little there may be open.
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 60 if most < 0 or most > 120 else most // 2)
    if not keep:
        os.close(fd)
    return moved


def _used() -> tuple[float, float, int]:
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    rss = max(own.ru_maxrss, children.ru_maxrss) * 1024
    return own.ru_utime + children.ru_utime, own.ru_stime + children.ru_stime, rss


def _stamp(file: str | None) -> object:
    if file is None:
        return None
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _awaited(value: Any) -> Any:
    import asyncio

    async def wait() -> Any:
        return await value

    return asyncio.run(wait())


def _result(value: Any, result_max: int) -> tuple[list[Any], str | None, str | None]:
    if value is None:
        return ["exit", 0], None, None
    try:
        text = RESULT.encode(value)
        size = len(text.encode("utf-8"))
    except (TypeError, ValueError, RecursionError) as error:
        message = "it returned what JSON cannot hold: %s" % _clean(str(error))
        return ["raised", type(error).__name__, message, True], None, None
    if size > result_max:
        return ["exit", 0], None, "the result was dropped: %d bytes are more than result_max, %d" % (size, result_max)
    return ["exit", 0], text, None


def _clean(text: str) -> str:
    return text[:10000].encode("utf-8", "backslashreplace").decode("utf-8")


def _without_us(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_frame.f_code.co_filename == __file__:
        traceback = traceback.tb_next
    return traceback


if __name__ == "__main__":
    Harness().serve()
