"""Files: whatever is made is its owner's alone from its first moment, and what others could have made is not trusted."""

import os
import re
import shutil
import stat
from pathlib import Path

import pytest

from tests.conftest import Kiribi
from tests.data.databases import put

# open(2) and friends, with the mode they are given; what is bound to a name takes its mode from the umask alone.
MAKING = "open,openat,openat2,creat,mkdir,mkdirat,mknod,mknodat,bind,chmod,fchmod,fchmodat,umask,symlink,link,linkat"
_PID = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\w+)")
NOBODY = 65_534
# By the test, not by kiribi.
MADE_HERE = {"told.py", "jobs.toml"}
JOBS = """
[worker]
concurrency = 2
[logs]
compress_after = "0s"
[jobs.Told]
command = ["sh", "-c", "echo 7 > $KIRIBI_RESULT_FILE; echo 0.5 > $KIRIBI_PROGRESS_FILE; seq 3000; test -s $KIRIBI_PAYLOAD_FILE"]
log_max = "2KB"
[jobs.Shell]
shell = "cat; echo on >&2"
[jobs.Call]
python = "told:call"
"""
CALL = "def call(value):\n    print('called')\n    return value\n"


def breaches(log: Path, under: Path) -> list[str]:
    """Calls in a trace that gave others a right, if only for a moment."""
    found, masks, made = [], {}, set()
    for line in log.read_text("utf-8", "replace").splitlines():
        match = _PID.match(line)
        if not match or match[4].startswith("-"):
            continue
        pid, call, arguments, _ = match.groups()
        path = next(iter(re.findall(r'"([^"]*)"', arguments)), "")
        if call == "umask":
            masks[pid] = int(arguments, 8)
        # A socket whose path would be too long is bound through a descriptor of its folder.
        is_here = path.startswith((str(under), "/proc/self/fd/")) if call == "bind" else path.startswith(str(under))
        if not is_here or path in made or _is_a_jobs_own(path):
            continue
        modes = [int(word, 8) for word in re.findall(r", (0[0-7]*)(?:$|,)", arguments)]
        if call == "bind":
            modes = [0o777 & ~masks.get(pid, 0)]
        if "O_CREAT" not in arguments and call.startswith("open"):
            continue
        if any(mode & 0o077 for mode in modes):
            found.append(f"{call}({arguments}) under {masks.get(pid, 0):03o}")
        else:
            # SQLite names a mode also where it opens what is there.
            made.add(path)
    return found


def _is_a_jobs_own(path: str) -> bool:
    """What a job or its interpreter makes under its umask: in a folder of ours it is out of reach all the same."""
    return re.search(r"/\.kiribi/run/\d+\.(result|progress)$|/__pycache__", path) is not None


def open_to_others(folder: Path) -> dict[str, str]:
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in folder.rglob("*") if not path.is_symlink()}
    return {str(path): f"{mode:o}" for path, mode in modes.items() if mode & 0o077 and not _is_a_jobs_own(str(path))}


def live(kiribi: Kiribi, under: list[str], umask: int) -> None:
    """A whole life: made, filled, worked on, swept, copied, migrated, published."""

    def run(*command: object, stdin: str = "", **options: object) -> str:
        return kiribi.ok(*command, stdin=stdin, under=under, umask=umask, **options)

    run("init")
    jobs = kiribi.folder / "jobs.toml"
    jobs.write_text(JOBS)
    (kiribi.folder / "told.py").write_text(CALL)
    run("enqueue", "Told", "-p", '{"n": 1}')
    run("enqueue", "Shell", "--batch", "-", stdin='{"n": 2}\n')
    run("enqueue", "Call", "value=3")
    run("worker", "--drain", "--log-file", "worker.log", "--pidfile", "worker.pid", "-s")
    run("run", "--", "true")
    run("def", "publish")
    run("sweep", "--yes", "--logs-only")
    for command in (
        ("db", "backup", "copy.db"),
        ("db", "export", "copy.jsonl"),
        ("db", "export", "--logs", "all.jsonl"),
    ):
        run(*command)
    run("--db", "other.db", "db", "import", "all.jsonl")
    run("--db", "deep/er/kiribi.db", "enqueue", "Told")
    shutil.rmtree(kiribi.folder / ".kiribi")
    put(1, kiribi.folder)
    run("db", "migrate")
    run("def", "add", "New", "--", "true")


