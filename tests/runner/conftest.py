"""Hands that run real processes in a folder of their own, and everything they leave behind ended afterwards."""

import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from kiribi_cli.core.definition import Definition
from kiribi_cli.core.outcome import Ended
from kiribi_cli.runner.hands import Hands
from kiribi_cli.runner.launch import Launch, Place, Progressed, Report, Started, Work
from kiribi_cli.runner.output import read
from kiribi_cli.runner.prepare import prepare
from kiribi_cli.runner.process import end_leftovers, look

ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nowhere", "LANG": "C.UTF-8", "SECRET": "not inherited"}


class Bench:
    """One launcher and what a worker would do with it. Attempts are numbered from 1."""

    def __init__(self, folder: Path, *, slots: int | None = None, environ: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.files = folder / "run"
        self.logs.mkdir(exist_ok=True)
        self.files.mkdir(exist_ok=True)
        self.db = str(folder / "kiribi.db")
        self.place = Place(environ or ENVIRONMENT, sys.executable, str(folder / "jobs.toml"), self.db)
        self.hands = Hands.start(logs_dir=str(self.logs), run_dir=str(self.files), db_path=self.db, slots=slots)
        self.seen: list[Report] = []
        self.last = 0

    def launch(self, definition: Definition, **work: Any) -> Launch | Ended:
        self.last += 1
        work.setdefault("job_id", self.last)
        return prepare(
            definition,
            Work(
                attempt_id=self.last,
                job=definition.name,
                queue="default",
                attempt=1,
                max_attempts=3,
                attempts_left=2,
                run_at=1_763_920_800_000,
                **work,
            ),
            self.place,
        )

    def start(self, command: str | tuple[str, ...], *, work: dict[str, Any] | None = None, **rules: Any) -> int:
        """Start a shell text, or an argv, under a definition with these rules; give the attempt's number."""
        kind = (
            {"kind": "shell", "shell": command} if isinstance(command, str) else {"kind": "command", "command": command}
        )
        return self.start_as(Definition(**{"name": "Test", "cwd": str(self.folder), **kind, **rules}), **work or {})

    def python(self, target: str, *, work: dict[str, Any] | None = None, **rules: Any) -> int:
        """Start a callable of a module in the folder."""
        definition = Definition(**{"name": "Py", "kind": "python", "python": target, "cwd": str(self.folder), **rules})
        return self.start_as(definition, **work or {})

    def start_as(self, definition: Definition, **work: Any) -> int:
        launch = self.launch(definition, **work)
        if isinstance(launch, Ended):
            self.seen.append(launch)
        else:
            self.hands.start_many([launch])
        return self.last

    def module(self, name: str, text: str) -> None:
        (self.folder / f"{name}.py").write_text(text)

    def look(self, within: float = 0.1) -> None:
        """Take what there is to hear, waiting for something at most so long."""
        select.select([self.hands], [], [], within)
        self.seen += self.hands.reports()

    def all(self, kind: type[Any], attempt: int) -> list[Any]:
        return [report for report in self.seen if isinstance(report, kind) and report.attempt_id == attempt]

    def ended(self, attempt: int) -> Ended | None:
        self.look()
        found = self.all(Ended, attempt)
        assert len(found) < 2, "an attempt ends once"
        return found[0] if found else None

    def started(self, attempt: int) -> Started | None:
        self.look()
        return next(iter(self.all(Started, attempt)), None)

    def progress(self, attempt: int) -> list[str]:
        self.look()
        return [report.text for report in self.all(Progressed, attempt)]

    def log(self, attempt: int, stream: str | None = None) -> bytes:
        pieces = read(self.logs / str(attempt), stream=stream)  # type: ignore[arg-type]
        return b"".join(piece.data for piece in pieces)


@pytest.fixture
def make_bench() -> Iterator[Callable[..., Bench]]:
    """Start hands with other settings, or more than one."""
    made: list[Bench] = []

    def make(folder: Path, **settings: Any) -> Bench:
        made.append(Bench(folder, **settings))
        return made[-1]

    yield make
    for one in made:
        clear_away(one)


@pytest.fixture
def bench(tmp_path: Path, make_bench: Callable[..., Bench]) -> Bench:
    return make_bench(tmp_path)


@pytest.fixture
def run(bench: Bench, eventually: Callable[..., Any]) -> Callable[..., Ended]:
    """Start a command and wait for its end."""

    def run(command: str | tuple[str, ...], **rules: Any) -> Ended:
        attempt = bench.start(command, **rules)
        return eventually(lambda: bench.ended(attempt))  # type: ignore[no-any-return]

    return run


@pytest.fixture
def call(bench: Bench, eventually: Callable[..., Any]) -> Callable[..., Ended]:
    """Call a Python function and wait for its end."""

    def call(target: str, **rules: Any) -> Ended:
        attempt = bench.python(target, **rules)
        return eventually(lambda: bench.ended(attempt))  # type: ignore[no-any-return]

    return call


def clear_away(bench: Bench) -> None:
    """End the launcher and whatever its attempts left."""
    bench.hands.close()
    send_kill(bench.hands.pid)
    left = end_leftovers(set(range(1, bench.last + 1)), bench.db)
    assert left == []


def send_kill(pid: int) -> None:
    """Kill a launcher that a test started, and wait until it is gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


@pytest.fixture
def is_running() -> Callable[[int], bool]:
    """Tell whether a process lives; a zombie does not."""

    def is_running(pid: int) -> bool:
        process = look(pid)
        return process is not None and process.state not in "ZX"

    return is_running


@pytest.fixture
def pid_in(bench: Bench, eventually: Callable[..., Any]) -> Callable[[str], int]:
    """Wait for a pid that a process writes into a file of the folder."""

    def written(path: Path) -> int:
        return int(text) if path.exists() and (text := path.read_text()).endswith("\n") else 0

    return lambda name: eventually(lambda: written(bench.folder / name))  # type: ignore[no-any-return]
