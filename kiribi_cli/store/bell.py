"""Wakes workers: each listens on a Unix datagram socket in the run folder, and whoever has committed rings them all.

A bell may be lost when nobody listens yet; workers look by themselves now and then. On the hot path: light imports.
"""

import os

# The socket module loads selectors and enum; this is what it wraps.
from _socket import AF_UNIX, SOCK_DGRAM, socket

SUFFIX = ".bell"
# sun_path holds 108 bytes with its end on Linux, 104 elsewhere.
_LONGEST = 100


def ring(run_dir: str) -> None:
    """Ring every worker that listens in `run_dir`, without waiting; remove the sockets of those that are gone."""
    try:
        names = [name for name in os.listdir(run_dir) if name.endswith(SUFFIX)]
    except OSError:
        return
    if not names:
        return
    with _Way(run_dir) as way:
        bell = socket(AF_UNIX, SOCK_DGRAM)
        bell.settimeout(0)
        try:
            for name in names:
                _ring_one(bell, way.to(name), os.path.join(run_dir, name))
        finally:
            bell.close()


def _ring_one(bell: socket, address: str, path: str) -> None:
    try:
        bell.sendto(b"\0", address)
    except ConnectionRefusedError:
        # Its owner is dead: a living one has the socket open.
        _remove(path)
    except OSError:
        # Full: it has been rung already and not yet listened. Gone: nobody to wake.
        return


class Listener:
    """A worker's own bell (store.base.Bell)."""

    def __init__(self, run_dir: str, worker_id: int) -> None:
        from kiribi_cli import private

        private.make_folder(run_dir)
        self._path = os.path.join(run_dir, f"worker-{worker_id}{SUFFIX}")
        self._socket = socket(AF_UNIX, SOCK_DGRAM)
        self._socket.settimeout(0)
        _remove(self._path)
        # A socket is born with what the umask leaves; a worker has no second thread that could make a file meanwhile.
        before = os.umask(0o177)
        try:
            with _Way(run_dir) as way:
                self._socket.bind(way.to(os.path.basename(self._path)))
        finally:
            os.umask(before)

    def fileno(self) -> int:
        return self._socket.fileno()

    def clear(self) -> None:
        """Read what has come, so that the next ring is noticed."""
        try:
            while self._socket.recv(16):
                pass
        except OSError:
            return

    def close(self) -> None:
        self._socket.close()
        _remove(self._path)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return


class _Way:
    """Addresses of sockets in a folder, also where the path is longer than an address may be."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._fd = -1

    def __enter__(self) -> "_Way":  # noqa: PYI034  (typing would be loaded for Self)
        if len(os.fsencode(self._folder)) > _LONGEST - 30:
            self._fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def to(self, name: str) -> str:
        return f"/proc/self/fd/{self._fd}/{name}" if self._fd >= 0 else os.path.join(self._folder, name)
