"""What workers and jobs left on this host: processes of attempts that were cut off, hands without a worker, old files.

`kiribi doctor` tells of it, `kiribi recover` ends and removes it. Only what nobody claims is touched.
"""

import fcntl
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from shlex import join

from kiribi_cli import clock
from kiribi_cli.core.records import dataclass
from kiribi_cli.runner.process import Process, everybody, kill_all, send, with_descendants
from kiribi_cli.runner.remains import Kept, kept
from kiribi_cli.store.base import Store
from kiribi_cli.store.liveness import lock_path

# After these nothing of an attempt may be left; what a job that ended by itself leaves running may be meant to stay.
_CUT_OFF = ("timed_out", "worker_lost", "interrupted", "cancelled")
_GRACE_S = 5.0
# A lock is taken the moment its file is made.
_OLD_S = 60.0


@dataclass(frozen=True, slots=True)
class Stray:
    """A process of an attempt that is over. `attempt`: 0 where only the job is known."""

    process: Process
    job: int
    attempt: int
    outcome: str

    @property
    def is_cut_off(self) -> bool:
        return self.outcome in _CUT_OFF


def strays(store: Store, db_path: str) -> list[Stray]:
    """Find living processes that a job of this database started and that belong to no live attempt."""
    people = everybody()
    # Read after the processes: what begins meanwhile is not among them.
    live = {job.id: job.attempt_id for job in store.running()}
    found: list[Stray] = []
    outcomes: dict[tuple[int, int], str] = {}
    for process in people.values():
        attempt, job, db = process.mark
        if not (db == db_path if attempt else process.is_of_job(_branded(process), db_path)):
            continue
        job = job if attempt else _branded(process)
        if live.get(job) == attempt or (job in live and not attempt):
            continue
        if (job, attempt) not in outcomes:
            outcomes[job, attempt] = _outcome(store, job, attempt)
        found.append(Stray(process, job, attempt, outcomes[job, attempt]))
    return [one for one in found if one.outcome != "running"]


def _branded(process: Process) -> int:
    """The job in the brand of a process: its lower part."""
    return process.brand & ((1 << 40) - 1)


def _outcome(store: Store, job: int, attempt: int) -> str:
    attempts = store.attempts(job)
    if attempt:
        return next((one.outcome for one in attempts if one.id == attempt), "")
    return attempts[-1].outcome if attempts else ""


def end(store: Store, db_path: str) -> list[int]:
    """End what is left of attempts that were cut off, with time for their last words; answers the pids."""

    def find() -> list[Process]:
        roots = [one.process.pid for one in strays(store, db_path) if one.is_cut_off]
        return with_descendants(everybody(), roots) if roots else []

    left = find()
    pids = [process.pid for process in left]
    for process in left:
        send(process, signal.SIGTERM)
        send(process, signal.SIGCONT)
    until = clock.monotonic() + _GRACE_S
    while left and clock.monotonic() < until:
        clock.sleep(0.05)
        left = find()
    if left:
        kill_all(find)
    return pids


def headless(run: Path) -> list[Kept]:
    """List hands that live and whose worker does not: what they run waits for another one, or is being ended."""
    return [one for one in kept(str(run)) if one.is_alive() and not one.has_brain()]


def old_files(store: Store, run: Path) -> list[Path]:
    """List files of workers and attempts that are over; they take next to no space."""
    if not run.is_dir():
        return []
    # Before asking who lives: what is made meanwhile is not among them.
    files = list(run.iterdir())
    live = {job.attempt_id for job in store.running()}
    locks = {lock_path(str(run), one.name, one.pid, one.process) for one in store.workers()}
    return sorted(path for path in files if _is_of_the_past(path, live) or _is_free(path, locks))


def _is_of_the_past(path: Path, live: Iterable[int | None]) -> bool:
    number, _, kind = path.name.partition(".")
    if kind not in ("payload", "result", "progress", "packet") or not number.isdecimal():
        return False
    return int(number) not in live


def _is_free(path: Path, locks: Iterable[Path]) -> bool:
    """Tell whether it is the lock of a worker that is over: nobody holds it, and no worker that counts is named so."""
    if path.suffix != ".lock" or not path.name.startswith("worker-") or path in locks:
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return clock.now_ms() - os.fstat(descriptor).st_mtime * 1000 > _OLD_S * 1000
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)


def words_of(process: Process) -> str:
    """What a process was started as, for people."""
    try:
        words = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        return "ended meanwhile"
    text = join(os.fsdecode(word) for word in words)
    return text if len(text) <= 60 else text[:59] + "…"


def tidy(store: Store, run: Path) -> list[Path]:
    """Remove those files."""
    old = old_files(store, run)
    for path in old:
        path.unlink(missing_ok=True)
    return old
