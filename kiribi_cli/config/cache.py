"""What jobs.toml says, boiled down and kept ready, so that nothing is parsed when nothing has changed.

A stale cache must be impossible: it counts only while every file and folder that was read still has the stamp it had
before reading, and is not written at all when one of them is so young that an edit could hide in the same clock tick.
Reading loads nothing but what Python has loaded anyway; a cache that is missing or odd only costs time.
"""

# pathlib costs 5 ms.
# ruff: noqa: PTH105, PTH112, PTH116, PTH120

import marshal
import os
import sys

from kiribi_cli import __version__

TYPE_CHECKING = False  # typing costs 3 ms
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypedDict

    from kiribi_cli.config.model import Config, Stamp
    from kiribi_cli.core.plan import Plan

    class Compiled(TypedDict):
        """What `enqueue` needs to know; and `outline`, still packed, for commands that look (outline.py)."""

        jobs: dict[str, Plan]
        # For commands after --; their name, command and folder are still to be put in.
        adhoc: Plan
        # Every queue that may be named, and whether it has defaults for its jobs.
        queues: dict[str, bool]
        # What jobs.toml says, absolute; None: beside it. --db and KIRIBI_DB come first.
        db: str | None
        durability: str
        outline: bytes

    class _Kept(TypedDict):
        config: str
        inputs: list[tuple[str, Stamp | None]]
        # Owner and mode of the folders of included files, all of them trusted when this was kept.
        folders: list[tuple[str, int, int]]
        compiled: Compiled


# File systems count time in steps of up to 2 s (FAT), clocks in steps of up to 10 ms.
SETTLED_MS = 2_500
# Counted up whenever what is kept changes its form.
_FORM = 2
_HEADER = f"kiribi {__version__}.{_FORM} {sys.hexversion:x} {sys.implementation.cache_tag} {marshal.version}\n".encode()
_ANYBODY_ELSE = 0o077


def load(config_path: str) -> "Compiled | None":
    """Return what is kept for this file if it is certainly true now, else None: then jobs.toml has to be read.

    `config_path` is absolute. Whether the file itself may be used is the caller's question (nearby.py); files that it
    includes are trusted by everybody's rules, so a cache is good for a file that was named and for one walked to.
    """
    content = _private_content(_place(config_path))
    if content is None or not content.startswith(_HEADER):
        return None
    body = content[len(_HEADER) + 8 :]
    if content[len(_HEADER) : len(_HEADER) + 8] != _checksum(body):
        return None  # cut short by a power cut
    kept: _Kept = marshal.loads(body)  # noqa: S302  (our own file, which nobody else can write)
    if kept["config"] != config_path or any(stamp(path) != before for path, before in kept["inputs"]):
        return None
    if any(_owner(folder[0]) != folder for folder in kept["folders"]):
        return None
    return kept["compiled"]


def save(config: "Config") -> bool:
    """Keep what `load` returns; tell whether it was kept. Not if that could ever be stale, or there is no place."""
    from kiribi_cli.clock import now_ms

    if config.path is None or str(config.path) not in config.inputs or not _settled(config.inputs, now_ms()):
        return False
    folders, place = _trusted_folders(config), _place(str(config.path))
    if folders is None or place is None:
        return False
    inputs = list(config.inputs.items())
    kept: _Kept = {"config": str(config.path), "inputs": inputs, "folders": folders, "compiled": compiled(config)}
    try:
        _write(place, marshal.dumps(dict(kept)))
    except OSError:
        return False  # read-only, full, or somebody else's: the next command reads jobs.toml again
    return True


def compiled(config: "Config") -> "Compiled":
    """Boil a Config down to what is kept."""
    from kiribi_cli.config.outline import kept
    from kiribi_cli.core.plan import plan_of

    used = {definition.queue: False for definition in config.definitions.values()}
    return {
        "jobs": {name: plan_of(definition) for name, definition in config.definitions.items()},
        "adhoc": plan_of(config.adhoc("", (), "")),
        "queues": used | {name: bool(queue.settings) for name, queue in config.queues.items()},
        "db": config.db,
        "durability": config.durability,
        "outline": kept(config),
    }


def stamp(path: str) -> "Stamp | None":
    """Read what changes when a file or folder does; None if it is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _settled(inputs: "Mapping[str, Stamp | None]", now: int) -> bool:
    """Tell whether nothing has changed since before it was read, and no edit could be too quick to be seen."""
    youngest = max((max(before[3:]) for before in inputs.values() if before), default=0)
    unchanged = all(stamp(path) == before for path, before in inputs.items())
    # A time in the future counts as young.
    return unchanged and youngest // 1_000_000 + SETTLED_MS < now


def _trusted_folders(config: "Config") -> "list[tuple[str, int, int]] | None":
    from kiribi_cli.config.discover import check_trusted
    from kiribi_cli.errors import KiribiError

    folders: dict[str, None] = {}
    for path in config.files[1:]:
        try:
            check_trusted(path)
        except (KiribiError, OSError):
            return None
        folders |= dict.fromkeys((str(path.parent), str(path.resolve().parent)))
    # A file's owner and mode are in its stamp (ctime); a folder's ctime moves with every new neighbour.
    owners = [_owner(folder) for folder in folders]
    return [owner for owner in owners if owner] if None not in owners else None


def _owner(path: str) -> tuple[str, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return path, status.st_uid, status.st_mode


def _place(config_path: str) -> str | None:
    """Name the cache: in `.kiribi/run` beside jobs.toml if there is a `.kiribi`, else in XDG_CACHE_HOME."""
    folder, name = os.path.split(config_path)
    if os.path.isdir(f"{folder}/.kiribi"):
        return f"{folder}/.kiribi/run/{name}.cache"
    named, home = os.environ.get("XDG_CACHE_HOME", ""), os.environ.get("HOME", "")
    base = named if named.startswith("/") else f"{home}/.cache" if home.startswith("/") else None
    # Two paths with one checksum only push each other out: the path itself is kept inside.
    return f"{base}/kiribi/{_checksum(os.fsencode(config_path)).decode()}.cache" if base else None


def _private_content(place: str | None) -> bytes | None:
    if place is None:
        return None
    try:
        file = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(file)
        if status.st_uid != os.geteuid() or status.st_mode & _ANYBODY_ELSE or status.st_mode & 0o170000 != 0o100000:
            return None
        content = os.read(file, status.st_size)
        return content if len(content) == status.st_size else None
    except OSError:
        return None
    finally:
        os.close(file)


def _write(place: str, body: bytes) -> None:
    from kiribi_cli.private import make_folder

    make_folder(os.path.dirname(place))
    fresh = f"{place}.{os.getpid()}"
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(file, 0o600)
        os.write(file, _HEADER + _checksum(body) + body)
        # Readers see the old cache or the new one, never half of one.
        os.replace(fresh, place)
    except OSError:
        # A full disk: what lies about would be in the way of the next process with our number.
        os.unlink(fresh)  # noqa: PTH108  (pathlib costs milliseconds)
        raise
    finally:
        os.close(file)


def _checksum(body: bytes) -> bytes:
    from binascii import crc32

    return f"{crc32(body):08x}".encode()
