"""sweep, recover, db and doctor: what is deleted, mended, copied and found."""

import json
import os
import sqlite3
import stat
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock

from tests.invariants import processes_of

JOBS = """
[jobs]
Talk = ["echo", "hello"]
Bad = { command = ["sh", "-c", "echo oh no >&2; exit 1"], max_attempts = 1 }
Slow = { command = ["sleep", "3600"], max_attempts = 2 }
"""


@pytest.fixture
def history(kiribi):
    """Jobs 1, 2, 3 Talk (completed), 4 Bad (failed), 5 Talk (scheduled); each run left a log."""
    kiribi.define(JOBS)
    for name in ("Talk", "Talk", "Talk", "Bad"):
        kiribi.ok("enqueue", name)
    kiribi.ok("worker", "--drain", "-s")
    kiribi.ok("enqueue", "Talk", "--in", "1h")
    return kiribi


def logs_of(kiribi):
    return sorted(int(file.name) for file in (kiribi.folder / ".kiribi/logs").iterdir())


def ids(kiribi):
    return sorted(int(job) for job in kiribi.ok("ls", "-q").split())


# -- sweep


def test_sweep_keeps_what_is_younger_than_retention_says(history):
    answer = history.json("sweep", "--yes")

    assert answer == {"dry_run": False, "jobs": {}, "log_bytes": 0, "db_bytes": 0, "events": 0}
    assert ids(history) == [1, 2, 3, 4, 5]


def test_sweep_deletes_finished_jobs_with_their_logs_and_nothing_unfinished(history):
    answer = history.json("sweep", "--older-than", "0", "--keep-last", 0, "--yes")

    assert answer["jobs"] == {"completed": 3, "failed": 1}
    assert answer["log_bytes"] > 0
    assert (ids(history), logs_of(history)) == ([5], [])


def test_sweep_keeps_the_newest_of_each_name(history):
    history.ok("sweep", "--older-than", "0", "--keep-last", 1, "--yes")

    # The scheduled job is no finished one, so it does not count among the last.
    assert {3, 4, 5} <= set(ids(history))
    assert 1 not in ids(history)


def test_sweep_takes_only_the_statuses_and_names_that_are_said(history):
    history.ok("sweep", "--older-than", "0", "--keep-last", 0, "--status", "failed", "--yes")
    after_status = ids(history)
    history.ok("sweep", "--older-than", "0", "--keep-last", 0, "--job", "Ta*", "--yes")

    assert after_status == [1, 2, 3, 5]
    assert ids(history) == [5]


def test_a_name_that_nobody_knows_sweeps_nothing(history):
    done = history("sweep", "--older-than", "0", "--keep-last", 0, "--job", "Tolk", "--yes")

    assert done.returncode == 3
    assert "Talk" in done.stderr
    assert ids(history) == [1, 2, 3, 4, 5]


def test_two_sweeps_never_work_at_once(history):
    wanted = ("sweep", "--older-than", "0", "--keep-last", 0, "--yes")
    with FileLock(history.folder / ".kiribi/run/sweep.lock"), pytest.raises(subprocess.TimeoutExpired):
        history(*wanted, timeout=2)
    left = ids(history)
    history.ok(*wanted)

    assert (left, ids(history)) == ([1, 2, 3, 4, 5], [5])


def test_sweep_of_unfinished_statuses_is_refused(history):
    assert history("sweep", "--status", "pending", "--yes").returncode == 2


def test_sweep_needs_a_yes_and_a_dry_run_changes_nothing(history):
    asked = history("sweep", "--older-than", "0", "--keep-last", 0)
    told = history.json("sweep", "--older-than", "0", "--keep-last", 0, "-n")

    assert asked.returncode == 9
    assert told["jobs"] == {"completed": 3, "failed": 1}
    assert (ids(history), len(logs_of(history))) == ([1, 2, 3, 4, 5], 4)


