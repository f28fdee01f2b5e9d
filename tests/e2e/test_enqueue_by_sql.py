"""Jobs that come by SQL, from programs that know nothing of kiribi, to workers that nobody rang for."""

import json
import signal
import sqlite3
import subprocess
from contextlib import closing

import pytest

# The poll is as long as it may be, so that nothing is found by it.
JOBS = """
worker.poll = "1m"
[jobs.Greet]
command = ["echo", "hello,", "{payload.name}"]
params = { name = "string", times = { type = "integer", default = 1 } }
result = "stdout"

[jobs.Env]
shell = 'printf %s "$KIRIBI_PAYLOAD"'
params = { a = { type = "integer", default = 7 }, b = { type = "string", required = false } }
result = "stdout"

[jobs.Plain]
shell = "true"
"""


@pytest.fixture
def database(kiribi):
    kiribi.define(JOBS)
    kiribi.worker()
    return kiribi.folder / ".kiribi" / "kiribi.db"


@pytest.mark.needs("sqlite3")
def test_the_sqlite3_shell_enqueues_and_a_sleeping_worker_runs_it(kiribi, database, eventually):
    line = """insert into enqueue(job, payload) values ('Greet', '{"name": "Ada"}')"""
    for number in (1, 2, 3):
        subprocess.run(["sqlite3", "-cmd", ".timeout 5000", database, line], check=True)
        eventually(lambda: kiribi.status(number) == "completed", within=20)  # noqa: B023  (asked at once)

    assert kiribi.json("show", 3)["result"] == "hello, Ada"


@pytest.mark.needs("sqlite3")
def test_the_sqlite3_shell_says_why_it_refuses(kiribi, database):
    done = subprocess.run(
        ["sqlite3", database, "insert into enqueue(job) values ('Gret')"], capture_output=True, text=True, check=False
    )

    assert done.returncode != 0
    assert "no such job definition" in done.stderr
    assert kiribi.json("ls") == []


def enqueued(database, job, payload):
    with closing(sqlite3.connect(database, timeout=5)) as connection, connection:
        connection.execute("INSERT INTO enqueue (job, payload) VALUES (?, ?)", [job, payload])
        return connection.execute("SELECT max(id) FROM v_jobs").fetchone()[0]


@pytest.mark.parametrize(
    ("job", "payload", "sentence"),
    [
        ("Greet", {"nam": "x"}, 'name is required; nam is not a parameter. Did you mean "name"?'),
        ("Greet", None, "name is required"),
        ("Greet", {"name": 5}, "name must be a string, got 5"),
        ("Plain", {"a-b": 1, "a_b": 2}, '"a-b" and "a_b" are both $KIRIBI_ARG_A_B'),
    ],
)
def test_what_sql_could_not_check_ends_as_never_started_and_says_why(
    kiribi, database, eventually, job, payload, sentence
):
    id_ = enqueued(database, job, None if payload is None else json.dumps(payload))
    eventually(lambda: kiribi.status(id_) == "failed", within=20)

    shown = kiribi.json("show", id_)
    assert shown["error"]["kind"] == "never_started"
    assert sentence in shown["error"]["message"]
    assert shown["attempts"] == 1


def test_defaults_of_params_are_there_when_it_runs(kiribi, database, eventually):
    id_ = enqueued(database, "Env", '{"b": "x"}')
    eventually(lambda: kiribi.status(id_) == "completed", within=20)

    assert kiribi.json("show", id_)["result"] == {"b": "x", "a": 7}


def test_a_definition_that_is_new_in_the_file_is_published_when_the_worker_reads_it(kiribi, eventually):
    kiribi.define(JOBS)
    worker = kiribi.worker()
    kiribi.define(JOBS + '\n[jobs.New]\nshell = "true"\n')
    worker.send_signal(signal.SIGHUP)

    def known():
        with closing(sqlite3.connect(kiribi.folder / ".kiribi" / "kiribi.db", timeout=5)) as connection:
            return ("New",) in connection.execute("SELECT job FROM enqueue").fetchall()

    assert eventually(known)
