"""The benchmark runs, checks what it measured, and prints what a run wrote. Its figures are nobody's business here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]
PARTS = [
    "once",
    "enqueue",
    "loop",
    "crowd",
    "bulk",
    "drain",
    "callables",
    "latency",
    "sql",
    "idle",
    "backlog",
    "history",
]

# In a process of its own, since the benchmark is no module of the tests.
DUPLICATE = """
from pathlib import Path
from tests.bench.measure import WrongCountError, ran_once
Path("ran").write_text("0 1 1\\n1 1 1\\n1 1 1\\n")
try:
    ran_once(Path("."), 3)
except WrongCountError as error:
    print(error)
"""


def bench(*arguments: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "tests.bench", *map(str, arguments)]
    return subprocess.run(argv, cwd=TREE, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_every_part_runs_and_every_job_of_it_ran_once(tmp_path):
    done = bench("--size", "tiny", "--folder", tmp_path, "--json", tmp_path / "run.json", *PARTS)

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "run.json").read_text())
    assert (found["troubles"], list(dict.fromkeys(row["part"] for row in found["figures"]))) == ([], PARTS)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
    shown = bench("--table", tmp_path / "run.json").stdout
    assert all(row["what"] in shown for row in found["figures"] if row["who"] == "kiribi" and row["part"] != "history")


def test_a_job_that_ran_twice_is_noticed(tmp_path):
    argv = [sys.executable, "-c", DUPLICATE]
    done = subprocess.run(argv, cwd=tmp_path, env={"PYTHONPATH": str(TREE)}, capture_output=True, text=True, timeout=60)

    assert done.stdout == "found (3, 2), wanted (3, 3)\n"


def test_peers_that_do_not_exist_are_refused_by_name(tmp_path):
    done = bench("--folder", tmp_path, "--peers", "nobody", "once")

    assert (done.returncode, done.stderr.splitlines()[0].startswith("no such peer: nobody; there are: huey")) == (
        1,
        True,
    )
