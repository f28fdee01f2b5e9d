"""What a process is like when a callable begins in it, and how that is put right when one has changed it.

Variables, folder, descriptors, streams, signals, timers, limits, settings of the interpreter. Standard library only,
Python 3.8 or newer: part of the harness.
"""

# ruff: noqa: BLE001  (whatever a job did, it was thorough)

from __future__ import annotations

import gc
import json
import os
import resource
import socket
import sys
import time  # noqa: TID251  (runs without kiribi, so without its clock)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import io
    import signal
    from typing import Any

    _warnings: Any
else:
    # Without the enums around it: asking for a handler is ten times as quick.
    import _signal as signal
    import _warnings

# Python 3.8 can be too old for a limit.
DIGITS = getattr(sys, "get_int_max_str_digits", lambda: None)
SIGNALS = [number for number in range(1, 32) if number not in (signal.SIGKILL, signal.SIGSTOP)]
# But for the one that is the brand.
LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_") and name != "RLIMIT_RTTIME"]
# Seconds that it takes to start a process, at the least.
SPAWN = 0.00005


class Ground:
    """What else a process is like when a call begins, besides what Harness and Variables see to.

    What a call has changed is undone where that is possible. Looking costs a microsecond or so, and more only where a
    module is loaded without which nobody changes such things.
    """

    def __init__(self) -> None:
        # Nobody else can become somebody else.
        self.is_root = os.geteuid() == 0
        self.look()

    def look(self) -> None:
        """Remember how it is now."""
        self.values = _values()
        self.path = list(sys.path)
        self.warnings = list(_warnings.filters)
        self.modules = len(sys.modules)
        self.identity = self.who()
        self.handlers = _handlers()
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self.limits = _limits()
        self.locale = _locale()

    def is_put_right(self, took: float) -> bool:
        """Undo what the last call did, which took so many seconds; tell whether another can be made here."""
        try:
            return self.put_right(took)
        except Exception:
            return False  # whatever it did, it was thorough

    def put_right(self, took: float) -> bool:
        modules = sys.modules
        if len(modules) < self.modules or modules.get("os") is not os or modules.get("json") is not json:
            return False
        self.modules = len(modules)
        if _values() != self.values:
            self.put_values_right()
        if sys.path != self.path:
            sys.path[:] = self.path
        if _warnings.filters != self.warnings:
            _warnings.filters[:] = self.warnings
            _warnings._filters_mutated()  # a later Python may have none: then a fresh child it is
        if "signal" in modules:
            self.put_signals_right()
        if "resource" in modules:
            self.put_limits_right()
        if "locale" in modules and _locale() != self.locale:
            import locale

            locale.setlocale(locale.LC_ALL, self.locale)
        # Nothing that starts a process is as quick as this.
        return self.who() == self.identity and not _threads_left() and (took < SPAWN or not _children_left())

    def who(self) -> tuple[Any, ...]:
        return os.getpriority(os.PRIO_PROCESS, 0), self.is_root and (os.getresuid(), os.getresgid())

    def put_values_right(self) -> None:
        """Put back what _values read."""
        is_collecting, hook, trace, profile, depth, timeout, digits = self.values
        gc.enable() if is_collecting else gc.disable()
        sys.excepthook = hook
        sys.settrace(trace)
        sys.setprofile(profile)
        sys.setrecursionlimit(depth)
        socket.setdefaulttimeout(timeout)
        if digits is not None:
            sys.set_int_max_str_digits(digits)

    def put_signals_right(self) -> None:
        for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            if signal.getitimer(timer)[0]:
                signal.setitimer(timer, 0)
        for number, before, now in zip(SIGNALS, self.handlers, _handlers()):  # noqa: B905  (as above)
            if now != before:
                signal.signal(number, before)
        if signal.pthread_sigmask(signal.SIG_BLOCK, ()) != self.mask:
            signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)

    def put_limits_right(self) -> None:
        for limit, before, now in zip(LIMITS, self.limits, _limits()):  # noqa: B905  (as above)
            if now != before:
                resource.setrlimit(limit, before)


def _values() -> tuple[Any, ...]:
    return (
        gc.isenabled(),
        sys.excepthook,
        sys.gettrace(),
        sys.getprofile(),
        sys.getrecursionlimit(),
        socket.getdefaulttimeout(),
        DIGITS(),
    )


def _handlers() -> list[Any]:
    return [signal.getsignal(number) for number in SIGNALS]


def _limits() -> list[Any]:
    return [resource.getrlimit(limit) for limit in LIMITS]


def _locale() -> str | None:
    locale = sys.modules.get("locale")
    return None if locale is None else locale.setlocale(locale.LC_ALL)


