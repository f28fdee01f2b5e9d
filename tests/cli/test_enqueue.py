"""What `kiribi enqueue` promises: one id, safe on disk; or one clear sentence, and nothing written."""

import json
import os
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import KIRIBI, Kiribi

JOBS = """
[queues]
mail = { priority = 5, max_attempts = 7 }
slow = {}
[jobs]
Echo = "echo hello"
Copy = ["cp", "--", "{payload.from}", "{payload.files...}"]
[jobs.Import]
command = ["./import", "{payload.customer}"]
params = { customer = "integer", full = { type = "boolean", default = false }, note = { type = "string", required = false } }
unique = "{payload.customer}"
[jobs.Once]
command = ["true"]
unique = true
[jobs.Mail]
command = ["true"]
queue = "mail"
priority = 9
tags = ["daily"]
timeout = "1m"
unique = { key = "{payload.to}", on_conflict = "error" }
"""


@pytest.fixture
def jobs(kiribi: Kiribi) -> Kiribi:
    kiribi.define(JOBS)
    return kiribi


def database(kiribi: Kiribi) -> Path:
    return kiribi.folder / ".kiribi" / "kiribi.db"


def rows(kiribi: Kiribi) -> list[dict[str, Any]]:
    """Read the table as it is."""
    if not database(kiribi).exists():
        return []
    connection = sqlite3.connect(database(kiribi))
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute("SELECT * FROM jobs ORDER BY id")]
    finally:
        connection.close()


def refused(kiribi: Kiribi, code: int, *arguments: object, **options: Any) -> str:
    """Run, expect this exit code, one error and nothing written; return stderr."""
    before = len(rows(kiribi))
    done = kiribi("enqueue", *arguments, **options)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr
    assert len(rows(kiribi)) == before
    return done.stderr


def test_prints_the_id_alone_and_ids_count_up(jobs: Kiribi) -> None:
    printed = [jobs("enqueue", "Echo") for _ in range(3)]

    assert [(done.stdout, done.stderr) for done in printed] == [("1\n", ""), ("2\n", ""), ("3\n", "")]


def test_the_payload_is_kept_byte_for_byte(jobs: Kiribi) -> None:
    text = '{"b": 1.00,  "a": "\\u00e4é"}'
    jobs.ok("enqueue", "Echo", "--payload", text)

    assert rows(jobs)[0]["payload"] == text


@pytest.mark.parametrize(
    ("words", "payload"),
    [
        (["user=42", "name=a b"], '{"user":"42","name":"a b"}'),
        (["user:=42", "on:=true", "list:=[1, 2]"], '{"user":42,"on":true,"list":[1, 2]}'),
        (["text=@file.txt"], '{"text":"line 1\\nline 2\\n"}'),
        (["rows:=@file.json"], '{"rows":[1, 2]}'),
        (["-p", '{"a": 1, "b": 2}', "b=x"], '{"a": 1, "b": "x"}'),
        (["-p", "@file.json"], "[1, 2]\n"),
    ],
)
def test_every_door_of_the_payload(jobs: Kiribi, words: list[str], payload: str) -> None:
    (jobs.folder / "file.txt").write_text("line 1\nline 2\n")
    (jobs.folder / "file.json").write_text("[1, 2]\n")
    jobs.ok("enqueue", "Echo", *words)

    assert rows(jobs)[0]["payload"] == payload


def test_the_payload_comes_from_stdin_where_a_dash_asks_for_it(jobs: Kiribi) -> None:
    jobs.ok("enqueue", "Echo", "-p", "-", stdin='{"a": 1}')

    assert rows(jobs)[0]["payload"] == '{"a": 1}'


def test_values_take_the_declared_type_and_defaults_are_written_in(jobs: Kiribi) -> None:
    jobs.ok("enqueue", "Import", "customer=7", "note=8")

    assert json.loads(rows(jobs)[0]["payload"]) == {"customer": 7, "note": "8", "full": False}


def test_every_problem_of_a_payload_is_told_at_once(jobs: Kiribi) -> None:
    told = refused(jobs, 6, "Import", "customer=x", "colour=red")

    assert 'customer  must be an integer, got "x"' in told
    assert "colour    is not a parameter" in told


@pytest.mark.parametrize(
    "payload",
    ["{bad", "", '{"a":1,"a":2}', "[NaN]", "[1e999]", '"\\ud800"', '"\\u0000"', "9223372036854775808", "[" * 65 + "]" * 65,
     '{"a-b": 1, "a_b": 2}'],
)  # fmt: skip
def test_a_bad_payload_is_refused(jobs: Kiribi, payload: str) -> None:
    refused(jobs, 6, "Echo", "-p", payload)


