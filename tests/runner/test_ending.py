"""Attempts that are stopped: nothing of them is left, and nothing else is touched."""

import json
import os
import signal
import subprocess
import sys

import pytest

from kiribi_cli.core.definition import Definition
from kiribi_cli.core.outcome import Cancelled, Exited, Interrupted, Signalled, TimedOut
from kiribi_cli.runner.launch import Returned
from kiribi_cli.runner.process import leftovers

# Each leaves a process behind that is hard to get rid of, whose pid it writes to `pid`.
STUBBORN = {
    "first process that ignores TERM": 'trap "" TERM; echo $$ > pid; while :; do sleep 1; done',
    "child in the group that ignores TERM": """(trap "" TERM; sh -c 'echo $PPID > pid'; while :; do sleep 1; done) & wait""",
    "child in a session of its own": "setsid sh -c 'trap \"\" TERM; echo $$ > pid; while :; do sleep 1; done' & wait",
    "double fork in a session of its own": """
        setsid sh -c '(trap "" TERM HUP; exec >/dev/null 2>&1; sh -c "echo \\$PPID > pid"; while :; do sleep 1; done) &' &
        sleep 60""",
    "stopped process": "sh -c 'echo $$ > pid; kill -STOP $$' & wait",
    "process that renamed itself": """exec python3 -c '
import ctypes, os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork():
    os.setsid() if os.getpid() != os.getsid(0) else None
    os._exit(0) if False else os.waitpid(-1, 0)
open("pid", "w").write("%d\\n" % os.getpid())
ctypes.CDLL(None).prctl(15, b") R 1 1 1 x", 0, 0, 0)
while True: signal.pause()
'""",
}


@pytest.mark.parametrize("how", ["timeout", "cancel", "interrupt"])
def test_the_reason_is_reported(bench, eventually, how):
    attempt = bench.start("sleep 60", work={"timeout_ms": 200} if how == "timeout" else {})
    if how != "timeout":
        eventually(lambda: bench.started(attempt))
        bench.hands.stop(attempt, how, by="somebody")

    ended = eventually(lambda: bench.ended(attempt))

    assert (
        ended.outcome
        == {
            "timeout": TimedOut(200),
            "cancel": Cancelled("somebody"),
            "interrupt": Interrupted(),
        }[how]
    )


@pytest.mark.parametrize("command", STUBBORN.values(), ids=STUBBORN)
def test_a_cancel_leaves_nothing(bench, eventually, pid_in, is_running, command):
    attempt = bench.start(command, kill_after_ms=200)
    pid = pid_in("pid")
    assert is_running(pid)
    bench.hands.stop(attempt, "cancel")

    ended = eventually(lambda: bench.ended(attempt))

    assert isinstance(ended.outcome, Cancelled)
    assert not is_running(pid)


def test_the_stop_signal_gives_time_to_obey(bench, eventually, pid_in):
    attempt = bench.start(
        'trap "echo bye; exit 7" INT; echo $$ > pid; while :; do sleep 0.05; done',
        stop_signal="SIGINT",
        kill_after_ms=60_000,
    )
    pid_in("pid")
    bench.hands.stop(attempt, "interrupt")

    ended = eventually(lambda: bench.ended(attempt))

    assert ended.outcome == Interrupted()
    assert bench.log(attempt) == b"bye\n"


def test_what_is_outside_the_group_hears_of_the_stop_when_the_first_process_is_gone(bench, eventually, pid_in):
    attempt = bench.start(
        """setsid sh -c 'trap "echo told > told; exit" TERM; echo $$ > pid; while :; do sleep 0.05; done' & wait""",
        kill_after_ms=60_000,
    )
    pid_in("pid")
    bench.hands.stop(attempt, "cancel")

    eventually(lambda: bench.ended(attempt))

    assert (bench.folder / "told").exists()


