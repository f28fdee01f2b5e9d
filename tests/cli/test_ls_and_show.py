"""ls and show: what people see, what programs read, how jobs are chosen."""

import json

import pytest

from kiribi_cli.actions.views import JOB_FIELDS

ROWS = """\
5\tMailer\tpending\t0/5\t2025-11-23T18:00:00.000Z\t\t
4\tMailer\tscheduled\t0/5\t2025-11-23T18:00:00.000Z\t\t
3\tImport\trunning\t1/1\t2025-11-23T18:00:00.000Z\t41000\t70% rows 7000
2\tImport\tfailed\t1/1\t2025-11-23T18:00:00.000Z\t30000\ttimed out after 30s
1\tMailer\tcompleted\t2/5\t2025-11-23T18:00:00.000Z\t1200\t
"""

TABLE = """\
ID  JOB     STATUS       ATT  CREATED  TOOK   NOTE
5   Mailer  ○ pending    0/5  2m ago   –
4   Mailer  ◷ scheduled  0/5  2m ago   –      starts in 8h
3   Import  ● running    1/1  2m ago   41.0s  70% rows 7000
2   Import  ✗ failed     1/1  2m ago   30.0s  timed out after 30s
1   Mailer  ✓ completed  2/5  2m ago   1.2s
"""

PAGE = """\
Mailer  job 1   ✓ completed   2 of 5 attempts        queue default · priority 10 · tags digest
Created   18:00:00  2m ago   by deploy@web1 (cli)
Finished  18:00:10            waited 1.0s · ran 1.2s in all
Why       completed on attempt 2 of 5; attempt 1 ended with exit 1
Payload   {"to": "ops@example.com", "db_password": "***"}
Result    {"sent": 3}
Attempts  1  18:00:01  10ms  exit 1: connection closed\\x1b]0;owned\\x07   CPU 6ms · memory 1.0 KB
          2  18:00:09  1.2s  completed   CPU 6ms · memory 1.0 KB
Next      kiribi logs 1 · kiribi duplicate 1
"""


def test_a_pipe_gets_raw_values_without_a_header(history):
    assert history("ls").out == ROWS


def test_a_table_is_for_people(history):
    assert history("ls", "--table").out == TABLE


def test_the_json_of_a_job_has_every_field_in_order_and_null_for_what_is_absent(history):
    jobs = history.json("ls")

    assert [tuple(job) for job in jobs] == [JOB_FIELDS] * 5
    assert jobs[0]["started_at"] is None
    assert jobs[2]["progress"] == {"fraction": 0.7, "message": "rows 7000"}
    assert jobs[3]["error"] == {"kind": "timed_out", "message": "timed out after 30s", "fingerprint": "5eed0001"}
    assert (jobs[4]["wait_ms"], jobs[4]["duration_ms"], jobs[4]["created_at"]) == (
        1000,
        1200,
        "2025-11-23T18:00:00.000Z",
    )


def test_jsonl_is_the_same_objects_one_a_line(history):
    lines = history("ls", "--jsonl").out.splitlines()

    assert [json.loads(line) for line in lines] == history.json("ls")


@pytest.mark.parametrize("form", ["--json", "--jsonl", "--tsv", "--table"])
def test_quiet_prints_ids_in_every_form(history, form):
    assert history("ls", "-q", form).out.split() == ["5", "4", "3", "2", "1"]


def test_silent_prints_nothing(history):
    assert history("-s", "ls") == history("ls", "--silent")
    assert history("ls", "-s").out == ""


def test_fields_are_given_in_the_order_asked_for_in_every_form(history):
    assert history("ls", "--fields", "job,id", "-n", 1).out == "Mailer\t5\n"
    assert history.json("ls", "--fields", "job,id", "-n", 1) == [{"job": "Mailer", "id": 5}]


def test_fields_brings_the_payload_masked(history):
    (job,) = history.json("ls", "completed", "--fields", "payload")

    assert job == {"payload": {"to": "ops@example.com", "db_password": "***"}}


