"""The harness in which Python callables run, one after the other. Standard library only, Python 3.8 or newer.

It knows no kiribi. What it is to run comes as JSON on descriptor 3, some jobs to a packet; a byte on descriptor 5, the
number of the packet, allows one of them to begin, and can be taken back as long as we have not read it. Answers leave
as lines of JSON on 4; a byte on 5 says that it is time to read them.
After each job it writes a mark into stdout and stderr, by which the hands tell the output of one job from the next.
Whatever a job does to the process is put right before the next (ground.py). What cannot be put right makes us leave: a
fresh child runs the next. What it does to modules stays, because that is what modules are for.
"""

# ruff: noqa: BLE001, PTH109, PTH116, PTH123, UP031  (what a job raises is an answer; pathlib costs milliseconds at each start)

from __future__ import annotations

import json
import os
import re
import resource
import select
import socket
import sys
import time  # noqa: TID251  (runs without kiribi, so without its clock)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import io
    from types import TracebackType
    from typing import Any

    from kiribi_cli.runner.ground import (
        File,
        Ground,
        Variables,
        away,
        die_with_the_hands,
        is_usable,
        spent,
        stdin,
        text_stream,
    )
else:
    # Where child.py has put us.
    from ground import File, Ground, Variables, away, die_with_the_hands, is_usable, spent, stdin, text_stream

# More than any packet; and less than what makes malloc ask the system for memory each time.
PACKET = 65536
# Longer values come by stdin and file only, as for commands.
DOOR_MAX = 65536
RESULT = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))
# A job may replace whatever it likes in the modules that we share with it: what is ours is called by names of our own.
ASCII = json.JSONEncoder(allow_nan=False).encode
LOADS = json.JSONDecoder().decode
clock, monotonic, getpid, getppid, leave = time.time, time.monotonic, os.getpid, os.getppid, os._exit
# The hands are told of answers when there is nothing left to do, or after this long (seconds).
RING = 0.002
# What a shorter call used rounds to no millisecond of CPU: nobody asks the system then.
SHORT = 0.0005
# The exit code (EX_OSERR) of a child that cannot talk to the hands any more.
LOST = 71


