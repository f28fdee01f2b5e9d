"""Starting one process: own session, default signals, nothing open but 0, 1 and 2. Runs in the hands: stdlib only.

posix_spawn where it can do it all (it costs no copy of the hands), else fork, set up, exec.
"""

from __future__ import annotations

import errno
import os

from kiribi_cli.runner.plain import signal

TYPE_CHECKING = False  # importing typing costs the hands two megabytes
if TYPE_CHECKING:
    from typing import Any

# Not the job's fault, and likely to pass.
SCARCITY = frozenset(
    {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.ETXTBSY}
)
_SIGNALS = [number for number in range(1, 65) if number not in (9, 19, 32, 33)]


class SpawnFailedError(Exception):
    """No process was started. `scarce` is true when the machine lacked something; else trying again changes nothing."""

    def __init__(self, reason: str, number: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.scarce = number in SCARCITY


class Setting:
    """Where and as whom processes of a definition run. The fields are those of launch.Base."""

    __slots__ = ("cwd", "gid", "groups", "limits", "nice", "plain", "uid", "umask")

    def __init__(self, base: dict[str, Any]) -> None:
        self.cwd: str = base["cwd"]
        self.umask: int | None = base["umask"]
        self.nice: int = base["nice"]
        self.limits: list[tuple[str, int]] = [(name, value) for name, value in base["limits"] if value is not None]
        identity = base["identity"] or (None, None, ())
        self.uid: int | None = identity[0]
        self.gid: int | None = identity[1]
        self.groups: list[int] = list(identity[2])
        self.plain = not (self.nice or self.limits or base["identity"])


def spawn(setting: Setting, program: str, argv: list[str], env: dict[str, str], fds: tuple[int, ...]) -> int:
    """Start `program` with these descriptors as 0, 1, 2 and so on, and give its pid. Raises SpawnFailedError."""
    try:
        return (
            _posix_spawn(setting, program, argv, env, fds) if setting.plain else _fork(setting, program, argv, env, fds)
        )
    except ValueError as error:
        raise SpawnFailedError(f"{program}: {error}") from error
    except OSError as error:
        raise SpawnFailedError(_sentence(program, error), error.errno or 0) from error


def enter(folder: str) -> None:
    """Make `folder` the working folder. Raises SpawnFailedError."""
    try:
        os.chdir(folder)
    except OSError as error:
        raise SpawnFailedError(f"the folder {folder} cannot be entered: {error.strerror}", error.errno or 0) from error


def _posix_spawn(setting: Setting, program: str, argv: list[str], env: dict[str, str], fds: tuple[int, ...]) -> int:
    # The hands have one thread: folder and umask can be set around the spawn.
    enter(setting.cwd)
    before = None if setting.umask is None else os.umask(setting.umask)
    try:
        return os.posix_spawn(
            program,
            argv,
            env,
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate(fds) if fd != target],
            setsid=True,
            setsigmask=(),
            setsigdef=_SIGNALS,
        )
    finally:
        if before is not None:
            os.umask(before)


def _fork(setting: Setting, program: str, argv: list[str], env: dict[str, str], fds: tuple[int, ...]) -> int:
    """Fork and set up; the child says over a pipe that closes on exec what went wrong, if anything did."""
    import resource

    limits = [(getattr(resource, name), _within(resource, name, value)) for name, value in setting.limits]
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(setting, program, argv, env, fds, limits, writer)
    os.close(writer)
    with open(reader, "rb") as pipe:  # noqa: PTH123  (a descriptor)
        said = pipe.read().decode("utf-8", "replace")
    if said:
        os.waitpid(pid, 0)
        number, _, step = said.partition(" ")
        error = OSError(int(number), os.strerror(int(number)))
        raise SpawnFailedError(
            _sentence(program, error) if step == program else f"{step}: {error.strerror}", int(number)
        )
    return pid


def _become(
    setting: Setting,
    program: str,
    argv: list[str],
    env: dict[str, str],
    fds: tuple[int, ...],
    limits: list[tuple[int, tuple[int, int]]],
    writer: int,
) -> None:
    step = program
    try:
        import resource

        signal.set_wakeup_fd(-1)
        os.setsid()
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for target, fd in enumerate(fds):
            os.dup2(fd, target)
        if setting.nice:
            step = f"nice {setting.nice}"
            os.nice(setting.nice)
        if setting.uid is not None:
            step = f"user {setting.uid}, group {setting.gid}"
            _turn_into(setting)
        step = f"the folder {setting.cwd} cannot be entered"
        os.chdir(setting.cwd)
        if setting.umask is not None:
            os.umask(setting.umask)
        step = "limits"
        for limit, values in limits:
            resource.setrlimit(limit, values)
        step = program
        os.execve(program, argv, env)  # noqa: S606  (no shell is the point)
    except OSError as error:
        os.write(writer, f"{error.errno} {step}".encode())
    except BaseException as error:  # noqa: BLE001  (nothing but _exit may leave a forked child)
        os.write(writer, f"{errno.EINVAL} {step}: {error}".encode())
    finally:
        os._exit(127)


def _turn_into(setting: Setting) -> None:
    if os.geteuid() == 0:
        os.setgroups(setting.groups)
    if setting.gid is not None and (os.getgid(), os.getegid()) != (setting.gid, setting.gid):
        os.setgid(setting.gid)
    if setting.uid is not None and (os.getuid(), os.geteuid()) != (setting.uid, setting.uid):
        os.setuid(setting.uid)


def _within(resource: Any, name: str, value: int) -> tuple[int, int]:
    """Keep a limit within what this process may set; CPU time warns (SIGXCPU) one second before it kills."""
    hard = resource.getrlimit(getattr(resource, name))[1]
    top = value + 1 if name == "RLIMIT_CPU" else value
    if hard != resource.RLIM_INFINITY and os.geteuid() != 0:
        value, top = min(value, hard), min(top, hard)
    return value, top


def _sentence(program: str, error: OSError) -> str:
    if error.errno == errno.ENOENT and os.path.exists(program):  # noqa: PTH110  (pathlib costs the hands memory)
        return _without_interpreter(program)
    if error.errno == errno.ENOEXEC:
        return _without_format(program)
    if error.errno == errno.E2BIG:
        return f"{program}: arguments and environment are too long for this system"
    if error.errno == errno.EACCES:
        return f"{program} may not be executed by the user of the job (it, a folder above it, or how that is mounted)"
    return f"{program}: {error.strerror}"


def _without_interpreter(program: str) -> str:
    line = _beginning(program).partition(b"\n")[0]
    if not line.startswith(b"#!"):
        return f"{program} needs a loader or library that this system does not have"
    interpreter = (line[2:].split(maxsplit=1) or [b""])[0].decode("utf-8", "backslashreplace")
    why = " (its lines end as in Windows)" if line.endswith(b"\r") else ""
    return f"{program} names an interpreter that does not exist: {interpreter}{why}"


def _without_format(program: str) -> str:
    start = _beginning(program)
    if not start:
        return f"{program} is empty"
    if start.startswith(b"\x7fELF"):
        return f"{program} is a program for another kind of machine, or damaged"
    return f"{program} is neither a program nor a script with a #! line"


def _beginning(program: str) -> bytes:
    try:
        with open(program, "rb") as file:  # noqa: PTH123  (as above)
            return file.read(256)
    except OSError:
        return b"?"