def _threads_left() -> bool:
    """Tell whether a thread goes on that says it has something to finish. Others are libraries', and stay."""
    threading = sys.modules.get("threading")
    if threading is None or threading.active_count() == 1:
        return False
    return any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())


def _children_left() -> bool:
    """Tell whether a process goes on, or has ended and nobody has asked how. It may print; the next job may wait()."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


class File:
    """A file in memory without a name, for what one job after the other is to read."""

    def __init__(self) -> None:
        self.fd = -1
        self.size = 0
        self.make()

    def make(self) -> None:
        try:
            fd = os.memfd_create("payload")
        except (AttributeError, OSError):
            # An old system, or one that is told to refuse it.
            import tempfile

            with tempfile.TemporaryFile() as file:
                fd = os.dup(file.fileno())
        if self.fd < 0:
            self.fd = away(fd)
        else:
            os.dup2(fd, self.fd, inheritable=False)
            os.close(fd)
        self.size = 0

    def hold(self, data: bytes) -> bool:
        """Hold this and nothing else, to be read from the start; tell whether anybody has read through our number."""
        try:
            was_read = os.lseek(self.fd, 0, os.SEEK_CUR) != 0
        except OSError:
            # A job closed all that it could.
            self.make()
            was_read = True
        if was_read:
            os.lseek(self.fd, 0, os.SEEK_SET)
        place = os.pwrite(self.fd, data, 0)
        while place < len(data):
            place += os.pwrite(self.fd, data[place:], place)
        if place != self.size:
            os.ftruncate(self.fd, place)
        self.size = place
        return was_read


class Variables:
    """The environment of the process, which each job finds as it is meant for it."""

    def __init__(self) -> None:
        self.plain = dict(os.environ)
        self.shared: dict[str, str] = {}
        self.own: dict[bytes, bytes] = {}
        self.seen: dict[Any, Any] | None = None
        self.zone = time.tzname

    def set(self, shared: dict[str, str], own: dict[bytes, bytes]) -> None:
        """Have just these variables besides the plain ones: those shared with other jobs, and its own."""
        data = getattr(os.environ, "_data", None)
        if self.seen is None or data != self.seen or shared != self.shared:
            # A job changed something, or others come now.
            os.environ.clear()
            os.environ.update(self.plain)
            os.environ.update(shared)
            if time.tzname != self.zone:
                time.tzset()
                self.zone = time.tzname
            self.shared = shared
            self.own = {}
            self.seen = None
        if data is None:
            os.environ.update({os.fsdecode(name): os.fsdecode(value) for name, value in own.items()})
            return
        if len(self.own) > len(own) or not own.keys() >= self.own.keys():
            for name in self.own.keys() - own.keys():
                # What a job was given may hide what the process has.
                self.restore(os.fsdecode(name))
        seen = self.seen = dict(data) if self.seen is None else self.seen
        for name, value in own.items():
            if seen.get(name) != value:
                data[name] = seen[name] = value
                os.putenv(name, value)
        self.own = own

    def restore(self, name: str) -> None:
        os.environ.pop(name, None)
        before = self.shared.get(name, self.plain.get(name))
        if before is not None:
            os.environ[name] = before
        self.seen = None


def text_stream(fd: int) -> io.TextIOWrapper:
    return open(fd, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)


def is_usable(stream: Any) -> bool:
    try:
        return not stream.closed
    except ValueError:
        return False  # its buffer was taken away


def stdin() -> io.TextIOWrapper:
    return open(0, encoding="utf-8", errors="surrogateescape", closefd=False)


def away(fd: int, *, keep: bool = False) -> int:
    """Move a descriptor out of the way, not to be inherited."""
    import fcntl

    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    # Beyond what a job closes that closes all it can think of, or in the upper half of what little there may be.
    least = 900 if most < 0 or most > 1000 else max(most // 2, most - 60)
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, least)
    if not keep:
        os.close(fd)
    return moved


def spent() -> tuple[float, float, int]:
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    rss = max(own.ru_maxrss, children.ru_maxrss) * 1024
    return own.ru_utime + children.ru_utime, own.ru_stime + children.ru_stime, rss


def die_with_the_hands() -> None:
    """Have the kernel kill us when the hands are killed: nobody would hear of what we do, nor end it."""
    set_parent_death_signal = 1
    try:
        # ctypes proper would cost megabytes; this one call does not need it.
        import _ctypes

        plain: Any = _ctypes
        address = plain.dlsym(plain.dlopen(None, 0), "prctl")
        plain.call_function(address, (set_parent_death_signal, 9, 0, 0, 0))
    except (ImportError, AttributeError, OSError):
        return  # whoever looks after dead hands finds and ends us