def test_a_stopped_first_process_hears_the_stop_signal(bench, eventually, pid_in):
    attempt = bench.start('trap "echo bye; exit" TERM; echo $$ > pid; kill -STOP $$; sleep 60', kill_after_ms=60_000)
    pid_in("pid")
    bench.hands.stop(attempt, "cancel")

    eventually(lambda: bench.ended(attempt))

    assert bench.log(attempt) == b"bye\n"


def test_asking_again_shortens_the_grace(bench, eventually, pid_in):
    attempt = bench.start('trap "" TERM; echo $$ > pid; while :; do sleep 1; done', kill_after_ms=3_600_000)
    pid_in("pid")
    bench.hands.stop(attempt, "interrupt")
    bench.hands.stop(attempt, "cancel", by="me", kill_after_ms=0)

    ended = eventually(lambda: bench.ended(attempt))

    assert ended.outcome == Cancelled("me")


def test_an_attempt_that_ended_by_itself_keeps_its_own_end(bench, eventually, pid_in, is_running):
    attempt = bench.start("echo $$ > pid; exit 3")
    pid = pid_in("pid")
    eventually(lambda: not is_running(pid))
    bench.hands.stop(attempt, "cancel")

    ended = eventually(lambda: bench.ended(attempt))

    assert ended.outcome == Exited(3)


def test_other_processes_are_not_touched(bench, eventually, pid_in, is_running):
    # The same marker, but of another database: somebody else's job with the same number.
    stranger = subprocess.Popen(
        ["sleep", "60"],
        env={"KIRIBI_ATTEMPT_ID": "1", "KIRIBI_JOB_ID": "1", "KIRIBI_DB": "/other.db", "PATH": "/bin:/usr/bin"},
    )
    other = bench.start("echo $$ > other; exec sleep 60", work={"job_id": 50})
    attempt = bench.start("echo $$ > pid; exec sleep 60", kill_after_ms=0)
    pid_in("pid")
    bench.hands.stop(attempt, "cancel")

    eventually(lambda: bench.ended(attempt))

    assert is_running(stranger.pid)
    assert is_running(pid_in("other"))
    assert bench.ended(other) is None
    stranger.kill()
    stranger.wait()


def test_an_attempt_ends_with_its_first_process_whatever_holds_its_output(bench, run, pid_in, is_running):
    ended = run("(sleep 60; echo late) & echo $! > pid; echo done")

    assert ended.outcome == Exited(0)
    assert bench.log(ended.attempt_id) == b"done\n"
    assert is_running(pid_in("pid"))


@pytest.mark.needs("bash")
def test_output_that_a_helper_writes_just_after_the_end_is_kept(bench, run):
    ended = run(("/bin/bash", "-c", "exec > >(cat) 2>&1; for i in $(seq 200); do echo line $i; done"))

    assert bench.log(ended.attempt_id).splitlines()[-1] == b"line 200"


def test_what_is_left_behind_may_go_on_talking(bench, run, eventually, pid_in, is_running):
    # 200 KB fill any pipe that nobody reads, and a closed one would end it by SIGPIPE.
    run("(while ! test -e enough; do sleep 0.01; done; head -c 200000 /dev/zero; echo $? > pid; sleep 60) & true")
    (bench.folder / "enough").touch()

    eventually((bench.folder / "pid").exists)

    assert (bench.folder / "pid").read_text() == "0\n"


def test_what_an_earlier_attempt_left_is_ended_before_the_next_starts(bench, eventually, pid_in, is_running):
    first = bench.start(
        "setsid sh -c '(trap \"\" TERM; echo $$ > pid; exec >&- 2>&-; while :; do sleep 1; done)' & sleep 0.1",
        work={"job_id": 9},
    )
    eventually(lambda: bench.ended(first))
    pid = pid_in("pid")
    assert is_running(pid)

    second = bench.start(
        f"test -d /proc/{pid} && grep -q '^State:.[^Z]' /proc/{pid}/status && exit 9; exit 0",
        kill_after_ms=100,
        work={"job_id": 9, "earlier": True},
    )
    ended = eventually(lambda: bench.ended(second))

    assert ended.outcome == Exited(0)
    assert not is_running(pid)


