"""What each command loads: milliseconds cannot be asserted on shared machines, modules can."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Kiribi, eventually

PROBE = """
import os, sys
def end(status, end=os._exit):
    sys.stderr.write("\\n" + " ".join(sorted(sys.modules)) + "\\n")
    sys.stderr.flush()
    end(status)
os._exit = end
from kiribi_cli.__main__ import main
main()
"""

# What no command that runs without a person needs: 5 to 60 ms each, or (OpenSSL) megabytes of a worker.
HEAVY = {
    "typer", "typer.completion", "typer._completion_classes", "typer.rich_utils", "rich", "croniter", "jsonschema",
    "asyncio", "filelock", "tomli_w", "dataclasses", "inspect", "hashlib", "_hashlib", "ssl", "logging", "difflib",
    "argparse", "ast", "tokenize", "uuid", "importlib.metadata", "multiprocessing", "concurrent.futures",
}  # fmt: skip

# What those that only look do not need either, as long as jobs.toml has not changed.
TO_LOOK = HEAVY | {
    "tomllib", "zoneinfo", "subprocess", "threading", "shutil", "tempfile", "socket", "select", "random",
    "kiribi_cli.config.read", "kiribi_cli.config.positions", "kiribi_cli.config.keys", "kiribi_cli.runner.hands",
    "kiribi_cli.worker.worker", "kiribi_cli.cli.command", "kiribi_cli.cli.render",
}  # fmt: skip

# Command: what must stay away, and how many modules there may be, of kiribi and in all.
LOADS = {
    "ls --json": (TO_LOOK, 68, 165),
    "ls": (TO_LOOK, 68, 165),
    "wait 1": (TO_LOOK, 60, 155),
    "show 1 --json": (TO_LOOK, 71, 165),
    "show 4 --json": (TO_LOOK, 71, 165),
    "logs 1": (TO_LOOK, 66, 165),
    "stats --json": (TO_LOOK, 62, 158),
    "why 1 --json": (TO_LOOK, 65, 158),
    # It may say a time of day.
    "why 4 --json": (TO_LOOK - {"zoneinfo"}, 65, 170),
    "enqueue Echo --in 9d": (HEAVY, 86, 200),
    "worker --drain": (HEAVY | {"subprocess", "threading", "zoneinfo", "shutil", "tempfile"}, 110, 220),
    "run -- true": (HEAVY | {"subprocess", "threading", "shutil", "tempfile"}, 122, 243),
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Kiribi:
    """A folder with two completed jobs, one failed and one pending one, and a jobs.toml whose form is kept."""
    folder, home = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("home")
    kiribi = Kiribi(folder, home)
    kiribi.define('redact = ["*pin*"]\n[jobs]\nEcho = "echo hello"\nBroken = "exit 65"\n')
    for name in ("Echo", "Echo", "Broken"):
        kiribi.ok("enqueue", name)
    kiribi.ok("worker", "--drain")
    kiribi.ok("enqueue", "Echo", "pin=1234")

    def is_kept() -> bool:
        kiribi.ok("config", "show")
        return (folder / ".kiribi" / "run" / "jobs.toml.cache").exists()

    # Nothing is kept of a file so young that somebody could edit it in this very tick of the clock.
    eventually(is_kept)
    return kiribi


def loaded(kiribi: Kiribi, line: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *line.split()], cwd=kiribi.folder, env=kiribi.environment, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("line", LOADS)
def test_a_command_loads_nothing_heavy_and_little_else(program: Kiribi, line: str) -> None:
    heavy, ours, most = LOADS[line]
    seen = loaded(program, line)

    assert "kiribi_cli.cli.main" in seen
    assert heavy & seen == set()
    assert len([name for name in seen if name.startswith("kiribi_cli")]) <= ours
    assert len(seen) <= most


@pytest.mark.parametrize("line", ["ls", "wait 1", "why 1", "stats", "ls --status failed"])
def test_jobs_toml_is_not_parsed_when_the_database_is_named(tmp_path: Path, program: Kiribi, line: str) -> None:
    # Where nothing is kept, nor can be.
    (tmp_path / "jobs.toml").write_text("[jobs]\nEcho = 'echo'\n")
    seen = loaded(program, f"{line} --db {program.folder}/.kiribi/kiribi.db -C {tmp_path}")

    assert "tomllib" not in seen


def test_what_was_kept_masks_as_jobs_toml_says(program: Kiribi) -> None:
    assert program.json("show", 4)["payload"] == {"pin": "***"}


def test_an_edited_jobs_toml_is_read_again(program: Kiribi) -> None:
    before = loaded(program, "show 4 --json")
    text = (program.folder / "jobs.toml").read_text()
    program.define(text.replace("*pin*", "*tin*"))
    after = loaded(program, "show 4 --json")

    assert "tomllib" in after - before
    assert program.json("show", 4)["payload"] == {"pin": "1234"}
