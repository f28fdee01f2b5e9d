"""Which jobs.toml and which database, for `kiribi enqueue` in a hurry: the rules of discover.py for what is plain.

Whatever discover.py would refuse or create (a stranger's file, a missing one, a URL, a network disk) is answered with
NotPlainError: then it looks itself, and says what is wrong. A test holds the two equal. Loads nothing at import.
"""

import os
from os.path import abspath, dirname, isfile, join, realpath

TYPE_CHECKING = False  # typing costs 3 ms
if TYPE_CHECKING:
    from collections.abc import Mapping

_EVERYONE_WRITES = 0o002
# As in discover.py; a test compares the two.
NETWORK = (
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "lustre", "afs", "ncpfs", "ocfs2", "gfs2",
    "beegfs", "orangefs", "pvfs2", "davfs", "coda", "sshfs", "vboxsf", "prl_fs", "virtiofs", "fuse", "fuseblk",
)  # fmt: skip


class NotPlainError(Exception):
    """Only discover.py can tell."""


def find_config(flag: str | None, env: "Mapping[str, str]", cwd: str) -> str | None:
    """Path of the jobs.toml, None where there is none."""
    if named := flag or env.get("KIRIBI_CONFIG"):
        if not isfile(join(cwd, named)):
            raise NotPlainError
        return abspath(join(cwd, named))
    folder = cwd
    while True:
        path = join(folder, "jobs.toml")
        if isfile(path):
            _check_trusted(path)
            return path
        above = dirname(folder)
        if above == folder:
            break
        folder = above
    xdg = _xdg(env, "XDG_CONFIG_HOME", ".config")
    return join(xdg, "jobs.toml") if xdg and isfile(join(xdg, "jobs.toml")) else None


def find_database(flag: str | None, env: "Mapping[str, str]", config: str | None, named: str | None, cwd: str) -> str:
    """Path of the database, which is there already. `named`: `db` of jobs.toml."""
    given = flag or env.get("KIRIBI_DB") or named
    if not given and (given := _beside(config, env)):
        _check_place(dirname(given))
    if not given or "://" in given or given.startswith("postgresql:"):
        raise NotPlainError
    path = abspath(join(cwd, given))
    if not isfile(path) or not _on_local_disk(path):
        raise NotPlainError
    return path


def _check_trusted(path: str) -> None:
    real = realpath(path)
    for place in (real, dirname(path), dirname(real)):
        _check_place(place)


def _check_place(place: str) -> None:
    status = os.stat(place)
    if status.st_mode & _EVERYONE_WRITES or status.st_uid not in (0, os.geteuid()):
        raise NotPlainError


def _beside(config: str | None, env: "Mapping[str, str]") -> str | None:
    if config is not None:
        return join(dirname(config), ".kiribi", "kiribi.db")
    state = _xdg(env, "XDG_STATE_HOME", ".local/state")
    return join(state, "kiribi.db") if state else None


def _xdg(env: "Mapping[str, str]", variable: str, fallback: str) -> str | None:
    # A relative path in an XDG variable is to be ignored, says the specification.
    named, home = env.get(variable, ""), env.get("HOME", "")
    if named.startswith("/"):
        return join(named, "kiribi")
    return join(home, fallback, "kiribi") if home.startswith("/") else None


def _on_local_disk(path: str) -> bool:
    try:
        with open("/proc/mounts", "rb", 0) as file:
            mounts = file.read(1_048_576)
    except OSError:
        return True  # no /proc, as on macOS: nothing to ask
    place, best, kind = os.fsencode(realpath(path)), b"", b""
    for line in mounts.splitlines():
        fields = line.split(b" ")
        point = fields[1].rstrip(b"/")
        # Odd names are written with backslashes: not plain. Of two mounts on one point the later one is what is seen.
        if b"\\" in point:
            raise NotPlainError
        if len(point) >= len(best) and (place == point or place.startswith(point + b"/")):
            best, kind = point, fields[2]
    return kind.decode("ascii", "replace") not in NETWORK and not kind.startswith(b"fuse.")
