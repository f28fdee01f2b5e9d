"""Faults for tests to inject: system calls that fail, wait or kill, a full disk, and a wall clock that is set."""

import contextlib
import os
import struct
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.conftest import eventually


def strace(
    log: Path,
    *inject: str,
    trace: str | None = None,
    paths: Iterable[Path] = (),
    more: Iterable[str] = (),
    follow: bool = True,
) -> list[str]:
    """Give the command line that runs a program under strace with these faults; it keeps its pid, and signals reach it.

    `inject`: as strace's own `-e inject=`, for example "fsync:error=EIO" or "pwrite64:signal=KILL:when=3" (counted from
    1 over all threads). `paths`: only calls on these files (absolute, and links resolved). `trace`: the calls to be
    logged, those named in `inject` if not given. `follow`: children, too.
    """
    calls = trace or ",".join(dict.fromkeys(fault.partition(":")[0] for fault in inject)) or "all"
    argv = ["strace", "-D", "-qq", "-o", str(log), "-e", f"trace={calls}", *(["-f"] if follow else [])]
    for fault in inject:
        argv += ["-e", f"inject={fault}"]
    for path in paths:
        argv += ["-P", str(path)]
    return [*argv, *more]


class SmallDisk:
    """A file system of 8 MB that can be filled to the last block."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ballast = path / "ballast"

    def fill(self, leave: int = 0) -> None:
        with contextlib.suppress(OSError), self.ballast.open("wb", buffering=0) as ballast:
            while True:
                ballast.write(b"x" * 4096)
        os.truncate(self.ballast, self.ballast.stat().st_size - leave)

    def empty(self) -> None:
        self.ballast.unlink()


class WallClock:
    """A wall clock that can be set while programs run by it; their monotonic clock and their sleeps go on undisturbed.

    Works by preloading a library (libfaketime will not do: with it, no `time.sleep` of Python works), so only in what
    is started with `environment`. Jobs get an environment of their own, and see the real time.
    """

    def __init__(self, folder: Path) -> None:
        self._shift = folder / "shift"
        self.set(0)
        library = folder / "wall.so"
        source = Path(__file__).parent / "wall.c"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, source], check=True)
        self.environment = {"LD_PRELOAD": str(library), "WALL_CLOCK_SHIFT": str(self._shift)}

    def set(self, days: float) -> None:
        """Set it so many days before (-) or after the real time."""
        # Never cut: programs have it in their memory.
        with self._shift.open("r+b" if self._shift.exists() else "w+b", buffering=0) as file:
            file.write(struct.pack("=q", round(days * 86_400)))


@contextlib.contextmanager
def little_memory(size: int) -> Iterator[Path]:
    """Make a group of processes that have `size` bytes of memory together, and give the file into which a process
    writes its pid to join. Skips where we may make none.
    """
    v1, v2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    group = (v1 if v1.is_dir() else v2) / f"kiribi-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if v1.is_dir() else "memory.max")).write_text(str(size))
    except OSError as error:
        with contextlib.suppress(OSError):
            group.rmdir()
        pytest.skip(f"no group of processes with little memory can be made here: {error}")
    try:
        yield group / "cgroup.procs"
    finally:
        eventually(lambda: (group / "cgroup.procs").read_text() == "")
        group.rmdir()
