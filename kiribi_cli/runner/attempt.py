"""One attempt in the hands: what it was told, what it prints, what it hands over. Stdlib only, and light."""

from __future__ import annotations

import os
import stat

from kiribi_cli.runner.frames import dumps
from kiribi_cli.runner.log import Log, remove
from kiribi_cli.runner.spawn import Setting

TYPE_CHECKING = False  # importing typing costs the hands two megabytes
if TYPE_CHECKING:
    from typing import Any

    from kiribi_cli.runner.alarms import Alarm

_TAIL = 4096
_PROGRESS = 4096


class Base:
    """What attempts of one definition share; the fields are those of launch.Base."""

    __slots__ = (
        "adopt",
        "env",
        "interpreter",
        "kill_after",
        "log_max",
        "python",
        "result",
        "result_max",
        "reuse",
        "room",
        "setting",
        "stop_signal",
        "usual",
    )

    def __init__(self, fields: dict[str, Any]) -> None:
        self.setting = Setting(fields)
        self.env: dict[str, str] = dict(fields["env"])
        # Callables share a child where they share all of this.
        self.room = dumps(
            [fields[name] for name in ("interpreter", "cwd", "env", "umask", "nice", "limits", "identity")]
        )
        # Seconds that its callables usually take; long until known.
        self.usual = 1.0
        self.stop_signal: int = fields["stop_signal"]
        self.kill_after: float = fields["kill_after_ms"] / 1000
        self.adopt: bool = fields["adopt"]
        self.result: str = fields["result"]
        self.result_max: int = fields["result_max"]
        self.log_max: int = fields["log_max"]
        self.python: str = fields["python"]
        self.interpreter: str = fields["interpreter"]
        self.reuse: int = fields["reuse"]


