"""Processes: who they are, which of them belong to an attempt, and how they are ended. Linux only (/proc, pidfd).

Used by the hands (so stdlib only, and light) and by whoever rescues attempts whose worker and hands are both gone.
A process is named by its pid and start time together, never by a bare pid.
"""

from __future__ import annotations

import os

from kiribi_cli.clock import monotonic, sleep
from kiribi_cli.runner.brand import brand, brand_of
from kiribi_cli.runner.plain import signal

TYPE_CHECKING = False  # importing typing costs the hands two megabytes
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Any

SIGKILL = 9
_NO_MARK = (0, 0, "")
_PASSES = 50
# Less than in which all numbers of processes can come round (seconds).
_MOMENT = 0.5
# Seconds between two looks at the count of kills for want of memory, and after how long the last look says nothing.
_OOM_LOOK = 0.9
_OOM_OLD = 3.0


class Process:
    """A process as /proc shows it, at one moment."""

    __slots__ = ("brand", "group", "hands", "mark", "parent", "pid", "session", "start_ticks", "state")

    def __init__(self, pid: int, state: str, parent: int, group: int, session: int, start_ticks: int) -> None:
        self.pid = pid
        self.state = state
        self.parent = parent
        self.group = group
        self.session = session
        self.start_ticks = start_ticks
        # Where they were read (see everybody): attempt, job and database out of its environment; the hands whose
        # child it is; and the brand, which stands for what has thrown its environment away.
        self.mark = _NO_MARK
        self.hands = ""
        self.brand = 0

    def is_of_job(self, job: int, db_path: str | None) -> bool:
        """Tell whether it belongs to any attempt of this job."""
        _, its_job, db = self.mark
        if self.mark is not _NO_MARK:
            return its_job == job and (db_path is None or db == db_path)
        return self.brand != 0 and self.brand == brand(job, db_path)

    def __repr__(self) -> str:
        return f"Process(pid={self.pid}, start_ticks={self.start_ticks}, state={self.state!r})"


def boot_id() -> str:
    """Name this boot of the machine; "" where the system does not tell."""
    return _text("/proc/sys/kernel/random/boot_id").strip()


def pid_namespace() -> str:
    """Name the namespace in which our pids mean something; "" where the system does not tell."""
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115  (pathlib costs the hands memory)
    except OSError:
        return ""


def look(pid: int) -> Process | None:
    """Read what there is to know of a process; None when it is gone."""
    text = _text(f"/proc/{pid}/stat")
    # The name of the program may hold spaces and brackets: count from the last bracket.
    fields = text[text.rfind(")") + 2 :].split(" ", 20)
    if len(fields) < 20:
        return None
    return Process(pid, fields[0], int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))


def start_ticks(pid: int) -> int:
    """Give the start time of a process in clock ticks since boot; 0 when it is gone."""
    process = look(pid)
    return process.start_ticks if process else 0


def myself() -> tuple[int, int]:
    """Name this process: pid and start ticks."""
    return os.getpid(), start_ticks(os.getpid())


def is_alive(pid: int, ticks: int, boot: str, namespace: str) -> bool:
    """Tell whether exactly this process still runs, here. A zombie does not."""
    if boot != boot_id() or namespace != pid_namespace():
        return False
    process = look(pid)
    return process is not None and process.start_ticks == ticks and process.state not in "ZX"


def everybody() -> dict[int, Process]:
    """Read all processes but zombies, with their marks.

    The newest first, and all of one before the next: a process that lives for milliseconds is gone by the end of this.
    """
    found = {}
    for pid in sorted((int(name) for name in _entries("/proc") if name.isdigit()), reverse=True):
        process = look(pid)
        if process is not None and process.state not in "ZX":
            _read_marks(process)
            found[pid] = process
    return found


def _read_marks(process: Process) -> None:
    """Read what a process was started with. Its environment counts before its brand: it says more."""
    try:
        with open(f"/proc/{process.pid}/environ", "rb") as file:  # noqa: PTH123  (pathlib costs the hands memory)
            block = b"\0" + file.read()
    except OSError:
        return
    if b"\0KIRIBI_ATTEMPT_ID=" in block:
        process.mark = (
            _number(_variable(block, b"KIRIBI_ATTEMPT_ID")),
            _number(_variable(block, b"KIRIBI_JOB_ID")),
            os.fsdecode(_variable(block, b"KIRIBI_DB")),
        )
        return
    process.hands = os.fsdecode(_variable(block, b"KIRIBI_HANDS"))
    process.brand = brand_of(process.pid)


