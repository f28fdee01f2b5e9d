"""Databases that cannot be used, outputs that cannot be written, machines without a terminal or a locale."""

import contextlib
import hashlib
import json
import shlex
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.conftest import eventually

DEFINITIONS = """
[worker]
min_free = "1MB"
[jobs.Any]
command = ["true"]
[jobs.Gate]
shell = "while [ ! -e go ]; do sleep 0.05; done; touch gone"
[jobs.Echo]
command = ["echo", "{payload.text}"]
"""
A_BUG = "Traceback (most recent call last)"


@pytest.fixture
def one_job(kiribi):
    kiribi.define(DEFINITIONS)
    kiribi.ok("enqueue", "Any")
    return kiribi


def shell(kiribi, line: str, **options) -> subprocess.CompletedProcess[str]:
    """Run a line of bash with `kiribi` on PATH; the exit code of a pipe is that of its first failing part."""
    environment = kiribi.environment | options.pop("env", {})
    return subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-c", line],
        cwd=kiribi.folder, env=environment, capture_output=True, text=True, errors="replace", timeout=60, **options,
    )  # fmt: skip


def is_one_sentence(done, code: int, *words: str) -> None:
    assert done.returncode == code, f"exit {done.returncode}\n{done.stderr}"
    assert done.stderr.startswith("Error: "), done.stderr
    assert A_BUG not in done.stderr
    assert [word for word in words if word not in done.stderr] == [], done.stderr


@pytest.mark.needs("root")
def test_on_a_full_disk_enqueue_says_so_and_the_queue_is_whole_when_there_is_room_again(one_job, small_disk):
    db = ("--db", small_disk.path / "q" / "kiribi.db")
    assert one_job.ok(*db, "enqueue", "Any") == "1"
    small_disk.fill()
    text = "x" * 200_000
    done = one_job(*db, "enqueue", "Echo", "-p", "-", stdin=f'{{"text": "{text}"}}')
    is_one_sentence(done, 7, "full", "Hint: ")
    small_disk.empty()

    assert one_job.ok(*db, "ls", "--count") == "1"
    assert one_job.ok(*db, "enqueue", "Any") == "2"
    one_job.ok(*db, "db", "verify")


@pytest.mark.needs("root")
def test_below_min_free_a_worker_claims_nothing_and_why_says_so(one_job, small_disk, eventually):
    environment = {"KIRIBI_DB": str(small_disk.path / "q" / "kiribi.db")}
    one_job.environment |= environment
    one_job.ok("enqueue", "Any")
    small_disk.fill(leave=500_000)
    worker = one_job.worker()
    eventually(lambda: one_job.json("why", 1)["code"] == "disk_full")
    small_disk.empty()

    eventually(lambda: one_job.status(1) == "completed")
    assert worker.poll() is None


@pytest.mark.needs("root")
def test_what_ended_while_the_disk_was_full_is_stored_when_there_is_room(one_job, small_disk, eventually):
    one_job.environment |= {"KIRIBI_DB": str(small_disk.path / "q" / "kiribi.db")}
    one_job.ok("enqueue", "Gate")
    one_job.worker()
    eventually(lambda: one_job.status(1) == "running")
    small_disk.fill()
    (one_job.folder / "go").touch()
    eventually((one_job.folder / "gone").exists)
    small_disk.empty()
    eventually(lambda: one_job.status(1) != "running")

    job = one_job.json("show", 1)
    assert (job["status"], job["attempts"]) == ("completed", 1)
    one_job.ok("db", "verify")


def _run_on(small_disk, kiribi, eventually, **options):
    """A `kiribi run` whose job ends with 7, once there is a file called go."""
    shell = "touch up; while [ ! -e go ]; do sleep 0.05; done; exit 7"
    database = small_disk.path / "kiribi.db"
    run = kiribi.start("--db", database, "run", "--", "sh", "-c", shell, stderr=subprocess.PIPE, text=True, **options)
    eventually((kiribi.folder / "up").exists)
    small_disk.fill()
    (kiribi.folder / "go").touch()
    assert "trying for 60 s" in run.stderr.readline()
    return run


@pytest.mark.needs("root")
def test_a_run_that_ends_while_the_disk_is_full_is_recorded_when_there_is_room(kiribi, small_disk, eventually):
    run = _run_on(small_disk, kiribi, eventually)
    small_disk.empty()

    assert run.wait() == 7
    job = kiribi.json("--db", small_disk.path / "kiribi.db", "show", "@last")
    assert (job["status"], job["exit_code"]) == ("failed", 7)


@pytest.mark.needs("root")
def test_a_run_that_cannot_be_recorded_has_the_exit_code_of_its_job_all_the_same(kiribi, small_disk, eventually):
    run = _run_on(small_disk, kiribi, eventually)
    run.send_signal(signal.SIGTERM)
    _, told = run.communicate()
    small_disk.empty()

    assert "it will be taken for lost" in told
    assert A_BUG not in told
    assert run.returncode == 7
    assert "recover" in kiribi("--db", small_disk.path / "kiribi.db", "doctor").stdout


