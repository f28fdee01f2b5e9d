"""Who writes to the database right now: the process that the kernel names as the holder of SQLite's write lock."""

import os

from kiribi_cli.core.records import dataclass

# The byte of the -shm file that a writer locks (sqlite.org/walformat.html, "WAL Locks").
_WRITE_LOCK = 120
_FIRST_READ_LOCK, _LAST_READ_LOCK = 123, 127
_LONGEST = 80


@dataclass(frozen=True, slots=True)
class Writer:
    """A process, what it was started as, and whether it is stopped."""

    pid: int
    command: str
    is_stopped: bool


def writer(path: str) -> Writer | None:
    """Ask the kernel; None where nobody writes, or where it does not tell: another system, container or host."""
    try:
        inode = os.stat(f"{path}-shm").st_ino  # noqa: PTH116  (a path of ours, as everywhere in the store)
        with open("/proc/locks", encoding="ascii") as locks:  # noqa: PTH123  (the same)
            pids = [pid for line in locks if (pid := _holder(line.split(), inode))]
    except (OSError, ValueError):
        return None
    return _described(pids[0]) if pids else None


def readers(path: str) -> list[Writer]:
    """List the processes that read the database at this moment. Most reads are over at the next one."""
    try:
        inode = os.stat(f"{path}-shm").st_ino  # noqa: PTH116  (as above)
        with open("/proc/locks", encoding="ascii") as locks:  # noqa: PTH123  (as above)
            pids = {pid for line in locks if (pid := _reader(line.split(), inode))}
    except (OSError, ValueError):
        return []
    return [one for pid in sorted(pids) if (one := _described(pid)) is not None]


def _reader(words: list[str], inode: int) -> int:
    if len(words) != 8 or words[1] != "POSIX" or words[3] != "READ" or words[5].rpartition(":")[2] != str(inode):
        return 0
    # Each snapshot is held by a lock on one of these bytes; a connection at rest holds another, behind them.
    return max(0, int(words[4])) if int(words[6]) <= _LAST_READ_LOCK and _last(words[7]) >= _FIRST_READ_LOCK else 0


def _holder(words: list[str], inode: int) -> int:
    """Read `7: POSIX ADVISORY WRITE 4711 08:01:1234 120 120`; 0 for other locks, and for those who wait (`->`)."""
    if len(words) != 8 or words[1] != "POSIX" or words[3] != "WRITE" or words[5].rpartition(":")[2] != str(inode):
        return 0
    return max(0, int(words[4])) if int(words[6]) <= _WRITE_LOCK <= _last(words[7]) else 0


def _last(word: str) -> float:
    return float("inf") if word == "EOF" else int(word)


def _described(pid: int) -> Writer | None:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123  (the same)
            command = " ".join(os.fsdecode(word) for word in file.read().split(b"\0")).strip()
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  (the same)
            state = file.read().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return None
    short = command if len(command) <= _LONGEST else command[: _LONGEST - 1] + "…"
    return Writer(pid, short, state in "Tt")
