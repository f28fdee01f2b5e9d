"""A desk: a folder with a history made by hand, a clock that stands still, and commands run in this process."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kiribi_cli import clock
from kiribi_cli.cli.main import main
from kiribi_cli.core.job import Problem
from kiribi_cli.core.settle import Complete, Fail, Retry
from kiribi_cli.store.base import Filter
from kiribi_cli.store.sqlite import SqliteStore
from tests.invariants import check_databases
from tests.store.hand import Hand, begun, job

# 2025-11-23T18:00:00Z
NOW = 1_763_920_800_000
JOBS = """
redact = ["*password*"]
[jobs.Mailer]
command = ["mail", "{to}"]
max_attempts = 5
[jobs.Import]
command = ["import"]
concurrency = 1
"""


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str


class Desk:
    """Commands in this process, at `now`; `store` and `hand` make history."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys
        self.now = NOW
        self.store = SqliteStore.open(folder / ".kiribi" / "kiribi.db", create=True)
        self.hand = Hand(self.store, "web1:8123")

    def __call__(self, *words: object) -> Answer:
        self.capsys.readouterr()
        code = main([str(word) for word in words])
        said = self.capsys.readouterr()
        return Answer(code, said.out, said.err)

    def json(self, *words: object) -> Any:
        answer = self("--json", *words)
        assert answer.code == 0, answer.err
        return json.loads(answer.out)

    def enqueue(self, name: str = "Mailer", **values: Any) -> int:
        new = {"created_at": self.now, "run_at": self.now, "origin_by": "deploy@web1", "max_attempts": 5} | values
        return self.store.insert([job(name, **new)], now=self.now)[0].id

    def log(self, attempt_id: int, *pieces: tuple[str, int, bytes]) -> None:
        """Write a log as the hands do: (stream, milliseconds after NOW, bytes)."""
        logs = self.folder / ".kiribi" / "logs"
        logs.mkdir(exist_ok=True)
        with (logs / str(attempt_id)).open("ab") as file:
            for stream, after, data in pieces:
                file.write(b"%b %d %d\n%b" % (stream.encode(), NOW + after, len(data), data))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    """An empty history beside a jobs.toml."""
    for name in [name for name in os.environ if name.startswith("KIRIBI_") or name in ("NO_COLOR", "FORCE_COLOR")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "jobs.toml").write_text(JOBS)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".kiribi").mkdir(mode=0o700)
    made = Desk(tmp_path, capsys)
    monkeypatch.setattr(clock, "now_ms", lambda: made.now)
    yield made
    made.store.close()
    made.hand.lock.close()
    check_databases([tmp_path / ".kiribi" / "kiribi.db"])


@pytest.fixture
def history(desk: Desk) -> Desk:
    """1 completed at the second attempt, 2 failed, 3 running, 4 scheduled, 5 pending; all seen two minutes later."""
    first = desk.enqueue(payload='{"to": "ops@example.com", "db_password": "hunter2"}', tags='["digest"]', priority=10)
    attempt = desk.hand.claim_one(NOW + 1_000)
    broken = Problem("exit", "connection closed\x1b]0;owned\x07", "a91c04d2")
    desk.hand.end(
        attempt, Retry(NOW + 9_000), NOW + 2_100, exit_code=1, error=broken, log_bytes=9, started_at=NOW + 1_000
    )
    again = desk.hand.claim_one(NOW + 9_000)
    desk.hand.end(
        again, Complete(), NOW + 10_200, exit_code=0, result='{"sent": 3}', started_at=NOW + 9_000, duration_ms=1_200
    )
    second = desk.enqueue("Import", max_attempts=1)
    claim = desk.hand.claim_one(NOW + 20_000)
    desk.hand.end(claim, Fail("attempts_used"), NOW + 50_000, outcome="timed_out", duration_ms=30_000,
                  error=Problem("timed_out", "timed out after 30s", "5eed0001"))  # fmt: skip
    third = desk.enqueue("Import", max_attempts=1)
    live = desk.hand.claim_one(NOW + 79_000)
    desk.store.turn(
        desk.hand.id, now=NOW + 79_000, began=[begun(live, NOW + 79_000)], progress=[(live.attempt_id, "0.7 rows 7000")]
    )
    fourth = desk.enqueue(run_at=NOW + 30_000_000)
    fifth = desk.enqueue(queue="mail")
    assert (
        [first, second, third, fourth, fifth]
        == [1, 2, 3, 4, 5]
        == sorted(j.id for j in desk.store.find(Filter(), now=NOW))
    )
    desk.now = NOW + 120_000
    # Its worker lives and is heard.
    desk.store.heartbeat(desk.hand.id, state="running", now=desk.now)
    return desk
