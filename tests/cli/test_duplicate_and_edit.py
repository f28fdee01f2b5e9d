"""duplicate and edit: what is taken over, what is changed, what is refused."""

import json
import os
import pty
import subprocess

import pytest

JOBS = """
[queues]
default = {}
mail = {}
[jobs.Mailer]
command = ["echo", "{payload.user}", "{payload.text}"]
params = { user = "integer", text = { type = "string", default = "hello" } }
timeout = "1m"
[jobs.Import]
command = ["true"]
unique = { key = "{payload.customer}" }
[jobs]
Plain = ["true"]
"""


@pytest.fixture
def jobs(kiribi):
    kiribi.define(JOBS)
    return kiribi


def test_a_duplicate_has_the_payload_and_the_options_of_the_old_job(jobs):
    old = jobs.ok(
        "enqueue", "Mailer", "user=42", "--queue", "mail", "--priority", 7, "--tag", "a", "--max-attempts", 9,
        "--timeout", "5s", "--in", "1h",
    )  # fmt: skip

    new = jobs.ok("duplicate", old)

    kept = ("payload", "queue", "priority", "tags", "max_attempts", "options", "job")
    before, after = jobs.json("show", old), jobs.json("show", new)
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
    assert (before["status"], after["status"]) == ("scheduled", "pending")


def test_a_duplicate_takes_what_is_said_otherwise(jobs):
    old = jobs.ok("enqueue", "Mailer", "user=42", "--tag", "a")

    new = jobs.json("show", jobs.ok("duplicate", old, "user=43", "--queue", "mail", "--tag", "b", "--in", "1h"))

    assert (new["payload"]["user"], new["queue"], new["tags"]) == (43, "mail", ["a", "b"])
    assert new["status"] == "scheduled"


def test_a_duplicate_is_checked_like_any_enqueue(jobs):
    old = jobs.ok("enqueue", "Mailer", "user=42")

    done = jobs("duplicate", old, "user=x")

    assert done.returncode == 6
    assert jobs.ok("ls", "--count") == "1"


def test_an_ad_hoc_job_is_duplicated_with_command_folder_and_environment(jobs):
    old = jobs.ok("enqueue", "--name", "say", "--env", "WORD=hi", "--cwd", "/", "--", "sh", "-c", "echo $WORD; pwd")

    new = jobs.ok("duplicate", old)

    jobs.ok("worker", "--drain", "-s")
    assert jobs.ok("logs", new) == "hi\n/"
    assert jobs.json("show", new)["job"] == "say"


def test_count_makes_so_many(jobs):
    old = jobs.ok("enqueue", "Plain")

    new = jobs.ok("duplicate", old, "--count", 3).split()

    assert len(set(new)) == 3
    assert jobs.ok("ls", "--count") == "4"


def test_a_duplicate_whose_unique_key_is_held_is_a_conflict_naming_the_holder(jobs):
    old = jobs.ok("enqueue", "Import", "customer=7")

    taken = jobs("duplicate", old)
    other = jobs("duplicate", old, "customer=8")

    assert taken.returncode == 5
    assert f"job {old}" in taken.stderr
    assert other.returncode == 0


def test_a_dry_run_of_duplicate_stores_nothing(jobs):
    old = jobs.ok("enqueue", "Plain")

    jobs.ok("duplicate", old, "-n")

    assert jobs.ok("ls", "--count") == "1"


def test_edit_changes_what_is_said_and_nothing_else(jobs):
    job = jobs.ok("enqueue", "Mailer", "user=42", "--tag", "a", "--expires", "1d")
    before = jobs.json("show", job)

    jobs.ok("edit", job, "user=43", "--priority", 5, "--queue", "mail", "--timeout", "9s")

    after = jobs.json("show", job)
    assert (after["payload"]["user"], after["priority"], after["queue"]) == (43, 5, "mail")
    assert after["options"]["timeout_ms"] == 9_000
    for kept in ("id", "status", "run_at", "expires_at", "tags", "max_attempts", "created_at"):
        assert after[kept] == before[kept]


def test_edit_moves_a_job_in_time_and_its_expiry_with_it(jobs):
    job = jobs.ok("enqueue", "Plain", "--at", "2036-01-01T00:00:00Z", "--expires", "1h")

    jobs.ok("edit", job, "--at", "2037-01-01T00:00:00Z")

    after = jobs.json("show", job)
    assert (after["run_at"], after["expires_at"]) == ("2037-01-01T00:00:00.000Z", "2037-01-01T01:00:00.000Z")


def test_edit_now_makes_a_scheduled_job_pending(jobs):
    job = jobs.ok("enqueue", "Plain", "--in", "1h")

    jobs.ok("edit", job, "--now")

    assert jobs.status(job) == "pending"


def test_edit_takes_a_timeout_and_all_tags_away(jobs):
    job = jobs.ok("enqueue", "Mailer", "user=42", "--tag", "a")

    jobs.ok("edit", job, "--timeout", "none", "--tag", "")

    after = jobs.json("show", job)
    assert (after["options"]["timeout_ms"], after["tags"]) == (None, [])