def test_what_waits_in_the_hands_can_be_recalled_and_leaves_no_trace(tmp_path, make_bench, eventually):
    (tmp_path / "one").mkdir()
    bench = make_bench(tmp_path / "one", slots=1)
    running = bench.start("exec sleep 60")
    waiting = [bench.start(f"touch started-{number}") for number in range(3)]
    eventually(lambda: bench.started(running))
    bench.hands.recall()

    eventually(lambda: bench.look() or sum(isinstance(report, Returned) for report in bench.seen) == 3)

    assert [report.attempt_id for report in bench.seen if isinstance(report, Returned)] == waiting
    assert list(bench.folder.glob("started-*")) == []


def test_a_waiting_attempt_that_is_cancelled_never_starts(tmp_path, make_bench, eventually):
    (tmp_path / "one").mkdir()
    bench = make_bench(tmp_path / "one", slots=1)
    running = bench.start("exec sleep 60")
    waiting = bench.start("touch started")
    bench.hands.stop(waiting, "cancel", by="me")

    ended = eventually(lambda: bench.ended(waiting))
    bench.hands.stop(running, "cancel", kill_after_ms=0)
    eventually(lambda: bench.ended(running))

    assert (ended.outcome, ended.started_at) == (Cancelled("me"), None)
    assert not (bench.folder / "started").exists()


def test_a_chain_of_forks_cannot_run_away(bench, eventually, is_running):
    # Each process lives for five milliseconds, less than it takes to look for it and to signal it.
    text = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def chain():
    os.setsid()
    for _ in range(2000):
        if os.fork(): os._exit(0)
        with open("pids", "a") as file: file.write(f"{os.getpid()}\\n")
        time.sleep(0.005)
    os._exit(0)
for _ in range(2):
    if os.fork() == 0: chain()
signal.pause()
"""
    attempt = bench.start((sys.executable, "-c", text), kill_after_ms=50)
    eventually((bench.folder / "pids").exists)
    bench.hands.stop(attempt, "cancel")

    eventually(lambda: bench.ended(attempt))
    pids = (bench.folder / "pids").read_text().split()

    assert leftovers({attempt}, bench.db) == []
    assert len(pids) < 4000
    assert [pid for pid in pids if is_running(int(pid))] == []


def test_an_unknown_attempt_is_ignored(bench, run):
    bench.hands.stop(4711, "cancel")

    assert run("true").outcome == Exited(0)


def test_a_signal_from_elsewhere_is_not_ours(bench, eventually):
    attempt = bench.start("exec sleep 60")
    started = eventually(lambda: bench.started(attempt))
    os.kill(started.pid, signal.SIGKILL)

    ended = eventually(lambda: bench.ended(attempt))

    assert ended.outcome == Signalled(9)


def test_the_deadline_is_told(bench, run):
    ended = run('echo "$KIRIBI_DEADLINE"', work={"timeout_ms": 60_000})

    assert bench.log(ended.attempt_id).decode().startswith("20")
    assert json.dumps(bench.log(ended.attempt_id).decode().strip()).endswith('Z"')


def test_ctrl_c_and_hangup_are_none_of_the_hands_business(bench, run):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        os.kill(bench.hands.pid, number)

    assert run("true").outcome == Exited(0)


def test_many_definitions_are_no_trouble(bench, eventually):
    for number in range(300):
        bench.start_as(
            Definition(
                name=f"D{number}", kind="command", command=("true",), cwd=str(bench.folder), nice=0, log_max=number + 1
            )
        )

    eventually(lambda: bench.look() or sum(type(report).__name__ == "Ended" for report in bench.seen) == 300)