def test_a_newer_database_is_refused_and_not_touched(one_job):
    path = one_job.folder / ".kiribi" / "kiribi.db"
    _sql(path, "PRAGMA journal_mode = DELETE", "PRAGMA user_version = 999")
    before = hashlib.sha256(path.read_bytes()).digest()
    for command in (["ls"], ["enqueue", "Any"], ["worker", "--drain"], ["stats"], ["db", "migrate"], ["retry", "1"]):
        is_one_sentence(one_job(*command), 7, "newer")

    assert hashlib.sha256(path.read_bytes()).digest() == before


@pytest.mark.parametrize(
    "content",
    [b"this is a shopping list, not a database\n" * 50, b"\x00" * 4096, b"SQLite format 3\x00" + b"\x11" * 5000],
)
def test_a_file_that_is_no_database_is_refused_and_not_touched(one_job, content):
    path = one_job.folder / "list.db"
    path.write_bytes(content)
    for command in (["ls"], ["enqueue", "Any"], ["worker", "--drain"]):
        is_one_sentence(one_job("--db", path, *command), 7, "list.db")

    assert path.read_bytes() == content


def test_somebody_elses_sqlite_database_is_refused_and_not_touched(one_job):
    path = one_job.folder / "music.db"
    _sql(path, "CREATE TABLE songs (title TEXT)")
    before = path.read_bytes()
    for command in (["ls"], ["enqueue", "Any"], ["worker", "--drain"]):
        is_one_sentence(one_job("--db", path, *command), 7, "music.db")

    assert path.read_bytes() == before


def test_a_folder_in_the_place_of_the_database_is_refused(one_job):
    (one_job.folder / "folder.db").mkdir()

    for command in (["ls"], ["enqueue", "Any"]):
        is_one_sentence(one_job("--db", "folder.db", *command), 7, "folder.db")


@pytest.mark.needs("setpriv")
def test_a_database_that_may_not_be_written_is_refused_with_a_sentence(one_job):
    # Root writes wherever it likes unless it gives up its capabilities.
    plain = "setpriv --inh-caps=-all --bounding-set=-all -- " if _is_root() else ""
    state = one_job.folder / ".kiribi"
    shell(one_job, "chmod a-w .kiribi .kiribi/*")
    done = shell(one_job, f"{plain}kiribi enqueue Any")
    state.chmod(0o700)
    shell(one_job, "chmod u+w .kiribi/*")

    is_one_sentence(done, done.returncode, "kiribi.db")
    assert done.returncode in {7, 9}
    assert one_job.ok("ls", "--count") == "1"


def test_a_database_locked_for_a_while_makes_enqueue_wait_and_then_succeed(one_job, eventually):
    connection = _locked(one_job)
    racer = one_job.start("enqueue", "Any", stdout=subprocess.PIPE)
    eventually(lambda: b"kiribi" in _command_line(racer.pid))
    assert one_job.ok("ls", "--count") == "1"  # readers never wait
    connection.rollback()

    assert racer.communicate(timeout=30) == (b"2\n", None)


@pytest.mark.slow
def test_a_database_locked_for_too_long_is_told_from_a_broken_one(one_job):
    connection = _locked(one_job)
    done = one_job("enqueue", "Any", timeout=120)
    connection.rollback()

    is_one_sentence(done, 7, "kiribi.db", "Hint: ")
    assert one_job.ok("ls", "--count") == "1"


def test_a_worker_whose_database_was_deleted_stops_and_says_so(one_job, eventually):
    with (one_job.folder / "said").open("wb") as said:
        worker = one_job.worker(stderr=said)
    eventually(lambda: one_job.status(1) == "completed")
    shell(one_job, "rm -r .kiribi")
    one_job("enqueue", "Any")

    assert worker.wait(60) == 7
    assert (one_job.folder / "said").read_text().startswith("Error: ")


