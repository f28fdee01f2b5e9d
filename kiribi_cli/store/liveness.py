"""Who is alive: a worker holds a lock that the kernel frees when it dies. Nothing is concluded from age alone."""

import fcntl
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
        private.make_folder(run_dir)
        path = lock_path(run_dir, name, pid, process)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise KiribiError(
                Code.CONFLICT, f'a worker "{name}" of this process is registered already', hint="kiribi ps lists them"
            ) from None

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        """Free the lock: from now on this worker counts as dead, unless it has been deregistered."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def is_alive(run_dir: str, name: str, pid: int, process: str | None, *, heartbeat_at: int, now: int) -> bool:
    """Test the lock. A file that is not there was removed by somebody: then the lease decides."""
    try:
        descriptor = os.open(lock_path(run_dir, name, pid, process), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return now - heartbeat_at < LEASE_MS
    try:
        # Shared: several may ask at once. The owner took its lock when it started and does not ask for it again.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def forget(run_dir: str, name: str, pid: int, process: str | None) -> None:
    """Remove the lock file of a worker that is marked as stopped."""
    lock_path(run_dir, name, pid, process).unlink(missing_ok=True)
