"""Many at once: everything that people, scripts and workers do to one database, all of it at the same time."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.conftest import KIRIBI, Kiribi, eventually, processes_of

pytestmark = pytest.mark.needs("bash", "sqlite3")

JOBS = """
[worker]
poll = "1s"
[jobs.Note]
shell = 'echo "$KIRIBI_JOB_ID" >> ledger'
[jobs.Talk]
shell = 'i=0; while [ $i -lt 60 ]; do i=$((i + 1)); echo "line $i"; sleep 0.05; done'
priority = 10
[jobs.Later]
command = ["true"]
[jobs.Swept]
command = ["true"]
"""
MB = 1024 * 1024
# What nobody may ever see. Of the ways to end: done, some of several refused, not there (deleted meanwhile), conflict.
TROUBLE = re.compile(r"is locked|is busy|malformed|damaged|Traceback|did not expect|mistake in kiribi", re.IGNORECASE)
LEGAL = {0, 1, 3, 5}
LINES = [f"line {number}" for number in range(1, 61)]

# Each of these is a shell of its own. `try` runs a command, and writes down how long it took and how it ended.
PRELUDE = """
try() {
    local began=$EPOCHREALTIME code=0
    "$@" || code=$?
    local ended=$EPOCHREALTIME
    echo "$((${ended/./} - ${began/./})) $code ${*:1:3}" >> "tries-$who"
}
"""
# They all begin when their stdin ends.
ENQUEUER = """
read -r _
for n in 1 2 3; do try "$KIRIBI" enqueue Note from="$who" >> "ids-$who"; done
for n in 1 2 3 4 5 6 7 8; do echo "{\\"from\\": \\"$who\\"}"; done | try "$KIRIBI" enqueue Note --batch - >> "ids-$who"
for n in 1 2; do
    try sqlite3 -cmd '.timeout 30000' -cmd '.output /dev/null' -cmd 'PRAGMA wal_autocheckpoint=0' -cmd '.output' .kiribi/kiribi.db "begin immediate; insert into enqueue(job) values ('Note');
        select max(id) from v_jobs; commit" >> "ids-$who"
