"""Hands and what they leave: whose they are, what is left of them when they were killed, and how that is ended.

Used by brains: by the one that starts hands, and by whoever comes after a worker that is dead or silent. Every process
is named by its pid and start time, within this boot and pid namespace; a bare pid is never signalled.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kiribi_cli import clock
from kiribi_cli.core.records import dataclass
from kiribi_cli.runner.process import (
    SIGKILL,
    Process,
    boot_id,
    everybody,
    is_alive,
    kill_all,
    look,
    myself,
    pid_namespace,
    send,
    start_ticks,
    with_descendants,
)

# What SIGKILL has not ended by then sleeps in the kernel or is not ours to kill.
_HOPELESS_S = 5.0


@dataclass(frozen=True, slots=True)
class Kept:
    """What stands in the run folder about hands: who they are, and who their brain is (pid, start ticks)."""

    path: str
    boot: str
    namespace: str
    pid: int
    ticks: int
    brain: tuple[int, int]

    def is_alive(self) -> bool:
        """Tell whether exactly these hands live, here."""
        return is_alive(self.pid, self.ticks, self.boot, self.namespace)

    def has_brain(self) -> bool:
        """Tell whether exactly their brain lives, here; a stopped one does."""
        return is_alive(*self.brain, self.boot, self.namespace)

    def can_be_told(self) -> bool:
        """Tell whether their numbers mean anything here and now."""
        return (self.boot, self.namespace) == (boot_id(), pid_namespace())


def keep(run_dir: str, pid: int) -> None:
    """Write down that we are the brain of the hands `pid`. To be done before they are told to run anything."""
    path = f"{run_dir}/hands-{pid}.json"
    words = [boot_id(), pid_namespace(), pid, start_ticks(pid), *myself()]
    draft = f"{path}.{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(draft, flags, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(json.dumps(words))
    Path(draft).rename(path)


def kept(run_dir: str) -> list[Kept]:
    """List what is written down of hands in this folder, of dead ones too."""
    found = []
    for path in sorted(Path(run_dir).glob("hands-*.json")):
        try:
            boot, namespace, pid, ticks, brain, brain_ticks = json.loads(path.read_text())
        except (OSError, ValueError):
            continue  # removed meanwhile, or cut by a full disk: its hands have never been told anything
        found.append(Kept(str(path), boot, namespace, pid, ticks, (brain, brain_ticks)))
    return found


def end_hands_of(run_dir: str, brain_pid: int, brain_ticks: int) -> list[Process]:
    """Kill the hands of this brain, and the interpreters in which they run callables; wait until they are gone.

    From then on nothing starts any more of what they were given. What they had started as commands lives on without
    them: that is found by `leftovers`. Gives what could not be ended; then nothing may be concluded.
    """
    return end_hands([one for one in kept(run_dir) if one.brain == (brain_pid, brain_ticks)])


def end_hands(theirs: list[Kept]) -> list[Process]:
    """Do that to these hands, dead or alive."""
    theirs = [one for one in theirs if one.can_be_told()]
    for one in theirs:
        hands = look(one.pid)
        if hands is not None and hands.start_ticks == one.ticks:
            send(hands, SIGKILL)
    until = clock.monotonic() + _HOPELESS_S
    while (living := [one for one in theirs if one.is_alive()]) and clock.monotonic() < until:
        clock.sleep(0.002)
    names = {f"{one.pid}:{one.ticks}" for one in theirs}
    left = kill_all(lambda: _children_of(names))
    return [process for one in living if (process := look(one.pid)) is not None] + left


@contextmanager
def alone(run_dir: str) -> Iterator[bool]:
    """Be the only one who looks after dead workers here; false while somebody else does."""
    fd = os.open(f"{run_dir}/rescue.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(fd)


def bury(run_dir: str) -> None:
    """Remove what dead hands left in the folder, once nothing of theirs lives: it is asked for again and again."""
    for one in kept(run_dir):
        if one.boot == boot_id() and (not one.can_be_told() or one.is_alive() or end_hands([one])):
            continue
        for path in (*Path(run_dir).glob(f"hands-{one.pid}.*"), Path(run_dir) / f"null.{one.pid}"):
            path.unlink(missing_ok=True)
    # Of hands that were killed before their brain had written them down, or after somebody had buried it.
    for path in Path(run_dir).glob("hands-*.sock"):
        pid = path.stem.partition("-")[2]
        if not path.with_suffix(".json").exists() and pid.isdigit() and look(int(pid)) is None:
            path.unlink(missing_ok=True)


def _children_of(names: set[str]) -> list[Process]:
    """Find interpreters that were started by these hands, and all below them."""
    if not names:
        return []
    people = everybody()
    return with_descendants(people, [pid for pid, process in people.items() if process.hands in names])
