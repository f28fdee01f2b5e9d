"""`enqueue --wait` and its kind: the end of the job becomes the end of the command."""

import json
import signal
import subprocess

import pytest

from tests.conftest import Kiribi, eventually


@pytest.fixture
def served(kiribi: Kiribi) -> Kiribi:
    """A folder in which a worker runs."""
    kiribi.define('[jobs]\nEcho = "echo hello"\n')
    kiribi.worker("-j", "2", "-s")
    return kiribi


@pytest.mark.parametrize(
    ("options", "text", "code", "printed"),
    [
        (["--wait"], "exit 0", 0, "1\n"),
        (["--wait"], "exit 3", 1, "1\n"),
        (["--exit-code"], "exit 3", 3, "1\n"),
        (["--exit-code"], "kill -KILL $$", 137, "1\n"),
        (["--exit-code", "--timeout", "100ms"], "sleep 60", 124, "1\n"),
        (["--result"], 'echo \'{"a": 1}\' > "$KIRIBI_RESULT_FILE"', 0, '{"a": 1}\n'),
        (["--result"], 'echo plain > "$KIRIBI_RESULT_FILE"', 0, "plain\n"),
        (["--result"], "true", 0, ""),
        (["-f"], "echo one; echo two", 0, "one\ntwo\n"),
        (["-f", "--exit-code"], "echo one; exit 7", 7, "one\n"),
        (["--wait", "-s"], "exit 0", 0, ""),
    ],
)
def test_the_end_of_the_job_is_the_end_of_the_command(
    served: Kiribi, options: list[str], text: str, code: int, printed: str
) -> None:
    done = served("enqueue", *options, "--", "sh", "-c", text)

    assert (done.returncode, done.stdout) == (code, printed)


def test_following_says_the_id_on_stderr(served: Kiribi) -> None:
    assert served("enqueue", "-f", "Echo").stderr == "1\n"


def test_a_retry_is_waited_for(served: Kiribi) -> None:
    text = "test -e done || { touch done; exit 1; }"
    done = served("enqueue", "--wait", "--max-attempts", 2, "--backoff", "10ms", "--", "sh", "-c", text)

    assert done.returncode == 0
    assert served.json("show", 1)["attempts"] == 2


def test_json_is_the_job_as_it_ended(served: Kiribi) -> None:
    told = served.json("enqueue", "--wait", "--", "true")

    assert (told["id"], told["status"], told["exit_code"]) == (1, "completed", 0)


def test_when_time_runs_out_the_job_goes_on(served: Kiribi) -> None:
    done = served("enqueue", "--wait-timeout", "0.1", "--", "sleep", "60")

    assert (done.returncode, done.stdout) == (124, "1\n")
    eventually(lambda: served.status(1) == "running")


def test_an_interrupt_leaves_the_job_alone(served: Kiribi) -> None:
    process = served.start("enqueue", "--wait", "--", "sleep", "60", stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"1\n"
    eventually(lambda: served.status(1) == "running")
    process.send_signal(signal.SIGINT)

    assert process.wait() == 130
    assert served.status(1) == "running"


def test_the_worker_that_is_required_is_there(served: Kiribi) -> None:
    assert served.ok("enqueue", "Echo", "--require-worker") == "1"


def test_a_job_inside_a_job_names_its_parent(served: Kiribi) -> None:
    served.ok("enqueue", "--wait", "--", "kiribi", "enqueue", "--in", "1h", "--", "true")

    assert json.loads(served.ok("show", 2, "--json"))["parent"] == 1
