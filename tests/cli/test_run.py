"""`kiribi run`: in the foreground, recorded, with the job's exit code."""

import signal
import subprocess

import pytest


def _last(kiribi):
    return kiribi.json("show", "@last")


def test_the_output_passes_through_and_the_job_is_recorded(kiribi):
    done = kiribi("run", "--name", "hello", "--", "sh", "-c", "echo out; echo err >&2")

    job = _last(kiribi)
    assert (done.returncode, done.stdout, done.stderr) == (0, "out\n", "err\n")
    assert (job["job"], job["status"], job["origin"]["kind"]) == ("hello", "completed", "run")
    assert kiribi.ok("logs", job["id"]) == "out\nerr"


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["--", "sh", "-c", "exit 3"], 3),
        (["--", "sh", "-c", "kill -SEGV $$"], 128 + signal.SIGSEGV),
        (["--timeout", "100ms", "--", "sleep", "60"], 124),
        (["--", "no-such-program"], 127),
        (["--", "./jobs.toml"], 126),
        (["--success-codes", "0,24", "--", "sh", "-c", "exit 24"], 24),
        (["NoSuchJob"], 125),
    ],
)
def test_the_exit_code_is_the_jobs_or_says_why_there_is_none(kiribi, argv, code):
    kiribi.define("")

    assert kiribi("run", *argv).returncode == code


def test_a_code_that_was_made_a_success_is_one(kiribi):
    kiribi("run", "--success-codes", "0,24", "--", "sh", "-c", "exit 24")

    assert _last(kiribi)["status"] == "completed"


def test_a_failure_is_said_in_one_line_with_job_code_and_attempts(kiribi):
    done = kiribi("run", "--name", "backup", "--max-attempts", "2", "--backoff", "10ms", "--", "false")

    job = _last(kiribi)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"kiribi: backup (job {job['id']}) failed: exit 1 after 2 attempts, "
    )
    assert [attempt["decision"] for attempt in job["attempt_list"]] == ["retry", "fail"]


def test_exit_75_waits_in_the_foreground_and_tries_again(kiribi):
    kiribi.define('[jobs.Later]\nshell = "test -e done || { touch done; exit 75; }"\nbackoff = "10ms"\n')

    done = kiribi("run", "Later")

    assert done.returncode == 0
    assert _last(kiribi)["snoozes"] == 1


def test_a_definition_gets_a_workers_environment_and_a_command_the_callers(kiribi):
    kiribi.define('[jobs]\nShow = "echo ${MINE:-unset}"')

    definition = kiribi.ok("run", "Show", env={"MINE": "tell-tale"})
    command = kiribi.ok("run", "--", "sh", "-c", "echo ${MINE:-unset}", env={"MINE": "tell-tale"})

    assert (definition, command) == ("unset", "tell-tale")
    assert "tell-tale" not in kiribi.ok("--json", "show", "@last")


def test_quiet_on_success_is_silent_and_prints_all_after_a_failure(kiribi):
    good = kiribi("run", "--quiet-on-success", "--", "sh", "-c", "echo fine; echo fine >&2")
    bad = kiribi("run", "--quiet-on-success", "--", "sh", "-c", "echo out; echo err >&2; exit 4")

    assert (good.returncode, good.stdout, good.stderr) == (0, "", "")
    assert (bad.returncode, bad.stdout) == (4, "out\n")
    assert bad.stderr.startswith("err\nkiribi: sh (job 2) failed: exit 4 after 1 attempt")


def test_stdin_is_the_payload_or_with_i_the_callers(kiribi):
    kiribi.define('[jobs]\nCat = ["cat"]')

    payload = kiribi.ok("run", "Cat", "-p", '{"a": 1}')
    passed = kiribi.ok("run", "-i", "--", "cat", stdin="from the caller")
    nothing = kiribi.ok("run", "--", "cat", stdin="not read")

    assert (payload, passed, nothing) == ('{"a": 1}', "from the caller", "")


def test_json_prints_the_job_alone_on_stdout(kiribi):
    done = kiribi("--json", "run", "--", "echo", "to stderr")

    assert done.stderr == "to stderr\n"
    assert done.stdout.startswith('{"id": 1, ')


def test_no_record_leaves_no_job_and_no_log_behind(kiribi):
    kiribi.ok("run", "--no-record", "--", "echo", "gone")

    assert kiribi.json("ls") == []
    assert list((kiribi.home / ".local/state/kiribi/logs").iterdir()) == []


