"""logs, wait, why, stats and events, seen from the command line."""

import json

import pytest

from kiribi_cli.core.job import Problem
from kiribi_cli.core.settle import Cancel, Complete, Fail
from tests.cli.conftest import NOW


@pytest.fixture
def logged(history):
    """Job 1: attempts 1 and 2 with logs; attempt 2 in both streams, with colours and worse."""
    history.log(1, ("err", 1_500, b"connection closed\n"))
    history.log(
        2,
        ("out", 9_100, b"one\n"),
        ("err", 9_200, b"\x1b[31mtwo\x1b[0m\x1b[2J\n"),
        ("out", 9_300, b"thr"),
        ("out", 9_400, b"ee"),
    )
    return history


def test_logs_are_both_streams_in_order_without_colours_in_a_pipe(logged):
    assert logged("logs", 1).out == "one\ntwo\\x1b[2J\nthree"


def test_logs_raw_are_the_bytes_as_written(logged):
    assert logged("logs", 1, "--raw").out == "one\n\x1b[31mtwo\x1b[0m\x1b[2J\nthree"


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ("--stream out", ["one", "three"]),
        ("--stream err", ["two\\x1b[2J"]),
        ("-n 1", ["three"]),
        ("-n 0", []),
        ("--grep ^t", ["three"]),
        ("--grep t[wh]", ["two\\x1b[2J", "three"]),
        ("--attempt 1", ["connection closed"]),
        ("--attempt all --stream err", ["connection closed", "two\\x1b[2J"]),
        ("--attempt 1 -t", ["2025-11-23T18:00:01.500Z connection closed"]),
        ("--attempt 1 --prefix", ["Mailer 1 | connection closed"]),
        ("--since 18:00:09.250", ["three"]),
        ("--until 2025-11-23T18:00:09.150Z", ["one"]),
    ],
)
def test_logs_choose_by_stream_line_time_and_text(logged, options, lines):
    assert logged("logs", 1, *options.split()).out.splitlines() == lines


def test_logs_as_json_lines_have_every_field(logged):
    (line,) = logged("logs", 1, "--attempt", 1, "--jsonl").out.splitlines()

    assert json.loads(line) == {
        "id": 1, "job": "Mailer", "attempt": 1, "stream": "err", "ts": "2025-11-23T18:00:01.500Z", "offset": 0,
        "line": "connection closed",
    }  # fmt: skip
    assert [one["line"] for one in logged.json("logs", 1, "--stream", "out")] == ["one", "three"]


def test_logs_take_a_name_for_its_latest_job_and_mark_several(logged):
    logged.log(4, ("out", 80_000, b"importing\n"))

    assert logged("logs", "Import").out == "importing\n"
    assert logged("logs", 3, 1, "-n", 1).out == "Mailer 1 | three\n"


def test_logs_follow_ends_with_the_job(logged):
    assert logged("logs", "-f", "-n", 1, 1).out == "three\n"
    assert logged("tail", 1).out.splitlines()[-1] == "three"


def test_logs_follow_gives_up_after_its_timeout(logged):
    assert logged("logs", "-f", 3, "--timeout", "10ms").code == 124


def test_logs_exit_status_is_that_of_the_job(logged):
    assert (logged("logs", 1, "--exit-status").code, logged("logs", 2, "--exit-status").code) == (0, 1)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("99", 3), ("Nope", 3), ("1 --attempt 7", 3), ("1 --attempt x", 2), ("1 --grep [", 2), ("1 --stream both,x", 2),
        ("1 -n few", 2),
    ],
)  # fmt: skip
def test_logs_refuse_what_is_not_there_or_cannot_be_read(logged, words, code):
    answer = logged("logs", *words.split())

    assert (answer.code, answer.out) == (code, "")
    assert answer.err.startswith("Error: ")


def test_logs_say_when_retention_has_removed_them(logged):
    (logged.folder / ".kiribi" / "logs" / "1").unlink()

    answer = logged("logs", 1, "--attempt", 1)

    assert answer.code == 3
    assert "removed by retention" in answer.err


def test_wait_ends_at_once_when_all_have_ended_and_tells_how(history):
    assert history("wait", 1).code == 0
    answer = history("wait", 1, 2, "--json")

    assert answer.code == 1
    assert json.loads(answer.out) | {"elapsed_ms": 0} == {
        "status": "failed", "total": 2, "completed": 1, "failed": 1, "cancelled": 0, "skipped": 0, "timed_out": False,
        "elapsed_ms": 0, "failed_ids": [2],
    }  # fmt: skip


def test_wait_exits_as_the_job_did(history):
    seven, called_off = history.enqueue("Import"), history.enqueue("Import")
    claims = {claim.job_id: claim for claim in history.hand.claim(NOW + 121_000, slots=9)}
    history.hand.end(claims[seven], Fail("attempts_used"), NOW + 122_000, exit_code=7)
    history.hand.end(claims[called_off], Cancel("deploy"), NOW + 122_000)

    assert history("wait", seven, "--exit-code").code == 7
    assert history("wait", 2, "--exit-code").code == 124
    assert history("wait", called_off, "--exit-code").code == 1
    assert history("wait", 1, seven, 2, "--exit-code").code == 7


def test_wait_gives_up_after_its_timeout(history):
    assert history("wait", 3, "--timeout", "10ms").code == 124


def test_wait_any_prints_the_one_that_has_ended(history):
    assert history("wait", 3, 1, "--any").out == "1\n"


def test_wait_fail_fast_returns_at_the_first_failure(history):
    assert history("wait", 3, 2, "--fail-fast").code == 1


def test_wait_for_started_does_not_wait_for_the_end(history):
    assert history("wait", 3, "--for", "started").code == 0