def test_an_unknown_field_is_refused_and_help_lists_them(history):
    assert history("ls", "--fields", "nope").code == 2
    assert history("ls", "--fields", "help").out.split()[: len(JOB_FIELDS)] == list(JOB_FIELDS)


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        ("failed", [2]),
        ("--status failed,running", [3, 2]),
        ("--status FINISHED", [2, 1]),
        ("--status active", [5, 4, 3]),
        ("--status processing", [3]),
        ("--job Mailer --status completed", [1]),
        ("--job Imp*", [3, 2]),
        ("--job Mailer,Import", [5, 4, 3, 2, 1]),
        ("--tag digest", [1]),
        ("tag:digest job:Mailer", [1]),
        ("tag:digest job:Import", []),
        ("--queue mail", [5]),
        ("--where to=ops@example.com", [1]),
        ("payload.to:ops@example.com", [1]),
        ("--grep TIMED", [2]),
        ("error:timed_out", [2]),
        ("--before 3", [2, 1]),
        ("--until 1h", []),
        ("--since 18:00", [5, 4, 3, 2, 1]),
        ("--query=-job:Mailer", [3, 2]),
        ("-- -job:Mailer", [3, 2]),
        ("-- -failed job:Import", [3]),
        ("failed completed", []),
        ("status:failed,completed", [2, 1]),
        ("--sort job", [2, 3, 1, 4, 5]),
        ("--sort -priority -n 1", [1]),
    ],
)
def test_jobs_are_chosen_by_options_and_words(history, words, ids):
    answer = history("ls", "-q", *words.split())

    assert (answer.code, [int(word) for word in answer.out.split()]) == (0, ids)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("--job Mailr", 3, 'Did you mean "Mailer"?'),
        ("job:Mailr", 3, 'Did you mean "Mailer"?'),
        ("--queue mial", 3, 'Did you mean "mail"?'),
        ("--status faild", 2, 'Did you mean "failed"?'),
        ("--sort size", 2, "--sort"),
        ("--time ended", 2, "--time"),
        ("--where x", 2, "PATH=VALUE"),
        ("--since yesterdya", 2, "is not a time"),
        ("--schedule nightly", 2, "no schedules yet"),
        ("--bogus", 2, "there is no option --bogus"),
        ("-n many", 2, "many"),
    ],
)
def test_what_cannot_be_meant_is_said_and_not_an_empty_list(history, words, code, said):
    answer = history("ls", *words.split())

    assert (answer.code, answer.out) == (code, "")
    assert answer.err.startswith("Error: ")
    assert said in answer.err


def test_count_and_exit_status_tell_how_many_there_are(history):
    assert history("ls", "--count").out == "5\n"
    assert history.json("ls", "--count", "failed") == {"count": 1}
    assert history("ls", "skipped", "--exit-status").code == 1
    assert history("ls", "skipped").code == 0


def test_a_due_job_is_pending_whether_or_not_a_worker_has_looked(history):
    history.now += 40_000_000

    assert [job["status"] for job in history.json("ls", "pending")] == ["pending", "pending"]


def test_the_page_of_a_job_tells_its_story_masks_secrets_and_obeys_no_escape_sequence(history):
    assert history("show", 1, "--utc").out == PAGE


def test_show_reveals_only_after_a_yes(history):
    assert history("show", 1, "--reveal").code == 9
    assert "hunter2" in history("show", 1, "--reveal", "--yes").out


def test_show_masks_everything_when_nobody_can_tell_what_is_secret(history):
    (history.folder / "jobs.toml").write_text("redact = [\n")

    job = history.json("show", 1)

    assert job["payload"] == {"to": "***", "db_password": "***"}


def test_the_attempts_of_a_job_have_every_field_in_order(history):
    attempt = history.json("show", 1)["attempt_list"][0]

    assert tuple(attempt) == (
        "id", "job_id", "attempt", "outcome", "decision", "exit_code", "signal", "http_status", "error", "started_at",
        "finished_at", "duration_ms", "cpu_user_ms", "cpu_system_ms", "max_rss_bytes", "command", "cwd", "worker", "host",
        "pid", "log_bytes", "log_path", "next_attempt_at",
    )  # fmt: skip
    assert (attempt["decision"], attempt["next_attempt_at"]) == ("retry", "2025-11-23T18:00:09.000Z")


def test_show_adds_its_own_fields_after_those_of_the_job(history):
    fields = tuple(history.json("show", 1, "--events"))

    assert fields == (*JOB_FIELDS, "payload", "result", "options", "attempt_list", "why", "events")


def test_several_ids_give_an_array_in_the_order_asked_for(history):
    assert [job["id"] for job in history.json("show", 2, 1)] == [2, 1]


def test_ids_can_be_written_for_people(history):
    assert [job["id"] for job in history.json("show", "@last", "@-2", "@last:Import")] == [5, 4, 3]


@pytest.mark.parametrize(
    ("word", "code"), [("99", 3), ("@last:Nope", 3), ("@-9", 3), ("x", 2), ("0", 2), ("9" * 30, 2)]
)
def test_ids_that_are_none_or_not_there_are_told_apart(history, word, code):
    assert history("show", word).code == code