def test_a_payload_beyond_the_limit_is_refused(jobs: Kiribi) -> None:
    refused(jobs, 6, "Echo", "-p", "-", stdin='"' + "x" * 1_048_576 + '"')


@pytest.mark.parametrize("words", [["from=a"], ["files:=[1]"], ["from:=null", "files:=[]"], ["from=a", "files:=[[1]]"]])
def test_a_placeholder_without_a_value_is_refused(jobs: Kiribi, words: list[str]) -> None:
    told = refused(jobs, 6, "Copy", *words)

    assert "{payload." in told


@pytest.mark.parametrize(
    ("code", "words", "told"),
    [
        (3, ["Ecko"], 'Did you mean "Echo"?'),
        (3, ["Echo", "--queue", "mial"], 'Did you mean "mail"?'),
        (2, ["Echo", "--queue", "no good"], "no name for a queue"),
        (2, ["Echo", "--priority", "1001"], "-1000 to 1000"),
        (2, ["Echo", "--max-attempts", "0"], "1 to 1000"),
        (2, ["Echo", "--in", "soon"], "not a duration"),
        (2, ["Echo", "--at", "never"], "not a time"),
        (2, ["Echo", "--in", "1s", "--at", "now"], "--in and --at"),
        (2, ["Echo", "--timeout", "0"], "--timeout"),
        (2, ["Echo", "--backoff", "10s.."], "not a duration"),
        (2, ["Echo", "--tag", "a b"], "no tag"),
        (2, ["Echo", "--unique", ""], "the key is empty"),
        (2, ["Echo", "--while", "pending"], "--while needs a key"),
        (2, ["Echo", "--unique", "k", "--while", "ever"], "none of pending"),
        (2, ["Echo", "--unique", "k", "--on-conflict", "shout"], "neither skip nor error"),
        (2, ["Echo", "--env", "A=b"], "--env is for commands"),
        (2, ["Echo", "--cwd", "/"], "--cwd is for commands"),
        (2, ["Echo", "word"], "not KEY=VALUE"),
        (2, ["Echo", "a=1", "a=2"], "given twice"),
        (2, ["Echo", "-p", "@nofile"], "cannot read nofile"),
        (2, ["Echo", "--", "ls"], "a command after --"),
        (2, ["--", ""], "the command is empty"),
        (2, ["--env", "NOT_THERE", "--", "ls"], "no such variable"),
        (2, ["--env", "1A=b", "--", "ls"], "no name for a variable"),
        (2, [], "what is to be enqueued?"),
        (2, ["Echo", "--batch", "-", "a=1"], "--batch takes everything"),
        (2, ["Echo", "--batch", "-", "--on-error", "go"], "--on-error"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(jobs: Kiribi, code: int, words: list[str], told: str) -> None:
    assert told in refused(jobs, code, *words)


@pytest.mark.parametrize(
    "words", [["--mutex", "k"], ["--after", "1"], ["--after-failure", "1"], ["--after-finish", "1"],
              ["--unique", "k", "--on-conflict", "replace"]],
)  # fmt: skip
def test_what_comes_later_is_refused_with_a_sentence(jobs: Kiribi, words: list[str]) -> None:
    assert "not supported by this version" in refused(jobs, 2, "Echo", *words)


def test_a_broken_file_is_refused(jobs: Kiribi) -> None:
    jobs.ok("enqueue", "Echo")
    jobs.define("[jobs\n")

    refused(jobs, 4, "Echo")


def test_options_beat_the_definition(jobs: Kiribi) -> None:
    jobs.ok(
        "enqueue", "Mail", "to=a", "--queue", "slow", "--priority", -3, "--tag", "x", "--tag", "daily",
        "--max-attempts", 2, "--timeout", "5m", "--expires", "1h", "--backoff", "1s,2s",
    )  # fmt: skip
    row = rows(jobs)[0]

    assert (row["queue"], row["priority"], row["tags"], row["max_attempts"]) == ("slow", -3, '["daily","x"]', 2)
    assert row["expires_at"] == row["run_at"] + 3_600_000
    assert json.loads(row["options"]) == {
        "timeout_ms": 300_000,
        "backoff": {"kind": "list", "delays_ms": [1000, 2000]},
    }


def test_the_defaults_of_another_queue_count(jobs: Kiribi) -> None:
    jobs.ok("enqueue", "Echo", "--queue", "mail")

    assert (rows(jobs)[0]["priority"], rows(jobs)[0]["max_attempts"]) == (5, 7)


def test_in_and_at_put_it_off_and_the_past_is_now(jobs: Kiribi) -> None:
    jobs.ok("enqueue", "Echo", "--in", "1h")
    jobs.ok("enqueue", "Echo", "--at", "2099-01-01T00:00:00Z")
    jobs.ok("enqueue", "Echo", "--at", "2001-01-01")
    later, far, past = rows(jobs)

    assert (later["status"], later["run_at"]) == ("scheduled", later["created_at"] + 3_600_000)
    assert (far["status"], far["run_at"]) == ("scheduled", 4_070_908_800_000)
    assert (past["status"], past["run_at"]) == ("pending", past["created_at"])


def test_a_duplicate_prints_the_id_that_is_there(jobs: Kiribi) -> None:
    printed = [jobs.ok("enqueue", "Import", "customer=7"), jobs.ok("enqueue", "Import", "customer=7", "full:=true")]
    other = jobs.ok("enqueue", "Import", "customer=8")

    assert (printed, other) == (["1", "1"], "2")


def test_a_whole_payload_is_the_same_in_any_order(jobs: Kiribi) -> None:
    first = jobs.ok("enqueue", "Once", "-p", '{"a": 1, "b": [2]}')
    again = jobs.ok("enqueue", "Once", "-p", '{"b":[2], "a":1}')
    other = jobs.ok("enqueue", "Once")

    assert (first, again, other) == ("1", "1", "2")


def test_a_key_on_the_command_line_belongs_to_the_definition(jobs: Kiribi) -> None:
    echo, copy = jobs.ok("enqueue", "Echo", "--unique", "k"), jobs.ok("enqueue", "Once", "--unique", "k")
    commands = [jobs.ok("enqueue", "--unique", "k", "--", word) for word in ("ls", "true")]

    assert (echo, copy, commands) == ("1", "2", ["3", "3"])
    assert rows(jobs)[0]["unique_hash"] == b"4:Echok"


def test_a_conflict_that_is_an_error_names_the_holder(jobs: Kiribi) -> None:
    jobs.ok("enqueue", "Mail", "to=a")

    assert "held by job 1" in refused(jobs, 5, "Mail", "to=a")


def test_json_is_the_job_object_and_says_what_was_there(jobs: Kiribi) -> None:
    fresh, again = jobs.json("enqueue", "Import", "customer=7"), jobs.json("enqueue", "Import", "customer=7")

    assert (fresh["id"], fresh["job"], fresh["status"], fresh["deduplicated"]) == (1, "Import", "pending", False)
    assert (again["id"], again["deduplicated"]) == (1, True)


def test_silent_prints_nothing_and_quiet_the_id(jobs: Kiribi) -> None:
    assert (jobs.ok("enqueue", "Echo", "-s"), jobs.ok("enqueue", "Echo", "-q", "--tag", "x")) == ("", "2")


def test_unknown_fields_are_refused_before_anything_is_written(jobs: Kiribi) -> None:
    refused(jobs, 2, "Echo", "--fields", "id,colour")


def test_a_command_runs_here_once_and_word_for_word(kiribi: Kiribi) -> None:
    kiribi.ok("--db", "k.db", "enqueue", "--env", "A=b", "--env", "HERE", "--name", "odd one", "--", "printf", "{payload.x}",
              "-n", "--", env={"HERE": "now"})  # fmt: skip
    connection = sqlite3.connect(kiribi.folder / "k.db")
    [(job, adhoc, attempts, options)] = connection.execute("SELECT job, adhoc, max_attempts, options FROM jobs")
    connection.close()

    assert (job, adhoc, attempts) == ("odd one", 1, 1)
    assert json.loads(options) == {
        "command": ["printf", "{payload.x}", "-n", "--"],
        "cwd": str(kiribi.folder),
        "env": {"A": "b", "HERE": "now"},
    }


def test_arguments_that_are_not_utf_8_are_kept(kiribi: Kiribi) -> None:
    subprocess.run(
        [KIRIBI, b"--db", b"k.db", b"enqueue", b"--", b"ls", b"\xff\xfe"],
        cwd=kiribi.folder, env=kiribi.environment, check=True, capture_output=True,
    )  # fmt: skip
    connection = sqlite3.connect(kiribi.folder / "k.db")
    [(options,)] = connection.execute("SELECT options FROM jobs")
    connection.close()

    assert os.fsencode(json.loads(options)["command"][1]) == b"\xff\xfe"


def test_a_job_made_inside_a_job_names_its_parent_in_the_same_database_only(jobs: Kiribi) -> None:
    jobs.ok("enqueue", "Echo")
    jobs.ok("enqueue", "Echo", env={"KIRIBI_JOB_ID": "1", "KIRIBI_DB": str(database(jobs))})
    jobs.ok("--db", database(jobs), "enqueue", "Echo", env={"KIRIBI_JOB_ID": "1", "KIRIBI_DB": "/other/kiribi.db"})

    assert [row["parent"] for row in rows(jobs)] == [None, 1, None]


def test_a_dry_run_says_what_would_be_and_creates_nothing(jobs: Kiribi) -> None:
    said = jobs.ok("enqueue", "Echo", "user=42", "-n")
    told = jobs.json("enqueue", "Echo", "password=x", "-n")

    assert said == 'Would enqueue Echo in default with {"user": "42"}'
    assert (told["id"], told["payload"]) == (None, {"password": "***"})
    assert not database(jobs).exists()


def test_without_a_worker_nothing_is_enqueued_where_one_is_required(jobs: Kiribi) -> None:
    assert "no worker serves the queue default" in refused(jobs, 8, "Echo", "--require-worker")
    assert not database(jobs).exists()

    jobs.ok("enqueue", "Echo")

    refused(jobs, 8, "Echo", "--require-worker")


@pytest.mark.parametrize("rare", [[], ["--in", "1s"]])
def test_a_full_stdout_is_told_and_the_job_stays(kiribi: Kiribi, rare: list[str]) -> None:
    kiribi.ok("--db", "k.db", "enqueue", "--", "true")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [KIRIBI, "--db", "k.db", "enqueue", *rare, "--", "true"],
            cwd=kiribi.folder, env=kiribi.environment, stdout=full, stderr=subprocess.PIPE,
        )  # fmt: skip

    assert done.returncode == 1
    assert done.stderr.startswith(b"Error: job 2 is stored, but its id could not be written")
    assert kiribi.ok("--db", "k.db", "enqueue", "--", "true") == "3"


@pytest.mark.parametrize("rare", [[], ["--in", "1s"]])
def test_a_reader_that_is_gone_ends_it_as_a_broken_pipe(kiribi: Kiribi, rare: list[str]) -> None:
    kiribi.ok("--db", "k.db", "enqueue", "--", "true")
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [KIRIBI, "--db", "k.db", "enqueue", *rare, "--", "true"],
        cwd=kiribi.folder, env=kiribi.environment, stdout=writing, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(writing)

    assert (done.returncode, done.stderr) == (141, b"")
    assert kiribi.ok("--db", "k.db", "enqueue", "--", "true") == "3"


def test_a_closed_stdout_never_becomes_the_database(jobs: Kiribi) -> None:
    jobs.ok("enqueue", "Echo")
    line = f'"{KIRIBI}" enqueue -- true >&-'
    done = subprocess.run(["/bin/sh", "-c", line], cwd=jobs.folder, env=jobs.environment, capture_output=True)

    assert b"Traceback" not in done.stderr
    assert len(rows(jobs)) == 2
    assert database(jobs).read_bytes()[:15] == b"SQLite format 3"


def test_twenty_at_once_all_succeed(jobs: Kiribi) -> None:
    jobs.ok("enqueue", "Echo")
    started = [jobs.start("enqueue", "Echo", f"n={n}", stdout=subprocess.PIPE) for n in range(20)]
    printed = {int(process.communicate()[0]) for process in started}

    assert [process.returncode for process in started] == [0] * 20
    assert printed == set(range(2, 22))


def test_a_loop_that_repeats_a_killed_enqueue_gets_one_job_and_one_id(jobs: Kiribi) -> None:
    printed = set()
    for step in range(1, 40):
        done = subprocess.run(
            ["timeout", "-s", "KILL", f"0.{step:03}", KIRIBI, "enqueue", "--unique", "k", "--", "true"],
            cwd=jobs.folder, env=jobs.environment, capture_output=True, text=True,
        )  # fmt: skip
        printed |= set(done.stdout.split())
    printed.add(jobs.ok("enqueue", "--unique", "k", "--", "true"))

    assert printed == {"1"}
    assert len(rows(jobs)) == 1


def test_a_payload_from_a_closed_stdin_is_refused(jobs: Kiribi) -> None:
    line = f'"{KIRIBI}" enqueue Echo -p - <&-'
    done = subprocess.run(
        ["/bin/sh", "-c", line], cwd=jobs.folder, env=jobs.environment, capture_output=True, text=True
    )

    assert done.returncode in (2, 6)
    assert done.stderr.startswith("Error: ")
    assert rows(jobs) == []


def test_an_endless_payload_is_refused(jobs: Kiribi) -> None:
    assert "too big" in refused(jobs, 6, "Echo", "-p", "@/dev/zero")


def test_a_backoff_whose_longest_wait_is_shorter_than_the_first_is_refused(kiribi):
    done = kiribi("enqueue", "--backoff", "10s..1s", "--", "true")

    assert (done.returncode, done.stdout) == (2, "")
    assert "shorter than the first" in done.stderr


@pytest.mark.parametrize("words", [["--batch-size", "10"], ["--on-error", "skip"], ["--from-line", "2"]])
def test_what_belongs_to_a_batch_is_refused_without_one(jobs: Kiribi, words: list[str]) -> None:
    assert "are for --batch" in refused(jobs, 2, "Echo", *words)