class Harness:
    """What there is to restore, and the descriptors to the hands under numbers that jobs do not touch."""

    def __init__(self) -> None:
        self.pid = getpid()
        self.hands = int(os.environ.pop("KIRIBI_HANDS", "0").partition(":")[0]) or getppid()
        die_with_the_hands()
        self.jobs = socket.socket(fileno=away(3))
        self.answers = away(4)
        os.set_blocking(self.answers, False)
        self.turns = socket.socket(fileno=away(5))
        self.null = away(os.open(os.devnull, os.O_RDWR))
        self.out = away(1, keep=True)
        self.err = away(2, keep=True)
        self.payload = File()
        self.payload_path = b"/proc/%d/fd/%d" % (self.pid, self.payload.fd)
        self.stdin = File()
        self.stdin_stream: io.TextIOWrapper | None = None
        self.nothing = sys.stdin
        self.has_stdin = False
        self.cwd = os.getcwd()
        self.folder = away(os.open(self.cwd, os.O_RDONLY))
        self.umask = os.umask(0)
        os.umask(self.umask)
        self.variables = Variables()
        self.modules: dict[str, tuple[Any, str | None, object]] = {}
        # When (monotonic) the last call ended, and when its file was looked at.
        self.ended = 0.0
        self.looked_at = 0.0
        self.mark = b""
        # By which what a job leaves behind is known for its own: see brand.py. A fork keeps none of its variables.
        self.brand = 0
        self.plain_rttime = resource.getrlimit(resource.RLIMIT_RTTIME)
        self.rang = 0.0
        self.used = spent()
        self.unseen = 0.0
        self.open_streams()
        sys.path.insert(0, self.cwd)
        self.ground = Ground()

    def open_streams(self) -> None:
        """Make new text streams on 1 and 2; line by line, so that a log can be followed."""
        self.streams = (text_stream(1), text_stream(2))
        sys.stdout, sys.stderr = self.streams

    def serve(self) -> None:
        """Run jobs until the hands close the socket."""
        secret, brand = self.jobs.recv(PACKET).split()
        self.mark = b"\0kiribi:" + secret + b":"
        if self.plain_rttime[1] == resource.RLIM_INFINITY:
            self.brand = int(brand)
        self.answer(b"[0]\n")
        number = -1
        target, shared, rules = "", {}, []
        jobs: list[Any] = []
        while True:
            turn = self.turn()
            if not turn or getppid() != self.hands:
                # They are gone: what they gave us before may run elsewhere by now.
                return
            while number != turn[0]:
                # What is left of a packet when the next number comes was taken back.
                number, target, shared, rules, jobs = self.receive()
                jobs.reverse()
                self.looked_at = 0.0
                rules[-2:] = os.fsencode(rules[-2]), os.fsencode(rules[-1])
            job = jobs.pop()
            if self.is_stale(target):
                # Its file has changed: a fresh child shall run it.
                self.answer(b'[%d,"back"]\n' % job[0])
                self.ring()
                return
            took = self.run(target, shared, rules, *job)
            if not self.ground.is_put_right(took):
                self.answer(b'["leave"]\n')
                self.ring()
                return
            if self.ended - self.rang > RING:
                self.ring()

    def turn(self) -> bytes:
        """Take the right to begin a job; wait until there is one."""
        try:
            return self.turns.recv(1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            # As long as one job follows the other, each puts its own in the place of the last.
            self.take_off_brand()
            # Nobody has been told of the last answers; there may be no other occasion for long.
            self.ring()
        return self.turns.recv(1)

    def take_off_brand(self) -> None:
        if self.brand:
            resource.setrlimit(resource.RLIMIT_RTTIME, self.plain_rttime)

    def receive(self) -> Any:
        packet = self.jobs.recv(PACKET)
        if packet.startswith(b"@"):
            # Too long for a packet: it says where the job stands.
            with open(packet[1:], "rb") as file:
                packet = file.read()
        return LOADS(packet.decode("ascii"))

    def is_stale(self, target: str) -> bool:
        """Tell whether the file of the module has changed; looked at for each packet, and once a millisecond."""
        known = self.modules.get(target)
        now = monotonic()
        if known is None or now - self.looked_at < 0.001:
            return False
        self.looked_at = now
        return _stamp(known[1]) != known[2]

    def run(
        self, target: str, shared: dict[str, str], rules: list[Any], attempt: int, job: int, payload: str | None
    ) -> float:
        """Run one job, answer it, and give the seconds that it took. `rules`: most bytes of a result, whether the
        payload stands on stdin, timeout in milliseconds, name of the folder for its files, path of the payload of
        those that have none.
        """
        result_max, on_stdin, timeout_ms, files, no_payload = rules
        arguments = None if payload is None else LOADS(payload)
        self.prepare()
        own = {
            b"KIRIBI_JOB_ID": b"%d" % job,
            b"KIRIBI_ATTEMPT_ID": b"%d" % attempt,
            b"KIRIBI_PROGRESS_FILE": b"%b/%d.progress" % (files, attempt),
            b"KIRIBI_PAYLOAD_FILE": no_payload,
        }
        if timeout_ms is not None:
            own[b"KIRIBI_DEADLINE"] = _rfc3339(clock() + timeout_ms / 1000)
        if payload is not None:
            data = payload.encode("utf-8", "surrogatepass")
            self.payload.hold(data)
            own[b"KIRIBI_PAYLOAD_FILE"] = self.payload_path
            if len(data) <= DOOR_MAX:
                own[b"KIRIBI_PAYLOAD"] = data
            if isinstance(arguments, dict):
                own.update(_variables_of(arguments))
        if payload is not None and on_stdin:
            self.give_stdin(data + b"\n")
        else:
            self.take_stdin()
        self.variables.set(shared, own)
        began_at = int(clock() * 1000)
        if self.brand:
            resource.setrlimit(resource.RLIMIT_RTTIME, (self.brand + job, resource.RLIM_INFINITY))
        began = monotonic()
        outcome, result, note = self.call(target, payload is not None, arguments, result_max)
        self.ended = ended = monotonic()
        if getpid() != self.pid:
            # The job forked and its child came back here: it has nothing to answer.
            leave(0)
        self.flush()
        end = self.mark + b"%020d\n" % attempt
        self.write(self.out, end)
        self.write(self.err, end)
        took = ended - began
        if took < SHORT and result is None and note is None and outcome == ["exit", 0]:
            self.unseen += took
            self.answer(b"[%d,%d,%r,%r]\n" % (attempt, began_at, began, took))
            return took
        # It may be tried again at once: by then we must not look like what it has left.
        self.take_off_brand()
        words = [attempt, began_at, began, took, outcome, result, note, self.usage(took)]
        self.answer(ASCII(words).encode("ascii") + b"\n")
        return took

    def usage(self, took: float) -> list[int]:
        """Give milliseconds of CPU (user, system) since the last time, and the peak of memory in bytes."""
        if took < SHORT:
            self.unseen += took
            return [0, 0, self.used[2]]
        used, self.used = self.used, spent()
        return [round((self.used[0] - used[0]) * 1000), round((self.used[1] - used[1]) * 1000), self.used[2]]

    def call(
        self,
        target: str,
        has_payload: bool,  # noqa: FBT001  (null is a payload)
        arguments: Any,
        result_max: int,
    ) -> tuple[list[Any], str | None, str | None]:
        """Call the function; give (outcome, result text or None, why a result was dropped or None)."""
        try:
            function = self.find(target)
            if isinstance(arguments, dict):
                value = function(**arguments)
            else:
                value = function(arguments) if has_payload else function()
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
            try:
                module = importlib.import_module(name)
            except SystemExit as exit_:
                # A script that does its work when it is imported: what was to be called has not been.
                raise ImportError("%s exits when it is imported (%r)" % (name, exit_.code)) from exit_
            function = module
            for part in path.split("."):
                function = getattr(function, part)
            file = getattr(module, "__file__", None)
            self.modules[target] = (function, file, _stamp(file))
            # What a module sets up for itself is there for all that is called in it.
            self.ground.look()
        return self.modules[target][0]

    def exited(self, code: object) -> list[Any]:
        if code is None or isinstance(code, int):
            return ["exit", (code or 0) & 0xFF]
        try:
            self.say("%s\n" % (code,))
        except BaseException as error:
            self.say("an exit code that cannot be shown: %s\n" % type(error).__name__)
        return ["exit", 1]

    def raised(self, error: BaseException) -> list[Any]:
        kind = type(error).__name__
        if kind == "Snooze":
            delay = getattr(error, "delay", None)
            try:
                return ["snoozed", None if delay is None else max(0, int(float(delay) * 1000))]
            except (TypeError, ValueError, OverflowError):
                return ["snoozed", None]
        try:
            text = str(error)
        except BaseException as second:
            text = "its message cannot be shown: %s" % type(second).__name__
        try:
            import traceback

            story = "".join(traceback.format_exception(type(error), error, _without_us(error.__traceback__)))
        except BaseException:
            # As much as there is: its message raises, or a job threw away the module that tells of errors.
            story = "%s: %s\n" % (kind, text)
        self.say(story)
        return ["raised", kind, _clean(text), False]

    def say(self, text: str) -> None:
        """Write to the log, whatever has become of sys.stderr."""
        self.flush()
        self.write(self.err, text.encode("utf-8", "backslashreplace"))

    def write(self, fd: int, data: bytes) -> None:
        """Write all of it to a pipe of ours, though a job may have made that one which does not wait."""
        while data:
            try:
                data = data[os.write(fd, data) :]
            except BlockingIOError:
                os.set_blocking(fd, True)

    def prepare(self) -> None:
        """Make the process as a job expects it."""
        # First of all let go of streams of its own: one may hold the number 1 and close it with its last breath.
        sys.stdout, sys.stderr = self.streams
        os.dup2(self.out, 1)
        os.dup2(self.err, 2)
        if not (os.get_blocking(1) and os.get_blocking(2)):
            os.set_blocking(1, True)
            os.set_blocking(2, True)
        os.fchdir(self.folder)
        os.umask(self.umask)
        if not (is_usable(self.streams[0]) and is_usable(self.streams[1])):
            self.open_streams()
        if not sys.path or sys.path[0] != self.cwd:
            sys.path.insert(0, self.cwd)
        if self.unseen > SHORT:
            # What the short ones used is not to be counted as that of this one.
            self.used = spent()
            self.unseen = 0.0

    def give_stdin(self, data: bytes) -> None:
        """Let the job read its payload, with a newline, from descriptor 0."""
        if self.stdin.hold(data) or self.stdin_stream is None or self.stdin_stream.closed:
            # Somebody has read from it: what the old stream has in its buffers is not this job's.
            self.stdin_stream = stdin()
        os.dup2(self.stdin.fd, 0)
        sys.stdin = self.stdin_stream
        self.has_stdin = True

    def take_stdin(self) -> None:
        """Let the job read nothing."""
        os.dup2(self.null, 0)
        if self.has_stdin or sys.stdin is not self.nothing or not is_usable(self.nothing):
            sys.stdin = self.nothing = stdin()
            self.has_stdin = False

    def flush(self) -> None:
        if sys.stdout is self.streams[0] and sys.stderr is self.streams[1]:
            streams: Any = self.streams
        else:
            streams = {id(stream): stream for stream in (*self.streams, sys.stdout, sys.stderr)}.values()
        for stream in streams:
            try:
                stream.flush()
            except BaseException:  # noqa: S112  (the job closed it or put something of its own there)
                continue

    def answer(self, line: bytes) -> None:
        """Write a line that nobody is woken for; when there is no room, wait until it has been read."""
        while line:
            try:
                line = line[os.write(self.answers, line) :]
            except BlockingIOError:
                self.ring()
                room = select.poll()
                room.register(self.answers, select.POLLOUT)
                room.poll()

    def ring(self) -> None:
        """Tell the hands that there are answers."""
        self.rang = self.ended
        self.turns.send(b".")


def _variables_of(arguments: dict[str, Any]) -> dict[bytes, bytes]:
    """Give KIRIBI_ARG_NAME for each text, number and truth value, as commands get it."""
    found = {}
    for key, value in arguments.items():
        if isinstance(value, (str, int, float)):
            text = value if isinstance(value, str) else ASCII(value)
            data = text.encode("utf-8", "surrogateescape")
            if len(data) <= DOOR_MAX:
                name = "KIRIBI_ARG_" + re.sub(r"[^A-Za-z0-9_]", "_", key).upper()
                found[name.encode("utf-8")] = data
    return found


def _rfc3339(seconds: float) -> bytes:
    whole = time.gmtime(seconds)
    return b"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ" % (*whole[:6], int(seconds * 1000) % 1000)


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
    except BaseException as error:
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


def main() -> None:
    harness = Harness()
    try:
        harness.serve()
    except OSError as error:
        # Not what a job raised, that is an answer: what we talk through is gone.
        try:
            harness.say("its interpreter lost its descriptors: %s\n" % error.strerror)
        finally:
            leave(LOST)
