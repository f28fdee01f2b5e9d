"""`enqueue --batch`: lines become jobs in whole transactions, and it is always told exactly which are stored."""

import json
import os
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import KIRIBI, Kiribi, eventually

JOBS = """
[jobs]
Echo = "echo"
Copy = ["cp", "{payload.from}"]
[jobs.Import]
command = ["true"]
params = { customer = "integer", full = { type = "boolean", default = false } }
[jobs.Mail]
command = ["true"]
unique = { key = "{payload.to}", on_conflict = "error" }
"""


@pytest.fixture
def jobs(kiribi: Kiribi) -> Kiribi:
    kiribi.define(JOBS)
    return kiribi


def select(kiribi: Kiribi, sql: str) -> list[Any]:
    with closing(sqlite3.connect(kiribi.folder / ".kiribi" / "kiribi.db")) as connection:
        return connection.execute(sql).fetchall()


def payloads(kiribi: Kiribi) -> list[str]:
    if not (kiribi.folder / ".kiribi" / "kiribi.db").exists():
        return []
    return [payload for (payload,) in select(kiribi, "SELECT payload FROM jobs ORDER BY id")]


def lines(*values: object) -> str:
    return "".join(f"{value if isinstance(value, str) else json.dumps(value)}\n" for value in values)


def test_every_line_is_a_payload_kept_byte_for_byte_and_ids_come_in_order(jobs: Kiribi) -> None:
    texts = ['{"a": 1.00}', '{"b":"\\u00e4 \\" \\\\ é"}', "[1,  2]", "null", '"x"']
    printed = jobs.ok("enqueue", "Echo", "--batch", "-", stdin=lines(*texts))

    assert printed.split() == ["1", "2", "3", "4", "5"]
    assert payloads(jobs) == texts


def test_lines_that_want_a_closer_look_stand_where_they_stood_among_plain_ones(jobs: Kiribi) -> None:
    texts = [f'{{"n": {n}}}' for n in range(500)]
    texts[7], texts[250], texts[499] = '{"n": {"deep": []}}', "null", ' {"n":"\\u00e9"}'
    jobs.ok("enqueue", "Echo", "--batch", "-", stdin=lines(*texts))

    assert payloads(jobs) == [text.strip() for text in texts]


def test_blank_lines_count_as_lines_but_make_no_jobs(jobs: Kiribi) -> None:
    told = jobs.json("enqueue", "Echo", "--batch", "-", stdin="1\n\n \r\n2")

    assert (told["stored"], told["stored_through_line"], told["ids"]) == (2, 4, [1, 2])


def test_each_enqueueing_is_an_event_of_its_own(jobs: Kiribi) -> None:
    jobs.ok("enqueue", "Echo", "--batch", "-", "--batch-size", 2, stdin=lines(1, 2, 3))
    told = [json.loads(line) for line in jobs.ok("events", "--jsonl", "--type", "job.enqueued").splitlines()]

    assert [event["id"] for event in told] == [1, 2, 3]


def test_defaults_are_written_in_and_params_checked(jobs: Kiribi) -> None:
    jobs.ok("enqueue", "Import", "--batch", "-", stdin=lines({"customer": 7}))
    refused = jobs("enqueue", "Import", "--batch", "-", stdin=lines({"customer": 8}, {"customer": "x", "y": 1}))

    assert refused.returncode == 6
    assert (
        'line 2: payload: customer must be an integer, got "x"; y is not a parameter; stored nothing' in refused.stderr
    )
    assert payloads(jobs) == ['{"customer": 7,"full":false}']


def test_a_bad_line_stops_its_transaction_and_says_how_to_go_on(jobs: Kiribi) -> None:
    source = jobs.folder / "lines"
    source.write_text(lines(*range(25), "bad", *range(4)))
    done = jobs("enqueue", "Echo", "--batch", source, "--batch-size", 10)

    assert done.returncode == 6
    assert done.stdout.split() == [str(n) for n in range(1, 21)]
    assert "line 26: payload: not JSON" in done.stderr
    assert "stored lines 1-20, go on with --from-line 21" in done.stderr

    source.write_text(source.read_text().replace("bad", "26"))
    rest = jobs.ok("enqueue", "Echo", "--batch", source, "--batch-size", 10, "--from-line", 21)

    assert rest.split() == [str(n) for n in range(21, 31)]
    assert len(payloads(jobs)) == 30