@pytest.mark.needs("strace")
def test_everything_made_in_a_whole_life_is_its_owners_alone_from_its_first_moment(kiribi, tmp_path):
    kiribi.folder.chmod(0o700)
    log = tmp_path / "trace"
    live(
        kiribi,
        ["strace", "-A", "-f", "-qq", "-s", "4096", "-o", str(log), "-e", f"trace={MAKING}", "-e", "signal=none"],
        0,
    )

    assert breaches(log, tmp_path) == []
    assert {
        path: mode for path, mode in open_to_others(kiribi.folder).items() if Path(path).name not in MADE_HERE
    } == {}
    assert log.read_text().count("O_CREAT") > 50


@pytest.mark.needs("setpriv")
@pytest.mark.parametrize("umask", [pytest.param(0o077, marks=pytest.mark.slow), 0o777])
def test_a_whole_life_goes_well_under_any_umask(kiribi, umask):
    # Root may open what nobody may; without that right it is a user as any other.
    live(kiribi, ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else [], umask)

    assert {
        path: mode for path, mode in open_to_others(kiribi.folder).items() if Path(path).name not in MADE_HERE
    } == {}


@pytest.mark.needs("root")
@pytest.mark.parametrize("place", [".kiribi", ".kiribi/run", ".kiribi/logs"])
@pytest.mark.parametrize("whose", ["everyone", "a stranger"])
def test_a_folder_that_others_could_have_made_is_not_worked_in(kiribi, place, whose):
    kiribi.define(JOBS)
    folder = kiribi.folder / place
    folder.mkdir(mode=0o700, parents=True)
    if whose == "everyone":
        folder.chmod(0o777)
    else:
        os.chown(folder, NOBODY, NOBODY)
    refused = kiribi("worker", "--drain")

    assert refused.returncode == 9
    assert refused.stderr.startswith(f"Error: refusing {folder}: ")
    assert len(refused.stderr.splitlines()) == 2
    assert [path for path in folder.rglob("*") if not path.is_dir() and "kiribi.db" not in path.name] == []


@pytest.mark.parametrize("command", ["enqueue Told", "ls", "worker --drain", "run -- true", "db info", "sweep --yes"])
def test_a_default_folder_that_everyone_can_write_to_is_refused_by_all(kiribi, command):
    kiribi.define(JOBS)
    kiribi.ok("enqueue", "Told")
    (kiribi.folder / ".kiribi").chmod(0o777)
    refused = kiribi(*command.split())

    assert refused.returncode == (125 if command.startswith("run") else 9), refused.stderr
    assert f"everyone can write to the folder {kiribi.folder}/.kiribi" in refused.stderr


def test_links_where_our_files_would_be_are_not_followed(kiribi, tmp_path):
    kiribi.define(JOBS)
    kiribi.ok("enqueue", "Shell")
    target = tmp_path / "target"
    target.write_text("mine")
    state = kiribi.folder / ".kiribi"
    for name in (
        "logs/1",
        "run/1.payload",
        "run/1.result",
        "run/1.progress",
        "run/null",
        "run/swept",
        "run/line",
        "run/sweep.lock",
    ):
        (state / name).parent.mkdir(mode=0o700, exist_ok=True)
        (state / name).symlink_to(target)
    kiribi("worker", "--drain", "-s")
    kiribi("sweep", "--yes")
    kiribi.ok("enqueue", "Shell")

    assert target.read_text() == "mine"
    assert target.lstat().st_mtime <= (state / "run").stat().st_mtime