done
"""
LOOPS = {
    "person": """
        id=$(try "$KIRIBI" enqueue Later --in 1h --tag theirs)
        try "$KIRIBI" edit "$id" --priority 7
        try "$KIRIBI" cancel "$id"
        try "$KIRIBI" retry "$id" --in 1h
        try "$KIRIBI" duplicate "$id" --in 2h
        try "$KIRIBI" rm "$id" --force --yes""",
    "meddler": """
        try "$KIRIBI" cancel @last:Later
        try "$KIRIBI" retry --tag theirs --status cancelled --in 1h --yes
        try "$KIRIBI" rm --tag theirs --status cancelled --yes""",
    "sweeper": """
        try "$KIRIBI" enqueue Swept
        try "$KIRIBI" sweep --job Swept --older-than 0s --yes""",
    "keeper": """
        try "$KIRIBI" db verify
        try "$KIRIBI" db backup copy.db --yes
        try "$KIRIBI" db vacuum
        try "$KIRIBI" recover""",
    "looker": """
        try "$KIRIBI" ls --json --limit 20
        try "$KIRIBI" stats --by job
        try "$KIRIBI" ps
        try "$KIRIBI" why @last
        try "$KIRIBI" show @last:Note --events""",
    "comer": """
        try "$KIRIBI" worker --max-jobs 5 --max-time 1s -j 2 -s""",
}  # fmt: skip
# Those that look at a terminal, until they are interrupted.
WATCHERS = ("ls --watch", "stats --watch", "ps --watch")


@dataclass(frozen=True)
class Size:
    """How many of each. `loops`: as each person, sweeper and so on comes."""

    workers: int
    slots: int
    enqueuers: int
    followers: int
    loops: tuple[str, ...]


SMALL = Size(2, 4, 10, 1, ("sweeper", "looker"))
LARGE = Size(6, 4, 50, 2, ("person", "person", "meddler", "sweeper", "keeper", "looker", "comer"))


class Crowd:
    """Everybody who is at it, and what they left behind."""

    def __init__(self, kiribi: Kiribi, size: Size) -> None:
        self.kiribi = kiribi
        self.folder = kiribi.folder
        self.size = size
        self.longest_wal = 0
        self.shown: dict[str, bytes] = {}
        self._over = threading.Event()
        self._files = contextlib.ExitStack()

    def comes(self) -> None:
        """Let everybody in, and return when all that was enqueued has run and everybody has left."""
        self.kiribi.define(JOBS)
        talk = self.kiribi.ok("enqueue", "Talk")
        workers = [self._begins("worker", "worker", "-j", self.size.slots) for _ in range(self.size.workers)]
        sampler = threading.Thread(target=self._sample)
        sampler.start()
        followers = [self._follows(talk, number) for number in range(self.size.followers)]
        events = self._begins("events", "events", "-f", "--from-seq", "1", "--jsonl")
        watchers = [self._watches(words) for words in WATCHERS[: self.size.followers + 1]]
        loops = [self._loops(what, number) for number, what in enumerate(self.size.loops)]
        enqueuers = [self._bash(f"enqueuer{number}", ENQUEUER) for number in range(self.size.enqueuers)]
        self.began = time.monotonic()
        for each in enqueuers:
            each.stdin.close()
        for each in enqueuers:
            assert each.wait(120) == 0
        self.took = time.monotonic() - self.began
        (self.folder / "stop").touch()
        for each in [*loops, *followers]:
            assert each.wait(60) == 0
        self.kiribi.ok("wait", "--job", "Note", "--timeout", "60s")
        self._leaves(events, *watchers, *workers)
        self._over.set()
        sampler.join()
        self._files.close()

    def _leaves(self, events: subprocess.Popen[bytes], *others: subprocess.Popen[bytes]) -> None:
        last = self.kiribi.json("events", "--type", "job.completed")[-1]["seq"]
        eventually(lambda: any(event["seq"] == last for event in self.events()))
        for each in (events, *others):
            each.send_signal(signal.SIGINT)
        self.ends = Counter(each.wait(60) for each in (events, *others))

    # -- what they do
    def _bash(self, who: str, script: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            ["bash", "-c", PRELUDE + script], cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=self._file(f"stderr-{who}"), start_new_session=True,
            env=self.kiribi.environment | {"who": who, "KIRIBI": str(KIRIBI)},
        )  # fmt: skip
        self.kiribi.started.append(process)
        return process

    def _loops(self, what: str, number: int) -> subprocess.Popen[bytes]:
        return self._bash(f"{what}{number}", f"while [ ! -e stop ]; do {LOOPS[what]}\ndone")

    def _follows(self, job: str, number: int) -> subprocess.Popen[bytes]:
        return self._begins(f"follower{number}", "logs", "-f", job)

    def _begins(self, who: str, *words: object) -> subprocess.Popen[bytes]:
        return self.kiribi.start(*words, stdout=self._file(f"stdout-{who}"), stderr=self._file(f"stderr-{who}"))

    def _watches(self, words: str) -> subprocess.Popen[bytes]:
        ours, theirs = pty.openpty()
        process = self.kiribi.start(*words.split(), stdout=theirs, stderr=theirs, env={"TERM": "xterm"})
        os.close(theirs)
        self.shown[words] = b""
        threading.Thread(target=self._reads, args=(ours, words)).start()
        return process

    def _reads(self, terminal: int, words: str) -> None:
        # Read to the end, which on Linux is an error.
        with contextlib.suppress(OSError):
            while block := os.read(terminal, 65536):
                self.shown[words] += block
        os.close(terminal)

    def _sample(self) -> None:
        wal = self.folder / ".kiribi" / "kiribi.db-wal"
        while not self._over.wait(0.02):
            with contextlib.suppress(OSError):
                self.longest_wal = max(self.longest_wal, wal.stat().st_size)

    def _file(self, name: str) -> int:
        return self._files.enter_context((self.folder / name).open("ab", buffering=0)).fileno()

    # -- what they left
    def troubles(self) -> list[str]:
        """Whatever somebody was told that nobody should be told, and ends that no command should have come to."""
        told = [(path.name, path.read_text("utf-8", "replace")) for path in self.folder.glob("std*-*")]
        told += [(words, shown.decode("utf-8", "replace")) for words, shown in self.shown.items()]
        lines = [f"{who}: {line}" for who, text in told for line in text.splitlines() if TROUBLE.search(line)]
        return lines + [
            f"{who}: exit {code}: {words}" for who, _, code, words in self.tries() if not _is_legal(who, code)
        ]

    def tries(self) -> Iterator[tuple[str, int, int, str]]:
        """Who, microseconds, exit code, words."""
        for path in self.folder.glob("tries-*"):
            for line in path.read_text().splitlines():
                took, code, words = line.split(" ", 2)
                yield path.name.removeprefix("tries-"), int(took), int(code), words

    def printed_ids(self) -> list[int]:
        return [int(word) for path in self.folder.glob("ids-*") for word in path.read_text().split()]

    def ledger(self) -> Counter[int]:
        return Counter(int(word) for word in (self.folder / "ledger").read_text().split())

    def events(self) -> list[dict[str, object]]:
        text = (self.folder / "stdout-events").read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def report(self) -> str:
        """The longest waits, for whoever reads the output of the tests."""
        slowest: dict[str, int] = {}
        for who, took, _, words in self.tries():
            kind = " ".join(
                [who.rstrip("0123456789") + ":", *(word for word in words.split()[1:] if not word.isdigit())]
            )
            slowest[kind] = max(slowest.get(kind, 0), took)
        rows = [f"{took / 1000:8.0f} ms  {kind}" for kind, took in sorted(slowest.items(), key=lambda row: -row[1])]
        head = f"WAL at most {self.longest_wal / MB:.1f} MB, all enqueued after {self.took:.1f} s; slowest of each:"
        return "\n".join([head, *rows[:12], ""])


def _is_legal(who: str, code: int) -> bool:
    # Two people act on the same jobs, and remove some that others look at; nobody else has a reason to be refused.
    if who.startswith(("person", "meddler")):
        return code in LEGAL
    return code in (0, 3) if who.startswith("looker") else code == 0


@pytest.fixture(params=["fixed", "old"])
def driver(request, kiribi, tmp_path):
    """Which SQLite: as it is, or Python's own, said to be one with the WAL-reset bug."""
    if request.param == "old":
        old = tmp_path / "old" / "pysqlite3"
        old.mkdir(parents=True)
        (old / "__init__.py").touch()
        (old / "dbapi2.py").write_text("from sqlite3.dbapi2 import *\nsqlite_version_info = (3, 40, 1)\n")
        kiribi.environment["PYTHONPATH"] = str(old.parent)
    return request.param