def test_every_bad_line_of_the_transaction_is_named(jobs: Kiribi) -> None:
    done = jobs("enqueue", "Copy", "--batch", "-", stdin=lines({"from": "a"}, {}, '{"from":1,"from":2}'))

    assert done.returncode == 6
    assert "2 lines cannot be enqueued; stored nothing" in done.stderr
    assert "  line 2: payload: " in done.stderr
    assert "  line 3: payload: " in done.stderr
    assert payloads(jobs) == []


def test_skip_leaves_bad_lines_out_names_them_and_exits_1(jobs: Kiribi) -> None:
    done = jobs("--json", "enqueue", "Echo", "--batch", "-", "--on-error", "skip", stdin=lines(1, "x", 2, "y"))
    told = json.loads(done.stdout)

    assert done.returncode == 1
    assert [line.partition(": not")[0] for line in done.stderr.splitlines()] == ["line 2: payload", "line 4: payload"]
    assert (told["stored"], told["stored_through_line"], told["ids"]) == (2, 4, [1, 2])
    assert [(error["line"], error["code"]) for error in told["errors"]] == [(2, "payload"), (4, "payload")]


def test_a_taken_key_stops_or_is_left_out_or_counts_as_deduplicated(jobs: Kiribi) -> None:
    jobs.ok("enqueue", "Mail", "to=a")
    stdin = lines({"to": "b"}, {"to": "a"}, {"to": "b"}, {"to": "c"})
    stopped = jobs("enqueue", "Mail", "--batch", "-", stdin=stdin)
    left_out = jobs("enqueue", "Mail", "--batch", "-", "--on-error", "skip", stdin=stdin)
    skipped = jobs.json("enqueue", "Mail", "--batch", "-", "--on-conflict", "skip", stdin=stdin)

    assert stopped.returncode == 5
    assert 'line 2: conflict: the unique key "a" is held by job 1; stored nothing' in stopped.stderr
    assert (left_out.returncode, left_out.stdout) == (1, "2\n3\n")
    assert left_out.stderr.count("conflict") == 2
    assert (skipped["stored"], skipped["deduplicated"], skipped["ids"]) == (0, 4, [2, 1, 2, 3])


def test_lines_without_a_job_say_everything_themselves(jobs: Kiribi) -> None:
    stdin = lines(
        '{"job": "Echo", "payload": {"x":  1.00}, "tags": ["t"], "in": 3600, "priority": 3}',
        {"command": ["ls", "-l"], "env": {"A": "b"}, "name": "listing", "max_attempts": 2, "timeout": "1m"},
        {"command": ["ls"], "unique": "k"},
        {"command": ["pwd"], "unique": "k"},
        {"job": "Echo", "payload": None, "queue": "default"},
    )
    printed = jobs.ok("enqueue", "--batch", "-", "--priority", 9, stdin=stdin)
    echo, listing, *_ = select(jobs, "SELECT job, payload, tags, priority, run_at - created_at, options FROM jobs")

    assert printed.split() == ["1", "2", "3", "3", "4"]
    assert echo == ("Echo", '{"x":  1.00}', '["t"]', 3, 3_600_000, None)
    assert listing[:5] == ("listing", None, None, 9, 0)
    assert json.loads(listing[5]) == {
        "timeout_ms": 60_000, "command": ["ls", "-l"], "cwd": str(jobs.folder), "env": {"A": "b"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("[1]", 2, "this is no object"),
        ("{}", 2, 'either "job" or "command"'),
        ('{"job": "Echo", "command": ["ls"]}', 2, 'either "job" or "command"'),
        ('{"job": "Ech"}', 3, 'Did you mean "Echo"?'),
        ('{"job": 5}', 2, '"job" must be a string'),
        ('{"job": "Echo", "colour": 1}', 2, '"colour" is no key'),
        ('{"job": "Echo", "priority": "high"}', 2, '"priority" must be an integer'),
        ('{"job": "Echo", "tags": "x"}', 2, '"tags" must be a list of strings'),
        ('{"job": "Echo", "env": {"A": "b"}}', 2, "--env is for commands"),
        ('{"job": "Echo", "mutex": "k"}', 2, "not supported by this version"),
        ('{"job": "Echo", "after": [1]}', 2, "not supported by this version"),
        ('{"job": "Echo", "unique": "k", "on_conflict": "replace"}', 2, "not supported by this version"),
        ('{"job": "Echo", "unique": 5}', 2, '"unique" must be a string'),
        ('{"command": []}', 2, '"command" must be a list of strings'),
        ('{"command": [1]}', 2, '"command" must be a list of strings'),
        ('{"job": "Echo", "payload": {"a": 1, "a": 2}}', 6, "is there twice"),
        ('{"job": "Echo"} x', 6, "something follows"),
        ("\xff", 6, "not UTF-8"),
    ],
)
def test_a_line_that_is_not_understood_is_refused(jobs: Kiribi, line: str, code: int, told: str) -> None:
    done = jobs("enqueue", "--batch", "-", stdin=line.encode("latin-1"))

    assert done.returncode == code
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert payloads(jobs) == []


