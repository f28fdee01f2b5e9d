"""Names that few have thought of: bytes that are not UTF-8, a thousand characters, none of one's business."""

import os
import signal
import subprocess

import pytest

# What a folder on a disk of another age is called.
ODD = os.fsdecode(b"caf\xe9")
SHOWN = "caf\\udce9"
LONG = "x" * 5_000
BIG = "9" * 20
JOBS = """
[jobs.Where]
command = ["pwd"]
[jobs.Lost]
command = ["true"]
cwd = "gone"
[jobs.Raise]
python = "mine:where"
max_attempts = 1
[jobs.Good]
command = ["true"]
"""


@pytest.fixture
def odd(kiribi):
    """A program whose folder has a name that is not UTF-8."""
    kiribi.folder = kiribi.folder / ODD
    kiribi.folder.mkdir()
    (kiribi.folder / "mine.py").write_text("import os\ndef where(): raise ValueError(os.getcwd())\n")
    kiribi.define(JOBS)
    return kiribi


def test_jobs_run_and_end_truthfully_in_a_folder_whose_name_is_not_utf_8(odd):
    jobs = [odd.ok("enqueue", name) for name in ("Where", "Lost", "Raise")]
    jobs.append(odd.ok("enqueue", "--", f"./{ODD}"))
    odd.ok("worker", "--drain")
    told = [odd.json("show", job) for job in jobs]

    assert [one["status"] for one in told] == ["completed", "failed", "failed", "failed"]
    assert f"{SHOWN}/gone does not exist" in told[1]["error"]["message"]
    assert told[2]["error"]["message"].endswith(SHOWN)
    assert told[3]["error"]["message"] == f"./{SHOWN} does not exist"
    assert told[0]["attempt_list"][0]["cwd"].endswith(SHOWN)


def test_a_command_from_such_a_folder_does_not_kill_the_worker_of_another(kiribi):
    elsewhere = kiribi.folder / ODD
    elsewhere.mkdir()
    kiribi.define(JOBS)
    kiribi.ok("enqueue", "--", "pwd", cwd=elsewhere)
    kiribi.ok("enqueue", "Good")
    kiribi.ok("worker", "--drain")

    assert [job["status"] for job in kiribi.json("ls")] == ["completed", "completed"]


def test_a_database_in_such_a_folder_can_be_copied_and_moved(odd):
    odd.ok("enqueue", "Where")
    odd.ok("db", "backup", f"{ODD}.db")
    odd.ok("db", "export", f"{ODD}.jsonl")
    odd.ok("--db", "new.db", "db", "import", f"{ODD}.jsonl")

    assert odd.ok("--db", f"{ODD}.db", "ls", "-q") == odd.ok("--db", "new.db", "ls", "-q") == "1"


def test_what_is_wrong_with_a_jobs_toml_in_such_a_folder_reaches_those_who_ask_its_worker(odd, eventually):
    worker = odd.worker()
    odd.define("[jobs.Where]\n")
    worker.send_signal(signal.SIGHUP)

    def told():
        return odd.json("ps")[0]["config_error"]

    assert SHOWN in eventually(told)
    assert worker.poll() is None


# arguments, exit code, words of the sentence
REFUSED = [
    (["-c", LONG, "ls"], 2, ["too long"]),
    (["--db", LONG, "ls"], 2, ["too long"]),
    (["check", LONG], 2, ["too long"]),
    (["db", "export", LONG], 2, ["too long"]),
    (["db", "backup", LONG], 2, ["too long"]),
    (["show", "9" * 100_000], 2, ["999", "…"]),
    (["worker", "--name", ODD], 2, [SHOWN]),
    (["worker", "--name", ""], 2, ["--name"]),
    (["def", "add", "New", "--", ODD], 2, ["UTF-8"]),
    (["events", "--id", "-"], 2, ["one id"]),
    (["events", "--from-seq", BIG], 2, ["--from-seq"]),
    (["ls", "--before", BIG], 2, ["--before"]),
    (["retry", "1", "--more", BIG], 2, ["--more"]),
    (["db", "backup", ""], 2, ["is a folder"]),
    (["--db", "none.db", "db", "backup", "copy.db"], 7, ["none.db"]),
    (["duplicate", "1", "--edit", "-p", "nonsense"], 6, ["not JSON"]),
]


@pytest.mark.parametrize(
    ("arguments", "code", "words"), REFUSED, ids=lambda value: "-" if isinstance(value, list) else str(value)[:20]
)
def test_a_name_that_cannot_be_used_is_refused_in_a_sentence_of_readable_length(kiribi, arguments, code, words):
    kiribi.define(JOBS)
    kiribi.ok("enqueue", "Good")
    done = kiribi(*arguments)

    assert (done.returncode, done.stdout) == (code, "")
    assert [word for word in ("Error: ", *words) if word not in done.stderr] == []
    assert len(done.stderr) < 3_000


@pytest.mark.needs("setpriv", "root")
def test_a_folder_that_may_not_be_entered_is_told(kiribi):
    kiribi.define(JOBS)
    kiribi.folder.chmod(0o700)
    done = kiribi(
        "-c",
        kiribi.folder / "jobs.toml",
        "ls",
        cwd="/",
        under=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
    )

    assert done.returncode == 2
    assert "Permission denied" in done.stderr


def shell(kiribi, line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", line], cwd=kiribi.folder, env=kiribi.environment, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(("words", "code"), [("show -", 2), ("enqueue Good --batch -", 2), ("enqueue Good -p -", 6)])
def test_what_never_ends_is_refused_after_its_beginning(kiribi, words, code):
    kiribi.define(JOBS)
    kiribi.ok("enqueue", "Good")
    done = shell(kiribi, f"tr '\\0' x < /dev/zero | kiribi {words}")

    assert done.returncode == code
    assert done.stderr.startswith("Error: ")
    assert kiribi.json("ls", "--count") == {"count": 1}


@pytest.mark.parametrize("words", ["check -", "db import -", "enqueue Good -p -", "enqueue Good --batch -"])
def test_a_closed_stdin_is_told(kiribi, words):
    kiribi.define(JOBS)
    done = shell(kiribi, f"kiribi {words} <&-")

    assert done.returncode == 2
    assert "stdin is closed" in done.stderr
