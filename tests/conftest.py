"""What tests share: the installed `kiribi` in a folder and an environment of its own, `eventually`, and missing tools."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.invariants import check_databases, check_nothing_left, processes_of

# Beside the interpreter that runs the tests, so that it is the one under test and not another on PATH.
KIRIBI = Path(sys.executable).parent / "kiribi"
PATH = f"{KIRIBI.parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


class Kiribi:
    """The installed program in one fresh folder. Whatever it leaves running is ended when the test is over."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.home = home
        self.started: list[subprocess.Popen[bytes]] = []
        self._named: set[Path] = {folder / ".kiribi/kiribi.db", home / ".local/state/kiribi/kiribi.db"}
        self.environment = {"PATH": PATH, "HOME": str(home), "LANG": "C.UTF-8", "TZ": "UTC"}

    def define(self, text: str) -> Path:
        """Write jobs.toml."""
        path = self.folder / "jobs.toml"
        path.write_text(text)
        return path

    def __call__(
        self, *arguments: object, stdin: str | bytes = b"", **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end, whatever the exit code; stdout and stderr are text. `under`: what is put before, as strace."""
        given = stdin if isinstance(stdin, bytes) else stdin.encode("utf-8", "surrogateescape")
        argv = self._argv(arguments, options.pop("under", ()))
        done = subprocess.run(argv, input=given, capture_output=True, **self._settings(options))
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
        )

    def ok(self, *arguments: object, **options: Any) -> str:
        """Run, expect exit 0, return stdout without the last newline."""
        done = self(*arguments, **options)
        assert done.returncode == 0, f"{done.args}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout.removesuffix("\n")

    def json(self, *arguments: object, **options: Any) -> Any:
        """Run with --json, expect exit 0, return the document."""
        return json.loads(self.ok("--json", *arguments, **options))

    def start(self, *arguments: object, **options: Any) -> subprocess.Popen[bytes]:
        """Start in the background in a session of its own; output is dropped unless asked for."""
        settings = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        argv = self._argv(arguments, options.pop("under", ()))
        settings |= self._settings(options, timeout=None)
        self.started.append(subprocess.Popen(argv, start_new_session=True, **settings))
        return self.started[-1]

    def worker(self, *arguments: object, **options: Any) -> subprocess.Popen[bytes]:
        """Start a worker and return once `kiribi ps` shows it."""
        process = self.start("worker", *arguments, **options)
        eventually(lambda: process.poll() is not None or self._serves(process.pid))
        assert process.poll() is None, f"the worker ended at once with {process.returncode}"
        return process

    def drain(self) -> None:
        """Work until every job has ended; what is tried again may be due in a moment only."""

        def nothing_is_left() -> bool:
            self.ok("worker", "--drain", "-s")
            return self.ok("ls", "--status", "active", "--count") == "0"

        eventually(nothing_is_left)

    def status(self, job: object) -> str:
        """Say the status of a job."""
        return str(self.json("show", job)["status"])

    def _serves(self, pid: int) -> bool:
        seen = self("--json", "ps")
        return seen.returncode == 0 and any(worker["pid"] == pid for worker in json.loads(seen.stdout))

    def databases(self) -> list[Path]:
        """Every database that the test can have made: those in their usual places, and what it named with --db."""
        return sorted(
            {path.resolve() for path in (*self._named, *self.folder.glob("**/.kiribi/*.db")) if os.path.exists(path)}  # noqa: PTH110  (a name too long is none)
        )

    def end(self) -> None:
        """End whatever still runs. Called again it finds nothing to do."""
        # Not the parent of `folder`: a test may go elsewhere.
        _end_everything_in(self.home.parent)
        for process in self.started:
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()

    def _argv(self, arguments: tuple[object, ...], under: Sequence[str]) -> list[str]:
        for word, following in pairwise(arguments):
            if word == "--db" and "\0" not in str(following):
                self._named.add(self.folder / str(following))
        return [*under, str(KIRIBI), *(str(argument) for argument in arguments)]

    def _settings(self, options: dict[str, Any], timeout: float | None = 60) -> dict[str, Any]:
        settings = {"cwd": self.folder, **options, "env": self.environment | options.get("env", {})}
        if named := settings["env"].get("KIRIBI_DB"):
            self._named.add(self.folder / named)
        if timeout is not None:
            settings.setdefault("timeout", timeout)
        return settings


def eventually(check: Callable[[], Any], within: float = 30.0) -> Any:
    """Ask again and again until the answer is true, and return it; fail after `within` seconds with the last answer."""
    deadline = time.monotonic() + within
    while not (answer := check()):
        if time.monotonic() > deadline:
            pytest.fail(f"still {answer!r} after {within:g} s")
        time.sleep(0.02)
    return answer


def _end_everything_in(folder: Path) -> None:
    def one_round() -> bool:
        left = processes_of(folder)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return not left

    eventually(one_round)


@pytest.fixture(name="eventually")
def _eventually() -> Callable[..., Any]:
    return eventually


@pytest.fixture
def kiribi(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kiribi]:
    """The installed `kiribi` in an empty folder, with a HOME of its own and no KIRIBI_ variable.

    At the end nothing may be left running but what the test itself started and left so, and `kiribi db verify` must
    find nothing. A test that breaks a database on purpose is marked `damages`, one that leaves jobs without a worker
    `leaves_running`.
    """
    folder, home = tmp_path / "here", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    program = Kiribi(folder, home)
    yield program
    try:
        if request.node.get_closest_marker("leaves_running") is None:
            check_nothing_left(tmp_path)
    finally:
        program.end()
    if request.node.get_closest_marker("damages") is None:
        check_databases(program.databases())


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose tool is missing, saying which Debian package has it; in CI that is a failure."""
    for marker in item.iter_markers("needs"):
        for tool in marker.args:
            if tool == "root" and os.geteuid() != 0:
                pytest.skip("needs root")
            if tool != "root" and shutil.which(tool, path=PATH) is None:
                reason = f"needs the program {tool} of Debian"
                pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