@pytest.mark.parametrize("source", ["nofile", "."])
def test_a_source_that_cannot_be_read_is_refused(jobs: Kiribi, source: str) -> None:
    done = jobs("enqueue", "Echo", "--batch", source)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Error: cannot read {source}")


def test_a_dry_run_checks_every_line_and_stores_none(jobs: Kiribi) -> None:
    good = jobs.ok("enqueue", "Echo", "--batch", "-", "-n", stdin=lines(1, 2))
    bad = jobs("enqueue", "Echo", "--batch", "-", "-n", stdin=lines(1, "x"))

    assert (good, bad.returncode) == ("Would enqueue the lines up to 2", 6)
    assert payloads(jobs) == []


def test_large_payloads_are_stored_in_smaller_transactions(jobs: Kiribi) -> None:
    texts = [json.dumps(f"{n}" * 1_000_000) for n in range(1, 10)] * 3
    printed = jobs.ok("enqueue", "Echo", "--batch", "-", stdin=lines(*texts))

    assert len(printed.split()) == 27
    assert payloads(jobs) == texts


def test_lines_of_a_slow_producer_are_stored_while_it_pauses(jobs: Kiribi) -> None:
    process = jobs.start("enqueue", "Echo", "--batch", "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"1\n2\n3")
    process.stdin.flush()

    assert [process.stdout.readline() for _ in range(2)] == [b"1\n", b"2\n"]

    process.stdin.close()

    assert (process.stdout.read(), process.wait()) == (b"3\n", 0)
    process.stdout.close()
    assert payloads(jobs) == ["1", "2", "3"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_ends_between_transactions_and_tells_what_is_stored(jobs: Kiribi, number: int, code: int) -> None:
    process = jobs.start(
        "enqueue", "Echo", "--batch", "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(b"1\n2\n3\n")
    process.stdin.flush()
    first = process.stdout.readline()
    process.send_signal(number)
    rest, told = process.stdout.read(), process.stderr.read()
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()

    assert (process.wait(), first + rest) == (code, b"1\n2\n3\n")
    assert told == b"Interrupted; stored lines 1-3, go on with --from-line 4\n"
    assert payloads(jobs) == ["1", "2", "3"]


def test_a_reader_that_goes_away_is_told_and_nothing_is_lost(jobs: Kiribi) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [KIRIBI, "enqueue", "Echo", "--batch", "-", "--batch-size", "2"], input=lines(*range(6)).encode(),
        cwd=jobs.folder, env=jobs.environment, stdout=writing, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(writing)

    assert done.returncode == 141
    assert b"stored lines 1-2, go on with --from-line 3" in done.stderr
    assert payloads(jobs) == ["0", "1"]


def test_killed_in_the_middle_whole_transactions_stay(jobs: Kiribi) -> None:
    process = jobs.start(
        "enqueue", "Echo", "--batch", "-", "--batch-size", 7, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    feeder = subprocess.Popen(["yes", "1"], stdout=process.stdin, stderr=subprocess.DEVNULL)
    process.stdin.close()
    printed = [int(process.stdout.readline()) for _ in range(500)]
    process.kill()
    printed += [int(line) for line in process.stdout.read().splitlines(keepends=True) if line.endswith(b"\n")]
    process.wait()
    process.stdout.close()
    eventually(lambda: feeder.poll() is not None)
    [(count,)] = select(jobs, "SELECT count(*) FROM jobs")

    assert count % 7 == 0
    assert printed == list(range(1, len(printed) + 1))
    assert len(printed) <= count


def test_a_million_lines_would_take_no_more_memory_than_ten_thousand(jobs: Kiribi) -> None:
    def peak(count: int) -> int:
        source = jobs.folder / "lines"
        source.write_text("".join(f'{{"user": {n}, "name": "user {n}"}}\n' for n in range(count)))
        script = (
            "import resource, sys; from kiribi_cli.cli.main import main; main(sys.argv[1:]);"
            " print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
        )
        python = Path(KIRIBI).parent / "python"
        done = subprocess.run(
            [python, "-c", script, "enqueue", "Echo", "--batch", source], cwd=jobs.folder, env=jobs.environment,
            capture_output=True, check=True,
        )  # fmt: skip
        return int(done.stderr)

    few, many = peak(10_000), peak(100_000)

    assert many < few + 4_096
