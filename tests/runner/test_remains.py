"""Hands that were killed: nothing of what they were given begins any more, and all that they left is found and ended."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from kiribi_cli.runner.process import boot_id, end_leftovers, leftovers, look, pid_namespace, start_ticks
from kiribi_cli.runner.remains import bury, end_hands_of, kept

# Each writes the pid of what is hard to recognise to `pid`, and ends its own first process where it can.
UNRECOGNISABLE = {
    "no environment, own session, no parents": "setsid sh -c 'env -i sh -c \"echo \\$\\$ > pid; exec sleep 60\" &' &",
    "no environment, session of a job that is gone": "env -i sh -c 'echo $$ > pid; exec sleep 60' &",
    "no environment, below one that has none": "setsid env -i sh -c '(echo $$ > pid; exec sleep 60) & wait' &",
}


def me() -> tuple[int, int]:
    return os.getpid(), start_ticks(os.getpid())


@pytest.mark.parametrize("command", UNRECOGNISABLE.values(), ids=UNRECOGNISABLE)
def test_what_threw_its_environment_away_is_still_known_as_the_jobs(bench, run, pid_in, is_running, command):
    ended = run(command)
    pid = pid_in("pid")

    found = [process.pid for process in leftovers((), bench.db, jobs=[ended.attempt_id])]
    left = end_leftovers((), bench.db, jobs=[ended.attempt_id])

    assert pid in found
    assert left == []
    assert not is_running(pid)


def test_what_threw_its_environment_away_is_gone_before_the_next_attempt_starts(bench, run, pid_in, is_running):
    run(
        "env -i setsid sh -c 'echo $$ > pid; exec sleep 60' & while ! test -s pid; do sleep 0.01; done",
        work={"job_id": 9},
    )
    pid = pid_in("pid")
    run(f"! test -d /proc/{pid} || touch both", work={"job_id": 9, "earlier": True}, kill_after_ms=100)

    assert not (bench.folder / "both").exists()


def test_hands_and_what_is_started_by_the_way_are_not_branded(bench, run):
    run("true")
    status = Path(f"/proc/{bench.hands.pid}/limits").read_text()

    assert "unlimited" in next(line for line in status.splitlines() if "realtime timeout" in line)


def test_ended_hands_begin_nothing_more_and_their_children_are_gone(bench, eventually, pid_in, is_running):
    bench.module(
        "work", "import os, time\ndef long(n):\n    open(f'began-{n}', 'w').write(f'{os.getpid()}\\n'); time.sleep(60)"
    )
    for number in range(3):
        bench.python("work:long", work={"payload": f'{{"n": {number}}}'}, kill_after_ms=60_000)
    pids = [pid_in(f"began-{number}") for number in range(3)]
    waiting = bench.start("touch started")
    os.kill(bench.hands.pid, signal.SIGSTOP)
    bench.start("touch started")
    (bench.folder / "started").unlink(missing_ok=True)

    left = end_hands_of(str(bench.files), *me())

    assert left == []
    assert waiting
    assert not [pid for pid in (bench.hands.pid, *pids) if is_running(pid)]
    assert not (bench.folder / "started").exists()


def test_a_child_that_was_stopped_when_its_hands_died_begins_nothing_when_it_goes_on(tmp_path, make_bench, eventually):
    (tmp_path / "one").mkdir()
    bench = make_bench(tmp_path / "one", slots=1)
    bench.module(
        "more", "import os\ndef note(n): open(f'ran-{n}', 'w'); os.kill(os.getpid(), 19) if n == 100 else None"
    )
    for number in range(200):
        bench.python("more:note", work={"payload": f'{{"n": {number}}}'}, reuse=1000)
    eventually(lambda: _state_of_child(bench.hands.pid) == "T")
    (child,) = _children(bench.hands.pid)
    ticks = start_ticks(child)
    os.kill(bench.hands.pid, signal.SIGKILL)
    os.waitpid(bench.hands.pid, 0)
    if start_ticks(child) == ticks:
        os.kill(child, signal.SIGCONT)
    eventually(lambda: (one := look(child)) is None or one.state in "ZX" or one.start_ticks != ticks)

    assert len(list(bench.folder.glob("ran-*"))) == 101


@pytest.mark.parametrize("what", ["start time", "boot", "namespace"])
def test_an_innocent_that_got_the_number_of_hands_is_left_alone(tmp_path, what):
    innocent = subprocess.Popen(["sleep", "60"], start_new_session=True)
    boot = "another" if what == "boot" else boot_id()
    namespace = "pid:[1]" if what == "namespace" else pid_namespace()
    ticks = start_ticks(innocent.pid) + (what == "start time")
    path = tmp_path / f"hands-{innocent.pid}.json"
    path.write_text(f'["{boot}", "{namespace}", {innocent.pid}, {ticks}, 4, 5]')
    left = end_hands_of(str(tmp_path), 4, 5)
    bury(str(tmp_path))
    lives = innocent.poll() is None
    innocent.kill()
    innocent.wait()

    assert left == []
    assert lives
    # Hands of another namespace may live, where we cannot see them.
    assert bool(kept(str(tmp_path))) is (what == "namespace")


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _state_of_child(pid: int) -> str:
    return next((process.state for child in _children(pid) if (process := look(child))), "")
