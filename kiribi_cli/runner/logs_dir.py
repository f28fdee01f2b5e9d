"""The folder of logs as a whole: how big it is, which logs can go, which can be packed. Knows attempts by number only.

Used by `kiribi sweep` and by the worker. What a single log looks like is output.py's affair.
"""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

from kiribi_cli.core.records import dataclass
from kiribi_cli.private import sync_folder
from kiribi_cli.runner.log import TAIL_FILES, tail_path

# The log itself, packed, and the parts of a tail that was never joined to it.
_SUFFIXES = ("", ".gz", *(tail_path("", turn) for turn in range(TAIL_FILES)))


@dataclass(frozen=True, slots=True)
class LogFile:
    """One file of an attempt's log. `changed_at`: milliseconds since the epoch."""

    attempt_id: int
    path: Path
    size: int
    changed_at: int


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What was deleted: attempts, and the bytes that they took."""

    attempt_ids: tuple[int, ...] = ()
    freed: int = 0


def log_files(logs: Path) -> Iterator[LogFile]:
    """List the files of logs in any order; a missing folder has none. Other files are not ours and are left out."""
    try:
        entries = os.scandir(logs)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            number = entry.name.partition(".")[0]
            if not (number.isascii() and number.isdigit()):
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # a worker or another sweep was faster
            yield LogFile(int(number), Path(entry.path), status.st_size, status.st_mtime_ns // 1_000_000)


def size_of(logs: Path, attempt_ids: Iterable[int] | None = None) -> int:
    """Add up the bytes of all logs, or of those of these attempts."""
    if attempt_ids is None:
        return sum(file.size for file in log_files(logs))
    # There may be millions of ids and few logs.
    sizes: Counter[int] = Counter()
    for file in log_files(logs):
        sizes[file.attempt_id] += file.size
    return sum(sizes[attempt] for attempt in attempt_ids)


def delete_logs(logs: Path, attempt_ids: Sequence[int]) -> int:
    """Delete the logs of these attempts, on the disk too, and answer the bytes freed; what is gone is no error."""
    freed = sum(_delete(path) for attempt in attempt_ids for path in _paths(logs, attempt))
    if freed:
        # Or a power cut brings them back, and nothing points to them any more.
        sync_folder(logs)
    return freed


def enforce_total(logs: Path, total: int, can_go: Callable[[int], bool]) -> Trimmed:
    """Delete the oldest logs until all of them together take at most `total` bytes.

    `can_go` is asked by attempt id, oldest first, and only for logs that are too much: a job that is not finished
    keeps its logs.
    """
    files = sorted(log_files(logs), key=lambda file: (file.attempt_id, file.path.name))
    excess = sum(file.size for file in files) - total
    gone: dict[int, bool] = {}
    freed = 0
    for file in files:
        if freed >= excess:
            break
        if file.attempt_id not in gone:
            gone[file.attempt_id] = can_go(file.attempt_id)
        if gone[file.attempt_id]:
            freed += _delete(file.path)
    return Trimmed(tuple(attempt for attempt, deleted in gone.items() if deleted), freed)


def strays(logs: Path, unknown: Callable[[Sequence[int]], Collection[int]]) -> Trimmed:
    """Find logs of attempts that nobody knows (any more); deletes nothing.

    `unknown` is asked once, after the folder has been read: what begins meanwhile is not among the files, and what is
    being deleted meanwhile is looked for once more.
    """
    sizes: Counter[int] = Counter()
    for file in log_files(logs):
        sizes[file.attempt_id] += file.size
    lost = frozenset(unknown(list(sizes)))
    still = {file.attempt_id for file in log_files(logs)} & lost if lost else lost
    return Trimmed(tuple(sorted(still)), sum(sizes[attempt] for attempt in still))


def compress_old(logs: Path, *, before: int, running: frozenset[int], at_most: int = 1_000) -> int:
    """Pack logs that nobody has written to since `before`; answers how many. `running` attempts are left alone."""
    from kiribi_cli.runner.output import compress

    old = [
        file.path
        for file in log_files(logs)
        if not file.path.suffix and file.changed_at < before and file.attempt_id not in running
    ][:at_most]
    for path in old:
        compress(path)
    return len(old)


def _paths(logs: Path, attempt: int) -> Iterator[Path]:
    yield from (logs / f"{attempt}{suffix}" for suffix in _SUFFIXES)


def _delete(path: Path) -> int:
    try:
        size = path.lstat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    return size
