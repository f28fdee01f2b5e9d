"""Faults for tests to inject: system calls that fail, wait or kill, and a disk that can be filled to the last block."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path


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
