"""Files on the way: they take their name when they are whole, and what a killed process left on the way goes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kiribi_cli.private import sync_folder

# What SQLite puts beside a database that is being written.
_BESIDE = ("", "-journal", "-wal", "-shm")


@contextmanager
def partial(to: Path) -> Iterator[Path]:
    """Give a path beside `to` at which nothing is, and leave nothing there: what became whole was moved away."""
    _tidy(to)
    path = to.with_name(f"{to.name}.part-{os.getpid()}")
    _remove(path)
    try:
        yield path
    finally:
        _remove(path)


def keep(part: Path, to: Path) -> None:
    """Give what is whole, and on the disk, its name for good."""
    part.replace(to)
    sync_folder(to.parent)


def keep_new(part: Path, to: Path) -> None:
    """The same, but raise FileExistsError where something has that name: nobody's file is replaced."""
    try:
        # Atomic, where a file system knows it.
        to.hardlink_to(part)
    except FileExistsError:
        raise
    except OSError:
        if to.exists():
            raise FileExistsError(to) from None
        part.replace(to)
    sync_folder(to.parent)


def left_behind(to: Path) -> list[Path]:
    """Find what processes that live no more were writing under this name; a pid that lives again hides its file."""
    return [path for path in to.parent.glob("*.part-*") if path.name.startswith(f"{to.name}.part-") and _is_over(path)]


def _tidy(to: Path) -> None:
    for path in left_behind(to):
        path.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    for ending in _BESIDE:
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _is_over(path: Path) -> bool:
    pid = path.name.rpartition(".part-")[2].partition("-")[0]
    if not (pid.isascii() and pid.isdigit()):
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False