class Attempt:
    """An attempt from its arrival to its end.

    `pid` is 0 until it runs; `pipes` are the ends of its stdout and stderr that are open; `stop` says why it is being
    stopped, as (why, by). `over` is (status, rusage) once its first process has been reaped, and `ended` is true once
    that was told.
    """

    __slots__ = (
        "alarms",
        "argv",
        "at_ms",
        "base",
        "began",
        "captured",
        "child",
        "earlier",
        "ended",
        "env",
        "folder",
        "folder_is_own",
        "groups",
        "has_packet",
        "has_slot",
        "id",
        "job",
        "kill_at",
        "left",
        "logs",
        "opened",
        "over",
        "payload",
        "pid",
        "pipes",
        "program",
        "progress",
        "result_bytes",
        "stdin",
        "stop",
        "tail",
        "ticks",
        "timeout_ms",
        "told",
        "took_ms",
        "tries",
        "unreported",
        "was_told",
    )

    def __init__(self, base: Base, fields: list[Any], logs: str, run: str) -> None:
        """`fields`: those of launch.Launch, in order, but for the base."""
        self.id: int
        self.job: int
        (self.id, self.job, self.program, self.argv, self.env, self.payload, self.stdin, *rest) = fields
        self.timeout_ms: int | None
        self.earlier: bool
        self.timeout_ms, self.earlier = rest
        self.base = base
        self.logs = logs
        self.folder = run
        self.opened: Log | None = None
        self.has_packet = False
        # It has a folder to itself, because it runs as somebody else.
        self.folder_is_own = False
        self.pid = 0
        self.ticks = 0
        self.at_ms = 0
        self.began = 0.0
        self.took_ms = 0
        self.pipes: dict[int, bytes] = {}
        self.tail = b""
        self.captured: bytearray | None = bytearray() if base.result == "stdout" else None
        self.result_bytes = 0
        self.progress = ""
        self.stop: tuple[str, str] | None = None
        self.has_slot = False
        self.ended = False
        self.kill_at = 0.0
        self.over: tuple[int, Any] | None = None
        self.left: list[Any] = []
        # Process groups of it that were seen while it was being stopped, and when they had members (monotonic seconds).
        self.groups: dict[int, float] = {}
        self.alarms: list[Alarm] = []
        # Whether its beginning was told, and whether it ever was: a child may turn out not to have begun it after all.
        self.told = False
        self.was_told = False
        self.tries = 0
        self.child: Any = None
        self.unreported = False

    @property
    def log(self) -> Log:
        """Its log, made when there is something to write: most attempts print nothing."""
        if self.opened is None:
            self.opened = Log(f"{self.logs}/{self.id}", self.base.log_max)
        return self.opened

    @property
    def log_bytes(self) -> int:
        """How much of its output is kept."""
        return 0 if self.opened is None else self.opened.kept

    def is_plain(self) -> bool:
        """Tell whether there is nothing to say of a callable but when it ran: nobody knows that it began, it printed
        nothing, and nobody else will ask for its end.
        """
        return not (self.pid or self.opened or self.base.adopt or self.unreported or self.has_packet)

    def goes_with(self, other: Attempt) -> bool:
        """Tell whether two callables of one definition can be given to a child in one packet."""
        return self is other or (
            self.env == other.env
            and self.stdin == other.stdin
            and self.timeout_ms == other.timeout_ms
            and not self.is_somebody_else
        )

    def take(self, stream: bytes, data: bytes) -> None:
        """Keep what it printed."""
        self.log.write(stream, data)
        if stream == b"err":
            self.tail = (self.tail + data)[-_TAIL:] if len(data) < _TAIL else data[-_TAIL:]
        elif self.captured is not None:
            self.result_bytes += len(data)
            if self.result_bytes <= self.base.result_max:
                self.captured += data

    def path(self, kind: str) -> str:
        """Name a file of this attempt."""
        return f"{self.folder}/{self.id}.{kind}"

    def lay_out(self, shared_null: str) -> dict[str, str]:
        """Make the files it is to find, and give its own variables, which come on top of the base's. Raises OSError."""
        env = dict(self.env)
        env["KIRIBI_PAYLOAD_FILE"] = self.lay_out_payload(shared_null)
        env["KIRIBI_PROGRESS_FILE"] = self.path("progress")
        if self.base.result == "file":
            env["KIRIBI_RESULT_FILE"] = self.path("result")
        return env

    def lay_out_payload(self, shared_null: str) -> str:
        """Make the file in which it finds its payload, unless it shares one or gets it in memory. Raises OSError."""
        if self.is_somebody_else and not self.folder_is_own:
            self._own_folder()
        if not self._has_payload_file():
            return shared_null
        self._write_payload()
        return self.path("payload")

    @property
    def is_somebody_else(self) -> bool:
        """Tell whether it runs as another user than we do."""
        uid = self.base.setting.uid
        return uid is not None and uid != os.geteuid()

    def _has_payload_file(self) -> bool:
        # A child keeps the payload of its callable in memory and offers it under a path of its own: a file on disk,
        # made and removed, costs more than all the rest of a short callable.
        in_memory = self.base.python and self.payload is not None
        return not in_memory and (self.payload is not None or self.folder_is_own)

    def clean_up(self) -> None:
        """Remove its files."""
        if self._has_payload_file():
            remove(self.path("payload"))
        if self.has_packet:
            remove(self.path("packet"))
        if self.folder_is_own:
            remove(self.path("progress"))
            try:
                os.rmdir(self.folder)  # noqa: PTH106  (pathlib costs the hands memory)
            except OSError:
                return  # it put something of its own there

    def collect(self) -> tuple[str | None, str | None]:
        """Give the result as text and, where one was dropped, the reason."""
        most = self.base.result_max
        if self.base.python:
            return None, None
        if self.base.result == "stdout" and self.captured is not None:
            data, size = bytes(self.captured), self.result_bytes
        elif self.base.result == "file":
            data, size = _regular_file(self.path("result"), most, and_remove=True)
        else:
            return None, None
        if size > most:
            return None, f"the result was dropped: {size} bytes are more than result_max, {most}"
        return (data.decode("utf-8", "replace"), None) if data else (None, None)

    def new_progress(self) -> str | None:
        """Give the last line of its progress file if it changed."""
        data, _ = _regular_file(self.path("progress"), _PROGRESS, from_end=True)
        line = data.rstrip().rpartition(b"\n")[2].strip().decode("utf-8", "replace")
        if not line or line == self.progress:
            return None
        self.progress = line
        return line

    def last_words(self) -> str:
        """Give the last lines of its stderr, from the start of a line."""
        tail = self.tail
        if len(tail) == _TAIL and b"\n" in tail[:-1]:
            tail = tail[tail.index(b"\n") + 1 :]
        return tail.decode("utf-8", "replace")

    def _own_folder(self) -> None:
        """Make a folder that another user can reach: ours are closed to everybody else."""
        setting = self.base.setting
        self.folder_is_own = True
        self.folder = f"/tmp/kiribi-{os.getpid()}-{self.id}.d"  # noqa: S108  (mkdir fails if somebody was there first)
        os.mkdir(self.folder, 0o700)  # noqa: PTH102  (as above)
        os.chown(self.folder, setting.uid or 0, setting.gid or 0)

    def _write_payload(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self.path("payload"), flags, 0o600)
        try:
            data = ("null" if self.payload is None else self.payload).encode("utf-8", "surrogatepass")
            while data:
                data = data[os.write(fd, data) :]
            if self.folder_is_own:
                os.fchown(fd, self.base.setting.uid or 0, self.base.setting.gid or 0)
        finally:
            os.close(fd)


def stdin_of(payload: str) -> int:
    """Give a descriptor from which the payload and a newline can be read. Raises OSError."""
    try:
        fd = os.memfd_create("payload", os.MFD_CLOEXEC)
    except (AttributeError, OSError):
        # An old system, or one that is told to refuse it.
        fd = _unnamed_file()
    data = payload.encode("utf-8", "surrogatepass") + b"\n"
    while data:
        data = data[os.write(fd, data) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _unnamed_file() -> int:
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _regular_file(path: str, most: int, *, from_end: bool = False, and_remove: bool = False) -> tuple[bytes, int]:
    """Read at most `most` bytes, and the size. Only of a regular file: a job could put a pipe or a link there."""
    if not os.access(path, os.F_OK, follow_symlinks=False):
        # Usually there is none; an exception would cost more than the question.
        return b"", 0
    try:
        # Looked at first: to open a pipe or a device is to do something to whoever has its other end.
        is_plain = stat.S_ISREG(os.lstat(path).st_mode)
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC) if is_plain else -1
    except OSError:
        fd = -1
    if fd < 0:
        if and_remove:
            remove(path)
        return b"", 0
    if and_remove:
        remove(path)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or (status.st_size > most and not from_end):
            return b"", status.st_size if stat.S_ISREG(status.st_mode) else 0
        if from_end:
            os.lseek(fd, max(0, status.st_size - most), os.SEEK_SET)
        return os.read(fd, most), status.st_size
    except OSError:
        return b"", 0
    finally:
        os.close(fd)
