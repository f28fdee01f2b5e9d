"""Any command line in this process, thousands of them: a folder as it was before each, streams of its own, a bound of time."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from kiribi_cli.cli.main import main
from tests.conftest import KIRIBI, PATH

JOBS = """
[queues]
mail = { concurrency = 2 }
[jobs.Any]
command = ["true"]
[jobs.Greet]
command = ["echo", "--", "{payload.name}"]
params = { name = "string", times = { type = "integer", min = 1, default = 1 } }
[jobs.Checked]
command = ["true"]
queue = "mail"
payload_schema = { type = "object", required = ["user"], properties = { user = { type = "integer" } } }
[jobs.Bad]
command = ["false"]
tags = ["x"]
"""
# What made the history: two ended well, one waits for its next attempt, the others were never begun.
HISTORY = (
    "enqueue Any", "enqueue Bad --tag y", "enqueue Greet name=é", "worker --drain --silent", "enqueue Any --in 1h",
    "enqueue Checked user:=1", "enqueue --unique k -- true",
)  # fmt: skip
INTERRUPTED = 130
# kiribi help exit-codes; 1 is also what an unexpected end looks like, so that one is told by its words.
CODES = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 124}
A_BUG = "met something that it did not expect"
# What files do not expect.
SPLICES = st.sampled_from(
    [b"\0", b"\xff", b"\xef\xbb\xbf", b"\r\n", b"\n\n", b'"', b"'''", b"=", b"[", b"]]", b"{", b"}", b"#", b"\\", b"\\u0000", b"\\ud800", b",", b".",
     b"9" * 400, b"1e400", b"nan", b"-inf", b"1979-05-27", b"true", b"{payload.", b"[" * 200, b"a." * 200, b"x" * 100_000, "é".encode("latin-1"),
     "[jobs.É]\n".encode("utf-16"), b"\x1b[2J", b"[jobs]\n", b"[jobs.Backup]\n", b"[defaults]\ntimeout = 1\n", b"= 1979\n"]
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str
    took: float


class Desk:
    """A folder with a short history, which is put back before each command."""

    def __init__(self, folder: Path) -> None:
        self.kept, self.folder, self.home = folder / "kept", folder / "here", folder / "home"
        self.kept.mkdir()
        self.home.mkdir()
        self.environment = {"PATH": PATH, "HOME": str(self.home), "LANG": "C.UTF-8", "TZ": "UTC"}
        (self.kept / "jobs.toml").write_text(JOBS)
        (self.kept / "payload.json").write_text('{"a": 1}')
        (self.kept / "lines.jsonl").write_text('{"job": "Any"}\n{"job": "Greet", "payload": {"name": "x"}}\n')
        for line in HISTORY:
            subprocess.run(
                [KIRIBI, *line.split()], cwd=self.kept, env=self.environment, check=True, capture_output=True
            )
        self.database = (self.kept / ".kiribi" / "kiribi.db").read_bytes()

    def put_back(self) -> None:
        os.chdir(self.kept)
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.kept, self.folder, ignore=shutil.ignore_patterns("run"))
        os.chdir(self.folder)

    def rows(self) -> list[tuple[object, ...]]:
        """What must be as before when a command was refused."""
        with contextlib.closing(sqlite3.connect(self.folder / ".kiribi" / "kiribi.db")) as connection:
            counts = "SELECT count(*), max(id), (SELECT max(seq) FROM events) FROM jobs"
            return connection.execute(counts).fetchall()

    def __call__(self, *words: str, stdin: bytes = b"", within: float = 5.0) -> Answer:
        """Run a command in this process. One that waits gets its Ctrl-C after `within` seconds."""
        with _streams(stdin) as said:
            began = time.monotonic()
            code = _interrupted(list(words), within)
        return Answer(code, *(each.decode("utf-8", "replace") for each in said), time.monotonic() - began)


@contextlib.contextmanager
def _streams(stdin: bytes) -> Iterator[list[bytes]]:
    """Real descriptors 0, 1, 2; what was written to the last two is there at the end."""
    kept, streams, said = [os.dup(number) for number in range(3)], (sys.stdin, sys.stdout, sys.stderr), list[bytes]()
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        files[0].write(stdin)
        files[0].seek(0)
        for number, file in enumerate(files):
            os.dup2(file.fileno(), number)
        sys.stdin, sys.stdout, sys.stderr = (open(number, mode, closefd=False) for number, mode in enumerate("rww"))  # noqa: SIM115
        try:
            yield said
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            sys.stdin, sys.stdout, sys.stderr = streams
            for number, descriptor in enumerate(kept):
                os.dup2(descriptor, number)
                os.close(descriptor)
            for file in files[1:]:
                file.seek(0)
                said.append(file.read())


def _interrupted(words: list[str], within: float) -> int:
    """Run a command; interrupt it again and again if need be: a callback of the interpreter would swallow the first."""
    armed = [True]

    def interrupt(*_: object) -> None:
        if armed:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, within, 2)
    try:
        code = main(words)
        armed.clear()
    except KeyboardInterrupt:
        # As it came back.
        armed.clear()
        code = INTERRUPTED
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    return code


def unfair(answer: Answer, *words: str) -> str | None:
    """Say what is wrong with an answer, whatever was asked; None if nothing is."""
    lines = answer.err.splitlines()
    as_json = "--json" in words or "--jsonl" in words
    sentences = [line for line in lines if line.startswith("Error: ")]
    if A_BUG in answer.err:
        return "a bug: " + next(line for line in lines if A_BUG in line)
    if answer.code not in CODES:
        return f"exit {answer.code}"
    # In JSON the answer itself says what was refused, and so does that of `check`.
    if answer.code not in (0, 1, 124) and not answer.err.strip() and not as_json and words[:1] != ("check",):
        return f"exit {answer.code} without a word"
    if not as_json and (len(sentences) > 1 or sum(line.startswith("Hint: ") for line in lines) > 1):
        return "more than one sentence"
    if "\x1b" in answer.err:
        return "an escape sequence on stderr"
    if not as_json and max(map(len, lines), default=0) > 2_000:
        return "a line that nobody can read"
    return None


def fuzz(examples: int) -> settings:
    """Hypothesis for whole commands: they take as long as they take, and what fails can be repeated.

    FUZZ_TIMES=100 in the environment looks a hundred times as long.
    """
    examples *= int(os.environ.get("FUZZ_TIMES", "1"))
    return settings(max_examples=examples, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