def test_logs_only_keeps_the_history_and_deletes_logs_without_a_job(history):
    stray = history.folder / ".kiribi/logs/9999"
    stray.write_bytes(b"")

    history.ok("sweep", "--logs-only", "--older-than", "0", "--keep-last", 0, "--yes")

    assert (ids(history), logs_of(history)) == ([1, 2, 3, 4, 5], [])


def test_the_log_of_a_job_that_has_just_begun_is_no_stray_though_its_attempt_has_no_row_yet(desk):
    desk.enqueue()
    attempt = desk.hand.claim_one(desk.now).attempt_id
    desk.log(attempt, ("o", 5, b"hello\n"))

    verified = desk("db", "verify")
    desk("sweep", "--logs-only", "--yes")
    desk("sweep", "--max-bytes", 0, "--yes")

    assert (verified.code, verified.out) == (0, "")
    assert (desk.folder / ".kiribi/logs" / str(attempt)).exists()


def test_max_bytes_lets_the_oldest_logs_go(history):
    sizes = {attempt: (history.folder / f".kiribi/logs/{attempt}").stat().st_size for attempt in logs_of(history)}
    rest = sorted(sizes)[1:]

    history.ok("sweep", "--max-bytes", sum(sizes[attempt] for attempt in rest), "--yes")

    assert logs_of(history) == rest


def test_old_logs_are_packed_and_still_read(history):
    history.define(JOBS + "\n[logs]\ncompress_after = '1s'\n")
    for file in (history.folder / ".kiribi/logs").iterdir():
        os.utime(file, (0, 0))

    history.ok("sweep", "--yes")

    assert {file.suffix for file in (history.folder / ".kiribi/logs").iterdir()} == {".gz"}
    assert history.ok("logs", 1) == "hello"


# -- recover


def test_recover_settles_what_a_dead_worker_held_and_ends_its_processes(kiribi, eventually):
    kiribi.define(JOBS)
    job = kiribi.ok("enqueue", "Slow")
    with kiribi.worker() as worker:
        # It is running when it is claimed; the row of the attempt comes when it begins.
        [attempt] = eventually(lambda: kiribi.json("show", job)["attempt_list"])
        worker.kill()

    answer = kiribi.json("recover")

    assert (answer["action"], answer["ids"]) == ("recover", [int(job)])
    assert kiribi.status(job) == "retrying"
    assert [each["outcome"] for each in kiribi.json("show", job)["attempt_list"]] == ["worker_lost"]
    eventually(lambda: not Path(f"/proc/{attempt['pid']}").exists())


def test_recover_ends_also_a_job_that_was_to_live_on_and_leaves_no_launcher_behind(kiribi, eventually):
    kiribi.define('[jobs]\nSlow = { command = ["sleep", "3600"], on_worker_death = "adopt" }\n')
    job = kiribi.ok("enqueue", "Slow")
    with kiribi.worker() as worker:
        eventually(lambda: kiribi.status(job) == "running")
        worker.kill()

    kiribi.ok("recover")

    assert kiribi.status(job) == "retrying"
    eventually(lambda: not processes_of(kiribi.folder))


def test_a_dry_run_of_recover_names_the_jobs_and_settles_none(kiribi, eventually):
    kiribi.define(JOBS)
    job = kiribi.ok("enqueue", "Slow")
    with kiribi.worker() as worker:
        eventually(lambda: kiribi.status(job) == "running")
        worker.kill()

    answer = kiribi.json("recover", "-n")

    assert (answer["dry_run"], answer["changed"], answer["ids"]) == (True, 0, [int(job)])
    assert kiribi.status(job) == "running"


def test_recover_never_takes_a_living_worker_for_dead(kiribi, eventually):
    kiribi.define(JOBS)
    job = kiribi.ok("enqueue", "Slow")
    with kiribi.worker("--name", "here") as worker:
        eventually(lambda: kiribi.status(job) == "running")

        plain, forced = kiribi.json("recover"), kiribi("recover", "--force", "here", "--yes")
        status = kiribi.status(job)
        worker.kill()

    assert plain["ids"] == []
    assert (forced.returncode, status) == (9, "running")