def test_wait_without_a_match_is_done_and_without_a_question_is_a_mistake(history):
    assert history("wait", "--tag", "nobody").code == 0
    assert history("wait").code == 2
    assert history("wait", 99).code == 3
    assert history("wait", 1, "--tag", "digest").code == 2


def test_wait_can_require_a_worker(history):
    history.hand.die()

    answer = history("wait", 5, "--require-worker")

    assert answer.code == 8
    assert "no live worker serves queue mail" in answer.err


def test_why_says_one_sentence_and_a_stable_code(history):
    assert history("why", 1).out == "completed on attempt 2 of 5; attempt 1 ended with exit 1\n"
    assert history.json("why", 3) == {
        "id": 3, "status": "running", "code": "running", "message": "attempt 1 of 1 runs on web1:8123 since 41s",
        "since": "2025-11-23T18:01:19.000Z", "until": None, "details": {"worker": "web1:8123", "attempt": 1},
    }  # fmt: skip


def test_why_of_a_pending_job_names_what_is_in_its_way(history):
    assert history.json("why", 5)["code"] == "ready"
    sixth = history.enqueue("Import")
    assert history.json("why", sixth)["code"] == "job_concurrency"
    gone = history.enqueue("Gone")
    assert history.json("why", gone)["code"] == "definition_missing"
    history.hand.die()
    assert history.json("why", 5)["code"] == "no_worker"
    (history.folder / "jobs.toml").write_text("[jobs.Mailer]\nretrys = 3\n")
    broken = history.json("why", 5)
    assert (broken["code"], "kind_count" in broken["message"]) == ("config_invalid", True)


def test_stats_add_up_and_have_every_field(history):
    found = history.json("stats")

    assert tuple(found) == ("since", "until", "totals", "now", "duration_ms", "wait_ms", "by")
    assert found["totals"] == {"completed": 1, "failed": 1, "cancelled": 0, "skipped": 0, "retried": 1}
    assert found["now"] == {
        "pending": 1, "running": 1, "scheduled": 1, "retrying": 0, "blocked": 0, "oldest_pending_ms": 120_000, "workers": 1,
    }  # fmt: skip
    assert found["duration_ms"]["max"] == 30_000
    by_name = {entry["job"]: entry for entry in found["by"]}
    assert tuple(by_name["Mailer"])[:7] == (
        "job",
        "completed",
        "failed",
        "retried",
        "duration_ms",
        "wait_ms",
        "per_hour",
    )
    assert (by_name["Mailer"]["completed"], by_name["Import"]["failed"], sum(by_name["Mailer"]["per_hour"])) == (
        1,
        1,
        1,
    )


@pytest.mark.parametrize("by", ["job", "queue", "hour", "error", "tag"])
def test_stats_are_grouped_by_any_of_five(history, by):
    entries = history.json("stats", "--by", by)["by"]

    assert entries
    assert all(next(iter(entry)) == by for entry in entries)


def test_stats_for_people_have_two_lines_on_top_and_a_table(history):
    lines = history("stats", "--table", "--plain").out.splitlines()

    assert lines[0].startswith("Last 24h  completed 1  failed 1 (50.0%)  retried 1  p50 ")
    assert (
        lines[1] == "Now       pending 1  running 1  scheduled 1  retrying 0  blocked 0  oldest pending 2m  workers 1"
    )
    assert lines[2].split()[:4] == ["JOB", "DONE", "FAIL", "RETRIED"]
    assert lines[3].split()[0] == "Mailer"


def test_stats_of_another_time_are_empty_and_of_an_unknown_job_an_error(history):
    assert history.json("stats", "--until", "2h", "--since", "5h")["totals"]["completed"] == 0
    assert history("stats", "--job", "Mailr").code == 3
    assert history("stats", "--by", "colour").code == 2
    assert history("stats", "--since", "now", "--until", "1h").code == 2


def test_events_are_json_lines_in_a_pipe_and_readable_in_a_table(history):
    lines = [json.loads(line) for line in history("events", "--id", 1).out.splitlines()]

    assert [line["type"] for line in lines] == [
        "job.enqueued", "job.retrying", "job.completed",
    ]  # fmt: skip
    assert tuple(lines[0]) == (
        "seq", "ts", "type", "id", "job", "from", "to", "attempt", "final", "exit_code", "by", "reason",
    )  # fmt: skip
    assert history("events", "--id", 1, "--table").out.splitlines()[1].split()[1:6] == [
        "job.retrying", "Mailer", "1", "running", "→",
    ]  # fmt: skip


def test_events_are_chosen_by_type_and_number(history):
    failed = [json.loads(line) for line in history("events", "--type", "job.failed").out.splitlines()]

    assert [event["id"] for event in failed] == [2]
    assert len(history("events", "--from-seq", failed[0]["seq"]).out.splitlines()) < len(
        history("events").out.splitlines()
    )
    assert history("events", "--type", "job.exploded").code == 2


def test_a_job_that_failed_for_good_says_so_in_why(desk):
    desk.enqueue("Import", max_attempts=1)
    claim = desk.hand.claim_one(NOW)
    desk.hand.end(claim, Fail("final_code"), NOW + 10, exit_code=65, error=Problem("exit", "bad data", "f00d"))
    desk.enqueue("Import", max_attempts=1)
    never = desk.hand.claim_one(NOW)
    desk.hand.end(never, Fail("never_started"), NOW + 10, outcome="never_started",
                  error=Problem("never_started", "no such file ./import", "f00e"))  # fmt: skip
    desk.enqueue("Import")
    desk.hand.run(Complete(), NOW + 20)

    assert desk("why", 1).out == "exit 65 is never retried\n"
    assert desk("why", 2).out == "could not start: no such file ./import\n"
    assert desk("why", 3).out == "completed on attempt 1 of 5\n"