@pytest.mark.parametrize(
    "locale",
    [
        {"LANG": "C", "LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"LC_ALL": "xx_XX.nonsense"},
    ],
)
def test_any_locale_can_show_any_text(one_job, locale):
    one_job.ok("enqueue", "Echo", "text=żółw ✓ 亀", "--tag", "déjà")
    one_job.ok("worker", "--drain", env=locale)

    for command in (
        ["ls"],
        ["--table", "ls"],
        ["show", "2"],
        ["--json", "show", "2"],
        ["logs", "2"],
        ["events"],
        ["stats"],
        ["why", "2"],
    ):
        done = one_job(*command, env=locale)
        assert (done.returncode, done.stderr) == (0, "") or command[0] == "--table", command
        assert A_BUG not in done.stderr
    assert one_job.json("show", "2", env=locale)["payload"] == {"text": "żółw ✓ 亀"}


@pytest.mark.parametrize(
    "command", ["ls", "ls --json", "ls --jsonl", "ls --table", "events", "--help", "help statuses", "logs 1"]
)
def test_a_reader_that_leaves_early_ends_it_quietly(one_job, command):
    one_job.ok("enqueue", "Any", "--batch", "-", stdin="{}\n" * 3000)
    one_job.ok("cancel", "1")
    done = shell(one_job, f"kiribi {command} | head -c 1 > /dev/null")

    assert done.stderr.replace("job 1 has no log yet", "") == "" or command == "logs 1"
    assert A_BUG not in done.stderr
    assert done.returncode in {0, 1, 3, 141}


@pytest.mark.parametrize(
    "command",
    ["ls", "--table ls", "show 1", "enqueue Any", "events", "def ls", "--help", "help statuses"],
)
def test_a_full_output_is_an_error_in_one_sentence(one_job, command):
    done = shell(one_job, f"kiribi {command} > /dev/full")

    assert done.returncode not in {0, 120}
    assert done.stderr.startswith("Error: "), done.stderr
    assert len(done.stderr.splitlines()) <= 2


def test_a_full_output_is_an_error_that_programs_can_read(one_job):
    done = shell(one_job, "kiribi --json ls > /dev/full")

    assert json.loads(done.stderr)["error"]["exit_code"] == done.returncode == 1


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize("command", ["ls", "enqueue Any", "show 99", "worker --drain", "run -- true"])
def test_closed_descriptors_are_survived(one_job, command, closed):
    done = shell(one_job, f"kiribi {command} {closed}")

    assert A_BUG not in done.stderr
    assert "Fatal Python error" not in done.stderr
    assert one_job.ok("db", "verify") is not None
    assert done.returncode in ({3} if command == "show 99" else {0, 1}), done.stderr


def test_a_run_whose_stdout_is_closed_ends_with_its_job(one_job):
    done = shell(one_job, "timeout -s KILL 20 kiribi run -- sh -c 'echo lost; exit 3' >&-")

    assert done.returncode == 3, done.stderr


def test_an_enqueue_whose_output_is_closed_stores_its_job(one_job):
    shell(one_job, "kiribi enqueue Any >&-")

    assert one_job.ok("ls", "--count") == "2"


@pytest.mark.parametrize(
    "environment",
    [
        "env -i",
        "env -i HOME=/nonexistent",
        "env -u HOME",
        "env HOME=relative",
        "env TERM=dumb",
        "env COLUMNS=banana",
        "env TZ=Nowhere/Land",
    ],
)
def test_a_bare_environment_is_enough(one_job, environment):
    kiribi = shell(one_job, "command -v kiribi").stdout.strip()
    for command in ("ls", "enqueue Any", "show 1", "stats", "config path"):
        done = shell(one_job, f"{environment} {shlex.quote(kiribi)} {command}")
        assert (done.returncode, A_BUG in done.stderr) == (0, False), done.stderr


def test_a_folder_that_was_deleted_is_told(one_job):
    done = shell(one_job, "mkdir gone; cd gone; rmdir ../gone; kiribi ls")

    is_one_sentence(done, done.returncode)
    assert done.returncode == 2


def test_without_a_terminal_nothing_is_asked(one_job):
    for command in (["rm", "1"], ["cancel", "--status", "pending"], ["sweep", "--older-than", "0s"], ["edit", "1"]):
        done = one_job(*command, timeout=20)
        assert (done.returncode in {2, 5, 9}, A_BUG in done.stderr) == (True, False), done
    assert one_job.status(1) == "pending"


def test_ctrl_c_while_waiting_exits_130_and_leaves_the_job_alone(one_job, eventually):
    with (one_job.folder / "said").open("wb") as said:
        waiting = one_job.start("wait", "1", stderr=said)
    eventually(lambda: _has_opened_the_database(waiting.pid))
    waiting.send_signal(signal.SIGINT)

    assert waiting.wait(20) == 130
    assert A_BUG not in (one_job.folder / "said").read_text()
    assert one_job.status(1) == "pending"


def _is_root() -> bool:
    return subprocess.run(["id", "-u"], capture_output=True, check=True).stdout == b"0\n"


def _sql(path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement).fetchall()


def _locked(kiribi) -> sqlite3.Connection:
    connection = sqlite3.connect(kiribi.folder / ".kiribi" / "kiribi.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return connection


def _command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _has_opened_the_database(pid: int) -> bool:
    try:
        return any("kiribi.db" in str(descriptor.readlink()) for descriptor in Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:
        return False  # closed between the two looks


def test_a_run_of_what_is_to_be_adopted_leaves_no_launcher_behind(one_job):
    (one_job.folder / "jobs.toml").write_text('[jobs.Any]\ncommand = ["true"]\non_worker_death = "adopt"\n')
    done = shell(one_job, "kiribi run Any")

    assert done.returncode == 0, done.stderr
    eventually(lambda: not launchers_of(one_job.folder))


def launchers_of(folder):
    """The launchers that write into this folder."""
    told = subprocess.run(["ps", "ax", "-o", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in told if "launcher import main" in line and f"{folder}/" in line]