def test_recover_force_of_an_unknown_worker_is_not_found(history):
    assert history("recover", "--force", "nobody").returncode == 3


# -- db


def test_a_backup_is_a_whole_database_for_the_owner_only(history):
    history.ok("db", "backup", "copy.db")

    copy = history.folder / "copy.db"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert len(history.json("--db", "copy.db", "ls")) == 5
    assert history("--db", "copy.db", "db", "verify").returncode == 0


def test_a_backup_replaces_a_file_only_with_yes_and_never_the_database(history):
    (history.folder / "copy.db").write_text("mine")

    refused = history("db", "backup", "copy.db")
    kept = (history.folder / "copy.db").read_text()
    replaced = history("db", "backup", "copy.db", "--yes")
    itself = history("db", "backup", ".kiribi/kiribi.db", "--yes")

    assert (refused.returncode, kept, replaced.returncode, itself.returncode) == (9, "mine", 0, 2)
    assert ids(history) == [1, 2, 3, 4, 5]


def test_a_backup_goes_through_a_pipe(history):
    with (history.folder / "piped.db").open("wb") as file:
        process = history.start("db", "backup", "-", stdout=file)
        assert process.wait() == 0

    assert len(history.json("--db", "piped.db", "ls")) == 5


@pytest.mark.damages
def test_verify_is_silent_on_a_sound_database_and_names_what_is_broken(history):
    sound = history("db", "verify")
    connection = sqlite3.connect(history.folder / ".kiribi/kiribi.db")
    connection.execute("DELETE FROM jobs WHERE id = 1")
    connection.commit()
    connection.close()

    broken = history("--json", "db", "verify")

    assert (sound.returncode, sound.stdout) == (0, "")
    assert broken.returncode == 1
    assert any("job 1" in problem for problem in json.loads(broken.stdout)["problems"])


def test_an_export_imports_into_an_empty_database_with_everything(history):
    history.ok("db", "export", "all.jsonl", "--logs")

    history.ok("--db", "new/kiribi.db", "db", "import", "all.jsonl")

    there = ("--db", "new/kiribi.db")
    assert history.json(*there, "ls") == history.json("ls")
    assert history.json(*there, "stats")["totals"] == history.json("stats")["totals"]
    assert history.ok(*there, "logs", 4) == "oh no"
    assert history.ok(*there, "enqueue", "Talk") == "6"


def test_an_import_into_a_database_with_jobs_is_refused(history):
    history.ok("db", "export", "all.jsonl")

    done = history("db", "import", "all.jsonl")

    assert done.returncode == 9
    assert ids(history) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("text", ["no json", "{}", "[1]", '{"kiribi": "kiribi", "schema": 99}', ""])
def test_an_import_of_something_else_is_refused_and_stores_nothing(kiribi, text):
    done = kiribi("--db", "new.db", "db", "import", "-", stdin=text)

    assert done.returncode == 7
    assert "Traceback" not in done.stderr
    assert kiribi.json("--db", "new.db", "ls") == []


def test_an_imported_log_cannot_leave_its_folder(history):
    lines = history.ok("db", "export").splitlines()
    lines.append(json.dumps({"table": "logs", "name": "1.x/../../../../evil", "data": ""}))

    done = history("--db", "new/kiribi.db", "db", "import", "-", stdin="\n".join(lines))

    assert done.returncode == 7
    assert not list(history.folder.rglob("evil"))


def test_vacuum_gives_space_back(kiribi):
    kiribi.define(JOBS)
    kiribi.ok("enqueue", "Talk", "--batch", "-", stdin="".join(f'{{"n": "{"x" * 900}{n}"}}\n' for n in range(2000)))
    kiribi.ok("cancel", "--job", "Talk", "--yes")
    kiribi.ok("sweep", "--older-than", "0", "--keep-last", 0, "--yes")

    answer = kiribi.json("db", "vacuum")

    assert answer["freed_bytes"] > 1_000_000
    assert kiribi("db", "verify").returncode == 0