class Crowd:
    """All processes of this host at one moment, to be asked for those of one attempt after the other."""

    def __init__(self, db_path: str | None) -> None:
        self._db = db_path
        self.people = everybody()
        self._by_attempt: dict[int, list[int]] = {}
        self._by_brand: dict[int, list[int]] = {}
        for pid, process in self.people.items():
            attempt, _, db = process.mark
            if attempt and (db_path is None or db == db_path):
                self._by_attempt.setdefault(attempt, []).append(pid)
            if process.brand:
                self._by_brand.setdefault(process.brand, []).append(pid)

    def of(self, attempt: int, job: int = 0, known: Collection[tuple[int, int]] = ()) -> list[Process]:
        """Give what belongs to an attempt: by marker, by the brand of its job, the `known` ones by (pid, start ticks),
        and all that descend from those, or are in a session led by one of those. Never ourselves, never one that we
        descend from.
        """
        roots = self._by_attempt.get(attempt, []) + self._by_brand.get(brand(job, self._db), [])
        for pid, ticks in known:
            process = self.people.get(pid)
            if process is not None and process.start_ticks == ticks:
                roots.append(pid)
        return with_descendants(self.people, roots) if roots else []


def leftovers(
    attempt_ids: Collection[int],
    db_path: str | None,
    first: Collection[tuple[int, int]] = (),
    jobs: Collection[int] = (),
) -> list[Process]:
    """Find every process on this host that belongs to these attempts, or bears the brand of these jobs."""
    crowd = Crowd(db_path)
    found = [*crowd.of(0, 0, first)]
    for attempt in attempt_ids:
        found += crowd.of(attempt)
    for job in jobs:
        found += crowd.of(0, job)
    return list({process.pid: process for process in found}.values())


def left_of_jobs(job_ids: Collection[int], db_path: str | None) -> dict[int, list[Process]]:
    """Find what earlier attempts of these jobs have left behind, by job."""
    people = everybody()
    by_job: dict[int, list[int]] = {}
    for pid, process in people.items():
        for job in job_ids:
            if process.is_of_job(job, db_path):
                by_job.setdefault(job, []).append(pid)
    return {job: with_descendants(people, pids) for job, pids in by_job.items()}


def of_attempt(leader: int, attempt_id: int, job: int, db_path: str | None) -> list[Process]:
    """Find what belongs to an attempt among our own descendants. `leader`: its first process, 0 if the pid is another's
    by now. What left the session, lost its parents and threw its environment away still has its brand.
    """
    people = everybody()
    ours = _below({os.getpid()}, people)
    its_brand = brand(job, db_path)

    def is_ours(pid: int) -> bool:
        process = people[pid]
        if (leader and leader in (pid, process.session)) or (its_brand and process.brand == its_brand):
            return True
        attempt, _, db = process.mark
        return attempt == attempt_id and (db_path is None or db == db_path)

    return with_descendants(people, [pid for pid in ours if is_ours(pid)])


def with_descendants(people: dict[int, Process], roots: Collection[int]) -> list[Process]:
    """Give the roots and all that descend from them or share a session that a root leads; not our own line."""
    own_line = ancestry(people)
    taken = set(roots) - own_line
    leaders = {pid for pid in taken if people[pid].session == pid}
    taken |= {pid for pid, process in people.items() if process.session in leaders}
    taken |= _below(taken, people)
    return [people[pid] for pid in sorted(taken - own_line)]


def _below(roots: set[int], people: dict[int, Process]) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, process in people.items():
        children.setdefault(process.parent, []).append(pid)
    found: set[int] = set()
    line = list(roots)
    while line:
        fresh = [pid for pid in children.get(line.pop(), ()) if pid not in found]
        found.update(fresh)
        line += fresh
    return found


def ancestry(people: dict[int, Process]) -> set[int]:
    """Give this process and all that it descends from."""
    line = {1}
    pid = os.getpid()
    while pid in people and pid not in line:
        line.add(pid)
        pid = people[pid].parent
    return line


def send(process: Process, number: int) -> bool:
    """Signal exactly this process; false when it is gone or not ours to signal."""
    try:
        handle = os.pidfd_open(process.pid)
    except (OSError, AttributeError):
        return _send_plainly(process, number)
    try:
        # The handle holds the process that has the pid now: still the one that was meant?
        if start_ticks(process.pid) != process.start_ticks:
            return False
        signal.pidfd_send_signal(handle, number)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def _send_plainly(process: Process, number: int) -> bool:
    """Kernels before 5.3 have no handles: look and signal, with nothing in between."""
    try:
        if start_ticks(process.pid) == process.start_ticks:
            os.kill(process.pid, number)
            return True
    except OSError:
        pass
    return False


