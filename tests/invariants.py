"""What every scenario ends with: databases whose rules hold, and nothing of a job or worker left running."""

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from kiribi_cli.actions.verify import verify
from kiribi_cli.errors import KiribiError
from kiribi_cli.store import connect
from kiribi_cli.store.sqlite import SqliteStore

# Longer than a worker's launcher takes to end what it holds when the worker has been killed.
PATIENCE = 30.0


def check_databases(paths: Iterable[Path]) -> None:
    """Fail the test if a kiribi database of this schema breaks a rule: what `kiribi db verify` does, in this process."""
    broken = [f"{path}: {problem}" for path in paths if _is_ours(path) for problem in problems_in(path)]
    if broken:
        pytest.fail("kiribi db verify finds:\n" + "\n".join(broken))


def problems_in(path: Path) -> list[str]:
    try:
        store = SqliteStore.open(path, create=False)
    except KiribiError as error:
        return [error.message]
    try:
        return verify(store, Path(connect.logs_dir(str(path))))
    finally:
        store.close()


def _is_ours(path: Path) -> bool:
    """Tell whether a file is a kiribi database of this schema; a test may have put anything there."""
    if not path.is_file() or path.stat().st_size == 0:
        return False
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return connect.is_current(connection)
    except sqlite3.Error:
        return False
    finally:
        connection.close()


def processes_of(folder: Path) -> list[int]:
    """List living processes whose environment or arguments name the folder: workers, launchers, jobs."""
    found = []
    mark = os.fsencode(f"{folder}/")
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if mark in (entry / "environ").read_bytes() or mark in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue  # ended meanwhile, or not ours to read
    return found


def check_nothing_left(folder: Path, patience: float = PATIENCE) -> None:
    """Fail the test if a process of the folder lives on that does not belong to a program which the test itself left running."""
    deadline = time.monotonic() + patience
    while left := [pid for pid in processes_of(folder) if os.getpid() not in _ancestors(pid)]:
        if time.monotonic() > deadline:
            pytest.fail("left running:\n" + "\n".join(f"{pid} {_words(pid)}" for pid in left))
        time.sleep(0.02)


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        try:
            # Behind the name, which may hold anything: state, parent.
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return
        yield pid


def _words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return "(ended meanwhile)"
