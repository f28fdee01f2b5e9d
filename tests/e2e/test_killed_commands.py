"""Every command that writes is killed at every moment at which something has just reached the disk, and said again."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.faults import strace
from tests.invariants import check_databases

# What makes something last. Between two of these nothing changes that the next command would find.
CALLS = ("fsync", "fdatasync", "unlink", "rename", "mkdir")
# Of a call that is made so often that it would take minutes, every second or third.
OFTEN = 6
DEFINITIONS = """
defaults = { max_attempts = 1 }
[jobs]
Fine = "echo fine"
Broken = "echo broken; exit 3"
"""
COMMANDS = {
    "cancel": ("cancel", "10", "11"),
    "retry": ("retry", "7", "8"),
    "edit": ("edit", "10", "--priority", "5"),
    "rm": ("rm", "1", "2", "7", "--yes"),
    "sweep": ("sweep", "--older-than", "0s", "--keep-last", "0", "--yes"),
    "backup": ("db", "backup", "copy.db", "--yes"),
    "export": ("db", "export", "--logs", "all.jsonl", "--yes"),
    "import": ("--db", "new/kiribi.db", "db", "import", "kept.jsonl"),
    "publish": ("def", "publish"),
}


@pytest.fixture
def history(kiribi):
    """Six jobs that completed, three that failed, three that wait, and an export of them; not to be written to."""
    kiribi.define(DEFINITIONS)
    for name in ("Fine",) * 6 + ("Broken",) * 3:
        kiribi.ok("enqueue", name)
    kiribi("worker", "--drain")
    for _ in range(3):
        kiribi.ok("enqueue", "Fine", "--in", "9d")
    kiribi.ok("db", "export", "kept.jsonl")
    (kiribi.folder / "new").mkdir()
    return kiribi


@pytest.mark.slow
@pytest.mark.needs("strace")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_killed_at_any_moment_and_said_again_ends_as_if_it_had_not_been_killed(history, tmp_path, command):
    words = COMMANDS[command]
    log = tmp_path / "log"
    whole = _copy(history, "whole")
    assert history(*words, cwd=whole, under=strace(log, trace=",".join(CALLS), follow=False)).returncode == 0
    moments = Counter(re.findall(r"^(\w+)\(", log.read_text(), re.MULTILINE))
    wanted = _seen(history, whole)

    killed = 0
    for call, times in moments.items():
        for turn in range(1, times + 1, -(-times // OFTEN)):
            place = _copy(history, "cut")
            done = history(*words, cwd=place, under=strace(log, f"{call}:signal=KILL:when={turn}", follow=False))
            killed += done.returncode == -9
            check_databases(_databases(place))
            _again(history, words, place)
            assert _seen(history, place) == wanted, f"killed at {call} {turn}"
    # What is kept below HOME is there the second time.
    assert killed >= max(1, len(moments) - 1)


@pytest.mark.needs("strace")
@pytest.mark.parametrize("call", ["mkdir", "link", "unlink", "write", "fsync"])
def test_an_init_that_was_killed_leaves_a_whole_jobs_toml_or_none(kiribi, tmp_path, call):
    for turn in (1, 2, 5, 6):
        place = tmp_path / f"fresh-{turn}"
        place.mkdir()
        kiribi("init", cwd=place, under=strace(tmp_path / "log", f"{call}:signal=KILL:when={turn}", follow=False))
        whole = (place / "jobs.toml").exists()

        assert kiribi("init", cwd=place).returncode == (5 if whole else 0)
        assert kiribi.ok("check", cwd=place) == kiribi.ok("enqueue", "Hello", "-s", cwd=place) == ""
        kept = {".gitignore", "kiribi.db", "run", "kiribi.db-wal", "kiribi.db-shm", "logs"}
        assert {path.name for path in (place / ".kiribi").iterdir()} <= kept
        assert sorted(path.name for path in place.iterdir()) == [".kiribi", "jobs.toml"]


def _copy(kiribi, name: str) -> Path:
    place = kiribi.folder.parent / name
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(kiribi.folder, place, ignore=shutil.ignore_patterns("*.sock"))
    return place


def _databases(place: Path) -> list[Path]:
    # Nothing but the file itself: what is in no database yet has no rules.
    return [path for path in (*place.glob("**/kiribi.db"), *place.glob("copy.db")) if path.stat().st_size]


def _again(kiribi, words, place: Path) -> None:
    """Say it once more; where all was done already, it says so."""
    done = kiribi(*words, cwd=place)

    assert done.returncode in (0, 3, 5, 9), done.stderr
    assert "Traceback" not in done.stderr


def _seen(kiribi, place: Path) -> dict[str, object]:
    """What a user can see afterwards: the files by name, and the jobs with what was printed. Caches come and go."""
    files = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    seen: dict[str, object] = {"files": {name for name in files if not re.search(r"-wal$|-shm$|/run/|\.cache$", name)}}
    for name in (*place.glob("**/kiribi.db"), *place.glob("copy.db")):
        fields = "id,status,attempts,max_attempts,priority,error"
        jobs = kiribi.ok("--db", name, "ls", "--json", "--fields", fields, cwd=place)
        seen[str(name.relative_to(place))] = json.loads(jobs)
    return seen
