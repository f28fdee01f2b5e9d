"""What hard jobs run: trees of processes that are not easily ended, each of which writes down who it is.

trees.py KIND            as a job: first complain (file `overlaps`) if any process of an earlier attempt still lives
trees.py leaf LEDGER     one process of it, maybe without any environment
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

DEAF = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def lives(pid: int, ticks: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return fields[0] not in "ZX" and int(fields[19]) == ticks


def note(ledger: str) -> None:
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    with Path(ledger).open("a") as file:
        file.write(f"{os.getpid()} {ticks}\n")


def noted(path: Path) -> list[tuple[int, int]]:
    """Read who is written down in a ledger; a line that is still being written does not count."""
    lines = path.read_text().split("\n")[:-1]
    return [(int(pid), int(ticks)) for pid, ticks in (line.split() for line in lines)]


def complain_of_the_living(job: str, attempt: str) -> None:
    for path in Path().glob(f"ledger-{job}-*"):
        if path.name != f"ledger-{job}-{attempt}":
            for one in noted(path):
                if lives(*one):
                    with Path("overlaps").open("a") as file:
                        file.write(f"{path.name}: {one} lives when attempt {attempt} starts\n")


def be_deaf() -> None:
    for number in DEAF:
        signal.signal(number, signal.SIG_IGN)


def leaf(ledger: str, *, stopped: bool = False) -> None:
    be_deaf()
    note(ledger)
    if stopped:
        os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(600)
    os._exit(0)


def orphan(run: list[str] | None, ledger: str) -> None:
    """Start a process in a session of its own whose parents end at once."""
    middle = os.fork()
    if middle:
        os.waitpid(middle, 0)
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    if run is None:
        leaf(ledger)
    else:
        os.execve(run[0], run, {})


def chain(ledger: str) -> None:
    """Fork and exit, again and again: each process lives for five milliseconds. It ends by itself some time."""
    if os.fork():
        return
    os.setsid()
    be_deaf()
    note(ledger)
    for _ in range(4000):
        if os.fork():
            os._exit(0)
        time.sleep(0.005)
    os._exit(0)


def main() -> None:
    if sys.argv[1] == "leaf":
        leaf(sys.argv[2])
    job, attempt = os.environ["KIRIBI_JOB_ID"], os.environ["KIRIBI_ATTEMPT_ID"]
    ledger = f"ledger-{job}-{attempt}"
    complain_of_the_living(job, attempt)
    if os.environ["KIRIBI_ATTEMPT"] != "1":
        return
    cleared = [sys.executable, __file__, "leaf", ledger]
    match sys.argv[1]:
        case "sessions":
            subprocess.Popen(cleared, start_new_session=True)
            orphan(None, ledger)
        case "cleared":
            subprocess.Popen(cleared, env={}, start_new_session=True)
            subprocess.Popen(cleared, env={})
            orphan(cleared, ledger)
        case "stopped":
            for _ in range(2):
                if os.fork() == 0:
                    leaf(ledger, stopped=True)
        case "chain":
            chain(ledger)
    expected = {"sessions": 2, "cleared": 3, "stopped": 2, "chain": 1}[sys.argv[1]]
    while not Path(ledger).exists() or len(noted(Path(ledger))) < expected:
        time.sleep(0.01)
    leaf(ledger)


if __name__ == "__main__":
    main()
