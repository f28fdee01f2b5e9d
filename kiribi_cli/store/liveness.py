"""Who is alive: a worker holds a lock that the kernel frees when it dies. Nothing is concluded from age alone.

A worker that holds its lock may still be silent (stopped, hung); that is judged in worker/silence.py.
"""

import fcntl
import json
import os
from functools import lru_cache
from pathlib import Path

from kiribi_cli import private
from kiribi_cli.core.digest import sha256
from kiribi_cli.errors import Code, KiribiError

# For a worker whose lock file somebody has removed: without it only the time since its last sign is left.
LEASE_MS = 60_000


@lru_cache(256)
def lock_path(run_dir: str, name: str, pid: int, process: str | None) -> Path:
    """Name the lock of one process: a later worker of the same name, or with the same pid, has another."""
    token = sha256(f"{name}\0{pid}\0{process or ''}".encode()).hex()[:16]
    return Path(run_dir) / f"worker-{token}.lock"


class Liveness:
    """The lock that proves a worker alive. Take it before `register`; not passed on to children (close-on-exec)."""

    def __init__(self, run_dir: str, name: str, pid: int, process: str | None) -> None:
        self._path = lock_path(run_dir, name, pid, process)
        self._name = name
        self._fd = self._taken()

    def _taken(self) -> int:
        try:
            private.make_folder(self._path.parent)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            sentence = f"cannot write into {self._path.parent}: {error.strerror}"
            raise KiribiError(Code.STORE, sentence, hint="kiribi doctor looks at the disk") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            sentence = f'a worker "{self._name}" of this process is registered already'
            raise KiribiError(Code.CONFLICT, sentence, hint="kiribi ps lists them") from None
        return descriptor

    def is_missing(self) -> bool:
        """Whether somebody has removed the file of the lock."""
        try:
            return os.stat(self._path).st_ino != os.fstat(self._fd).st_ino  # noqa: PTH116  (once a second for ever)
        except OSError:
            return True  # not there, or not to be reached

    def renew(self) -> bool:
        """Take the lock again where somebody has removed its file; true if that was so. Raises STORE."""
        if not self.is_missing():
            return False
        old, self._fd = self._fd, self._taken()
        os.close(old)
        return True

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        """Free the lock: from now on this worker counts as dead, unless it has been deregistered."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def is_alive(run_dir: str, name: str, pid: int, process: str | None, *, heartbeat_at: int, now: int) -> bool:
    """Test the lock. A file that is not there was removed by somebody: then the process itself is looked at, and
    where it cannot be seen the lease decides.
    """
    try:
        descriptor = os.open(lock_path(run_dir, name, pid, process), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        is_there = _is_there(pid, process)
        return now - heartbeat_at < LEASE_MS if is_there is None else is_there
    try:
        # Shared: several may ask at once. The owner took its lock when it started and does not ask for it again.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_there(pid: int, process: str | None) -> bool | None:
    """Whether a process of this boot and pid namespace still runs; None for one that cannot be seen from here."""
    try:
        boot, namespace, ticks = json.loads(process or "")
        here = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip(), os.readlink("/proc/self/ns/pid")  # noqa: PTH115
    except (OSError, ValueError):
        return None
    if (boot, namespace) != here:
        return None
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return False
    return int(fields[18]) == ticks and state not in "ZX"


def forget(run_dir: str, name: str, pid: int, process: str | None) -> None:
    """Remove the lock file of a worker that is marked as stopped."""
    lock_path(run_dir, name, pid, process).unlink(missing_ok=True)