@pytest.mark.parametrize(
    "size", [pytest.param(SMALL, id="small"), pytest.param(LARGE, id="large", marks=pytest.mark.slow)]
)
def test_a_crowd_sees_no_lock_and_every_job_runs_once(kiribi, driver, size):
    crowd = Crowd(kiribi, size)
    crowd.comes()
    sys.stdout.write(crowd.report())

    assert crowd.troubles() == []
    ids = crowd.printed_ids()
    assert len(ids) == size.enqueuers * 13
    assert crowd.ledger() == Counter(ids) == Counter(set(ids))
    assert crowd.longest_wal < 64 * MB
    # Watchers are interrupted, workers stop.
    assert crowd.ends == {0: size.workers, 130: 1 + len(crowd.shown)}
    for path in crowd.folder.glob("stdout-follower*"):
        assert path.read_text().splitlines() == LINES
    assert min(shown.count(b"\x1b[H") for shown in crowd.shown.values()) >= 1
    seqs = [event["seq"] for event in crowd.events()]
    assert seqs == sorted(set(seqs))
    told = Counter((event["id"], event["type"]) for event in crowd.events() if event["id"] in set(ids))
    assert told == Counter((id_, f"job.{move}") for id_ in ids for move in ("enqueued", "started", "completed"))
    assert eventually(lambda: not processes_of(crowd.folder.parent))