def test_edit_checks_the_new_payload_and_changes_nothing_if_it_is_bad(jobs):
    job = jobs.ok("enqueue", "Mailer", "user=42")

    done = jobs("edit", job, "user=x", "--priority", 5)

    after = jobs.json("show", job)
    assert done.returncode == 6
    assert (after["payload"]["user"], after["priority"]) == (42, 0)


def test_edit_follows_the_unique_key_of_the_new_payload(jobs):
    job = jobs.ok("enqueue", "Import", "customer=7")

    jobs.ok("edit", job, "customer=8")

    assert jobs.ok("enqueue", "Import", "customer=7") != job
    assert jobs.ok("enqueue", "Import", "customer=8") == job


def test_edit_refuses_a_key_that_another_job_holds(jobs):
    holder = jobs.ok("enqueue", "Import", "customer=7")
    job = jobs.ok("enqueue", "Import", "customer=8")

    done = jobs("edit", job, "customer=7")

    assert done.returncode == 5
    assert f"job {holder}" in done.stderr


def test_edit_refuses_a_finished_job(jobs):
    job = jobs.ok("enqueue", "Plain")
    jobs.ok("worker", "--drain", "-s")

    assert jobs("edit", job, "--priority", 5).returncode == 5


def test_edit_refuses_an_unknown_queue_and_an_unknown_id(jobs):
    job = jobs.ok("enqueue", "Plain")

    assert jobs("edit", job, "--queue", "mial").returncode == 3
    assert jobs("edit", 99, "--priority", 1).returncode == 3


def test_edit_without_options_and_without_a_terminal_is_a_usage_error(jobs):
    job = jobs.ok("enqueue", "Plain")

    assert jobs("edit", job).returncode == 2


def _at_a_terminal(kiribi, editor, *arguments, answer=b""):
    """Run at a terminal with an editor that is a shell command on "$1"; returns exit code and what was shown."""
    script = kiribi.home / "editor"
    script.write_text(f"#!/bin/sh\n{editor}\n")
    script.chmod(0o700)
    ours, theirs = pty.openpty()
    environment = kiribi.environment | {"EDITOR": str(script), "TERM": "dumb"}
    argv = [str(each) for each in ("kiribi", *arguments)]
    process = subprocess.Popen(argv, cwd=kiribi.folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.write(ours, answer)
    shown = b""
    try:
        while block := os.read(ours, 65536):
            shown += block
    except OSError:
        pass  # how a terminal says that nobody is at the other end
    os.close(ours)
    return process.wait(60), shown.decode()


def test_the_editor_shows_what_can_be_changed_and_what_it_saves_counts(jobs):
    job = jobs.ok("enqueue", "Mailer", "user=42", "--tag", "a")
    editor = """sed -i -e 's/"user": 42/"user": 43/' -e 's/^priority = 0/priority = 5/' -e 's/"a"/"b"/' "$1" """

    code, _ = _at_a_terminal(jobs, editor, "edit", job)

    after = jobs.json("show", job)
    assert code == 0
    assert (after["payload"]["user"], after["priority"], after["tags"]) == (43, 5, ["b"])


def test_an_editor_that_changes_nothing_changes_nothing(jobs):
    job = jobs.ok("enqueue", "Mailer", "user=42")
    before = jobs.json("show", job)

    code, _ = _at_a_terminal(jobs, "true", "edit", job)

    assert code == 0
    assert jobs.json("show", job) | {"why": 0} == before | {"why": 0}


def test_a_mistake_made_in_the_editor_is_told_and_nothing_is_lost_but_by_no(jobs):
    job = jobs.ok("enqueue", "Plain")

    code, shown = _at_a_terminal(jobs, 'echo "prioritty = 3" >> "$1"', "edit", job, answer=b"n\n")

    assert code == 2
    assert "prioritty" in shown
    assert "Edit again?" in shown


def test_an_editor_that_fails_changes_nothing(jobs):
    job = jobs.ok("enqueue", "Plain")

    code, _ = _at_a_terminal(jobs, 'sed -i "s/^priority = 0/priority = 5/" "$1"; exit 3', "edit", job)

    assert code == 9
    assert jobs.json("show", job)["priority"] == 0


def test_duplicate_edit_opens_the_payload(jobs):
    old = jobs.ok("enqueue", "Mailer", "user=42")

    code, _ = _at_a_terminal(jobs, """sed -i 's/42/44/' "$1" """, "duplicate", old, "--edit")

    assert code == 0
    assert jobs.json("show", "@last")["payload"]["user"] == 44


def test_an_edited_job_tells_the_story_of_the_change(jobs):
    job = jobs.ok("enqueue", "Plain")

    jobs.ok("edit", job, "--priority", 5)

    events = [json.loads(line) for line in jobs.ok("events").splitlines()]
    assert [event["type"] for event in events if event["id"] == int(job)] == ["job.enqueued", "job.edited"]