def kill_all(
    find: Callable[[], list[Process]], passes: int = _PASSES, groups: dict[int, float] | None = None
) -> list[Process]:
    """SIGKILL what `find` gives, again and again until it gives nothing: what forks meanwhile is found the next time.

    `groups` are those of the job seen before; what is seen now is added, and what is gone taken out. Gives what could
    not be killed. Stopped processes die as well.
    """
    groups = {} if groups is None else groups
    at = monotonic()
    left = find()
    for number in range(passes):
        remember_groups(groups, left, at)
        if not left and not groups:
            break
        signal_groups(groups, SIGKILL)
        for process in left:
            send(process, SIGKILL)
        if number > 2:
            sleep(0.002)
        at = monotonic()
        left = find()
    return left


def remember_groups(groups: dict[int, float], found: list[Process], at: float) -> None:
    """Add the process groups of these, which were looked for `at` (monotonic seconds)."""
    groups.update(dict.fromkeys({process.group for process in found} - {os.getpgrp(), 0, 1}, at))


def signal_groups(groups: dict[int, float], number: int) -> None:
    """Signal whole process groups (0: only look) and take out those without a member, or not seen for too long.

    A chain of processes that fork and exit is faster than any list of them; from this no fork escapes. A group lies
    within one session, a session holds only what descends from who made it, and the number of a group is not given to
    anybody else while it has a member, nor soon after: the kernel hands out all other numbers first. So what was seen
    a moment ago still is the job's; who was stopped for longer since then has to look anew.
    """
    for group, seen in list(groups.items()):
        now = monotonic()
        if now - seen > _MOMENT:
            del groups[group]
            continue
        try:
            os.killpg(group, number)
            # It has had a member all the time.
            groups[group] = now
        except ProcessLookupError:
            del groups[group]
        except OSError:
            continue  # there, but not ours to signal


def end_leftovers(
    attempt_ids: Collection[int],
    db_path: str | None,
    first: Collection[tuple[int, int]] = (),
    jobs: Collection[int] = (),
    *,
    stop_signal: int = 15,
    kill_after_ms: int = 0,
) -> list[Process]:
    """End everything that is left of these attempts and wait until it is gone; gives what could not be ended.

    The stop signal first if there is time for it, SIGKILL after `kill_after_ms`. Blocks for about that long at most.
    """

    def find() -> list[Process]:
        return leftovers(attempt_ids, db_path, first, jobs)

    left = find()
    if left and kill_after_ms > 0:
        for process in left:
            send(process, stop_signal)
            send(process, signal.SIGCONT)
        until = monotonic() + kill_after_ms / 1000
        while left and monotonic() < until:
            sleep(0.02)
            left = find()
    return kill_all(find) if left else []


def oom_kills() -> int:
    """Count the processes that this machine has killed for want of memory since it was booted."""
    for line in _text("/proc/vmstat").splitlines():
        if line.startswith("oom_kill "):
            return int(line[9:])
    return 0


class OutOfMemory:
    """Tells whether a SIGKILL that nobody here has sent was for want of memory: the system counts only how many were.

    A kill counts if it was within the last seconds. One of hours ago, of something else, says nothing of a job.
    """

    def __init__(self) -> None:
        self._before = self._lately = oom_kills()
        self._at = monotonic()

    def look(self) -> None:
        """Look at the count; to be called when something begins, and now and then while something runs."""
        passed = monotonic() - self._at
        if passed < _OOM_LOOK:
            return
        count = oom_kills()
        self._before = self._lately if passed < _OOM_OLD else count
        self._lately = count
        self._at += passed

    def explains_a_kill(self) -> bool:
        """Tell whether the system has killed one lately that was not asked about yet."""
        if oom_kills() <= self._before:
            return False
        self._before += 1
        return True


def become_subreaper() -> bool:
    """Make orphans of our descendants come to us instead of to init; false where the system cannot."""
    set_child_subreaper = 36
    try:
        # ctypes proper would cost half a megabyte; this one call does not need it.
        import _ctypes

        plain: Any = _ctypes
        address = plain.dlsym(plain.dlopen(None, 0), "prctl")
        return bool(plain.call_function(address, (set_child_subreaper, 1, 0, 0, 0)) == 0)
    except (ImportError, AttributeError, OSError):
        return False


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123  (pathlib costs the hands memory)
            return file.read()
    except OSError:
        return ""


def _entries(path: str) -> list[str]:
    try:
        return os.listdir(path)  # noqa: PTH208  (as above)
    except OSError:
        return []


def _variable(block: bytes, name: bytes) -> bytes:
    start = block.find(b"\0" + name + b"=")
    if start < 0:
        return b""
    start += len(name) + 2
    end = block.find(b"\0", start)
    return block[start : end if end >= 0 else len(block)]


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() else 0