def test_migrate_of_a_current_database_has_nothing_to_do(history):
    answer = history.json("db", "migrate")

    assert (answer["from"], answer["steps"]) == (answer["to"], [])


def test_info_tells_version_sizes_and_rows(history):
    answer = history.json("db", "info")

    assert answer["path"] == str(history.folder / ".kiribi/kiribi.db")
    assert answer["rows"]["jobs"] == 5
    assert answer["schema_version"] == answer["schema_known"]
    assert answer["log_bytes"] > 0


@pytest.mark.parametrize("command", ["info", "verify", "vacuum", "migrate", "export"])
def test_db_commands_say_so_when_there_is_no_database(kiribi, command):
    done = kiribi("db", command)

    assert done.returncode == 7
    assert "there is no database" in done.stderr


# -- doctor


def findings(kiribi, *arguments, code):
    done = kiribi("--json", "doctor", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return {(each["check"], each["status"]): each for each in json.loads(done.stdout)}


def test_doctor_finds_nothing_wrong_where_nothing_is(history):
    found = findings(history, "--deep", code=0)

    assert {status for _, status in found} == {"ok"}


def test_doctor_tells_a_file_that_others_can_read_and_how_to_close_it(history):
    database = history.folder / ".kiribi/kiribi.db"
    database.chmod(0o644)

    done = history("--json", "doctor")

    mends = [each["mend"] for each in json.loads(done.stdout) if each["status"] == "problem"]
    assert done.returncode == 1
    assert f"chmod go= {database}" in mends


def test_doctor_tells_of_a_broken_jobs_toml_and_goes_on(history):
    history.define('[jobs]\nA = { comand = ["x"] }\n')

    found = findings(history, code=1)

    assert "command" in found["config", "problem"]["message"]
    assert found["config", "problem"]["mend"].startswith("kiribi check")


def test_doctor_tells_which_jobs_toml_is_hidden_by_another(history):
    below = history.folder / "below"
    below.mkdir()
    (below / "jobs.toml").write_text("[jobs]\nA = 'true'\n")

    done = history("--json", "doctor", cwd=below)

    warnings = [each["message"] for each in json.loads(done.stdout) if each["status"] == "warning"]
    assert any(str(history.folder / "jobs.toml") in message for message in warnings)


def test_doctor_tells_of_a_dead_worker_and_the_command_that_settles_its_jobs(kiribi, eventually):
    kiribi.define(JOBS)
    job = kiribi.ok("enqueue", "Slow")
    with kiribi.worker() as worker:
        eventually(lambda: kiribi.status(job) == "running")
        worker.kill()

    before = findings(kiribi, code=1)
    kiribi.ok(*before["workers", "problem"]["mend"].split()[1:])

    assert ("workers", "problem") not in findings(kiribi, code=0)


def test_doctor_tells_of_jobs_whose_definition_is_gone(history):
    history.define('[jobs]\nOther = ["true"]\n')

    found = findings(history, code=1)

    assert "Talk" in found["jobs", "problem"]["message"]


def test_doctor_tells_of_logs_without_a_job_and_its_cure_works(history):
    (history.folder / ".kiribi/logs/9999").write_bytes(b"")

    found = findings(history, code=0)
    history.ok(*found["logs", "warning"]["mend"].split()[1:], "--yes")

    assert ("logs", "ok") in findings(history, code=0)


def test_doctor_works_where_there_is_nothing_at_all(kiribi):
    found = findings(kiribi, code=0)

    assert ("database", "warning") in found


def test_doctor_tells_of_a_file_that_is_no_database(kiribi):
    (kiribi.folder / "x.db").write_text("something else entirely, and long enough to be read as a page" * 100)
    (kiribi.folder / "x.db").chmod(0o600)

    done = kiribi("--json", "--db", "x.db", "doctor")

    assert done.returncode == 1
    assert any("not a database" in each["message"] for each in json.loads(done.stdout))
