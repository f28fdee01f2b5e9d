"""Files and folders for our eyes only: made so from their first moment, refused where a stranger could write.

Knows nothing of what is in them. On the way of a first `kiribi enqueue`: light imports.
"""

import os
from errno import EINVAL

from kiribi_cli.errors import Code, KiribiError

_EVERYONE_WRITES = 0o002


def make_folder(path: str | os.PathLike[str], *, durable: bool = False) -> None:
    """Make a folder of mode 0700 and those above it that are missing, too; leave one that is there. Raises OSError.

    `durable`: its name, and theirs, survive a power cut. What somebody made who was killed meanwhile may not have
    reached the disk, so each name is made sure of before anything is made under it.
    """
    missing: list[str] = []
    folder = os.path.abspath(path)
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    if durable:
        sync_folder(os.path.dirname(folder))
    for made in reversed(missing):
        try:
            os.mkdir(made, 0o700)
        except FileExistsError:
            if not os.path.isdir(made):
                raise
        else:
            # Whatever the umask says.
            os.chmod(made, 0o700)
        if durable:
            sync_folder(os.path.dirname(made))


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Make the names in a folder survive a power cut. Raises OSError where the disk refuses."""
    try:
        handle = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return  # not ours to read, so nothing of ours was made in it
    try:
        os.fsync(handle)
    except OSError as error:
        # Some file systems know no fsync of folders; it is theirs to keep names safe, as SQLite has it, too.
        if error.errno != EINVAL:
            raise
    finally:
        os.close(handle)


def opener(path: str, flags: int) -> int:
    """Open for open(..., opener=opener): a file that is made is ours alone; one that is there keeps its mode."""
    return os.open(path, flags, 0o600)


def distrust(place: str | os.PathLike[str]) -> str | None:
    """Say why a file or folder is not to be trusted: a stranger's, or writable by everyone. Raises OSError.

    The answer is a sentence with "{noun}" in it.
    """
    status = os.stat(place)
    if status.st_mode & _EVERYONE_WRITES:
        return f"everyone can write to {{noun}} {place}"
    if status.st_uid not in (0, os.geteuid()):
        return f"{{noun}} {place} belongs to user {status.st_uid}, neither you nor root"
    return None


def refuse_stranger(folder: str | os.PathLike[str]) -> None:
    """Raise REFUSED where others could put files for us to find, or take ours away. No folder is no reason."""
    try:
        why = distrust(folder)
    except FileNotFoundError:
        return
    if why:
        act = "chmod o-w" if why.startswith("everyone") else "ls -ld"
        hint = f"{act} {folder}, if you trust what is in it; another database: --db PATH"
        raise KiribiError(Code.REFUSED, f"refusing {folder}: {why.format(noun='the folder')}", hint=hint)