@pytest.mark.parametrize(("act", "code"), [("skip", 0), ("fail", 75), ("wait:100ms", 75)])
def test_a_taken_key_is_skipped_or_refused_and_nothing_is_recorded(kiribi, eventually, act, code):
    holder = kiribi.start("run", "--unique", "k", "--", "sleep", "60")
    eventually(lambda: "running" in kiribi("--json", "ls").stdout)

    done = kiribi("run", "--unique", "k", "--if-busy", act, "--", "echo", "no")
    holder.send_signal(signal.SIGTERM)
    holder.wait()

    assert (done.returncode, done.stdout) == (code, "")
    assert len(kiribi.json("ls")) == 1


def test_a_taken_key_is_waited_for(kiribi, eventually):
    holder = kiribi.start("run", "--unique", "k", "--", "sh", "-c", "while test ! -e go; do sleep 0.01; done")
    eventually(lambda: "running" in kiribi("--json", "ls").stdout)
    waiter = kiribi.start("run", "--unique", "k", "--", "echo", "at last", stdout=subprocess.PIPE)
    (kiribi.folder / "go").touch()

    out, _ = waiter.communicate(timeout=30)

    assert (holder.wait(), waiter.returncode, out) == (0, 0, b"at last\n")


# HUP: its terminal is closed, as for any command in it.
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_passed_on_and_ends_the_job_as_cancelled(kiribi, eventually, number):
    listener = f"trap 'touch heard; exit 0' {int(number)}; touch up; while :; do sleep 0.01; done"
    run = kiribi.start("run", "--", "sh", "-c", listener)
    eventually((kiribi.folder / "up").exists)
    run.send_signal(number)

    assert run.wait() == 128 + number
    assert (kiribi.folder / "heard").exists()
    assert _last(kiribi)["status"] == "cancelled"


def test_under_nohup_a_terminal_that_closes_means_nothing(kiribi, eventually):
    waiting = ("sh", "-c", "touch up; while test ! -e go; do sleep 0.01; done")
    run = kiribi.start("run", "--", *waiting, under=["nohup"])
    eventually((kiribi.folder / "up").exists)
    run.send_signal(signal.SIGHUP)
    (kiribi.folder / "go").touch()

    assert run.wait() == 0
    assert _last(kiribi)["status"] == "completed"


def test_a_job_that_runs_in_the_foreground_is_never_taken_by_a_worker(kiribi, eventually, tmp_path):
    kiribi.define('[jobs.Again]\nshell = "echo x >> ran; exit 1"\nmax_attempts = 3\nbackoff = "300ms"\n')
    kiribi.ok("enqueue", "--", "true")
    kiribi.worker()

    done = kiribi("run", "Again")

    workers = {attempt["worker"].split(":")[0] for attempt in _last(kiribi)["attempt_list"]}
    assert done.returncode == 1
    assert workers == {"run"}
    assert (kiribi.folder / "ran").read_text() == "x\n" * 3


def test_when_it_is_killed_a_worker_goes_on_with_a_definition_but_never_with_a_command(kiribi, eventually):
    kiribi.define('[jobs.Def]\nshell = "test -e up || { touch up; sleep 60; }"\nbackoff = "10ms"\n')
    command = kiribi.start("run", "--max-attempts", "5", "--", "sh", "-c", "touch cmd; sleep 60")
    definition = kiribi.start("run", "Def")
    eventually(lambda: (kiribi.folder / "up").exists() and (kiribi.folder / "cmd").exists())
    for run in (command, definition):
        run.kill()
        run.wait()

    kiribi.worker("--idle-exit", "3s")
    eventually(lambda: {job["status"] for job in kiribi.json("ls")} == {"completed", "failed"})

    by_name = {job["job"]: job["status"] for job in kiribi.json("ls")}
    assert by_name == {"Def": "completed", "sh": "failed"}


def test_without_a_usable_database_it_runs_all_the_same_and_says_so(kiribi):
    (kiribi.folder / "broken.db").write_text("this is no database, but long enough to be read as one" * 50)

    done = kiribi("--db", "broken.db", "run", "--", "echo", "done")
    with_key = kiribi("--db", "broken.db", "run", "--unique", "k", "--", "echo", "done")

    assert (done.returncode, done.stdout) == (0, "done\n")
    assert "unrecorded" in done.stderr
    assert (with_key.returncode, with_key.stdout) == (125, "")


def test_a_person_can_cancel_it_from_elsewhere(kiribi, eventually):
    run = kiribi.start("run", "--", "sleep", "60")
    eventually(lambda: '"pid": ' in (shown := kiribi("--json", "show", "@last").stdout) and '"pid": null' not in shown)
    kiribi.ok("cancel", "@last")

    assert run.wait() != 0
    assert _last(kiribi)["status"] == "cancelled"
