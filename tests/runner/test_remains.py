"""Hands that were killed: nothing of what they were given begins any more, and all that they left is found and ended."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from kiribi_cli.clock import monotonic
from kiribi_cli.runner.process import boot_id, end_leftovers, leftovers, look, pid_namespace, signal_groups, start_ticks
from kiribi_cli.runner.remains import bury, end_hands_of, kept

# Each writes the pid of what is hard to recognise to `pid`, and ends its own first process where it can.
UNRECOGNISABLE = {
    "no environment, own session, no parents": "setsid sh -c 'env -i sh -c \"echo \\$\\$ > pid; exec sleep 60\" &' &",
    "no environment, session of a job that is gone": "env -i sh -c 'echo $$ > pid; exec sleep 60' &",
    "no environment, below one that has none": "setsid env -i sh -c '(echo $$ > pid; exec sleep 60) & wait' &",
}

# Hands that are killed when they have just given a job to a child that is stopped.
HANDS = """
import os, select, signal, sys
from pathlib import Path
from kiribi_cli.core.definition import Definition
from kiribi_cli.runner import pooled
from kiribi_cli.runner.attempt import Attempt, Base
from kiribi_cli.runner.hands import _fields
from kiribi_cli.runner.launch import Place, Work
from kiribi_cli.runner.prepare import prepare
from kiribi_cli.runner.process import start_ticks

folder = sys.argv[1]
rules = Definition(name="Py", kind="python", python="more:note", cwd=folder)
launch = prepare(rules, Work(1, 1, "Py", "default", 1, 3, 2, 0, payload='{"n": 1}'), Place(dict(os.environ), sys.executable))
base = Base(_fields(launch.base))
null = os.open(os.devnull, os.O_RDWR)
child = pooled.start_child(base, str(Path(pooled.__file__).with_name("child.py")), null, f"{os.getpid()}:1")
select.select([child.turns], [], [])
os.kill(child.pid, signal.SIGSTOP)
os.waitpid(child.pid, os.WUNTRACED)
child.give([Attempt(base, [1, 1, "", list(launch.argv), launch.env, launch.payload, launch.stdin, None, False], folder, folder)], folder, os.devnull)
print(child.pid, start_ticks(child.pid), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


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


def test_what_a_callable_forked_is_gone_before_the_next_attempt_and_its_interpreter_is_not(
    bench, run, call, pid_in, is_running
):
    bench.module(
        "work",
        "import os, time\n"
        "def leave():\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        if os.fork(): os._exit(0)\n"
        "        open('pid', 'w').write(f'{os.getpid()}\\n'); time.sleep(60); os._exit(0)\n"
        "    while not os.path.exists('pid') or not os.path.getsize('pid'): time.sleep(0.01)\n"
        "def same(): return os.getpid()",
    )
    call("work:leave", work={"job_id": 9}, reuse=100)
    pid, interpreter = pid_in("pid"), call("work:same", work={"job_id": 10}, reuse=100).result
    found = {process.pid for process in leftovers((), bench.db, jobs=[9, 10])}
    call("work:same", work={"job_id": 9, "earlier": True}, reuse=100, kill_after_ms=100)

    assert found == {pid}
    assert not is_running(pid)
    assert is_running(int(interpreter))


def test_hands_and_what_is_started_by_the_way_are_not_branded(bench, run):
    run("true")
    status = Path(f"/proc/{bench.hands.pid}/limits").read_text()

    (line,) = [line for line in status.splitlines() if "realtime timeout" in line]
    assert line.count("unlimited") == 2


def test_ended_hands_begin_nothing_more_and_their_children_are_gone(bench, eventually, pid_in, is_running):
    bench.module(
        "work", "import os, time\ndef long(n):\n    open(f'began-{n}', 'w').write(f'{os.getpid()}\\n'); time.sleep(60)"
    )
    for number in range(3):
        bench.python("work:long", work={"payload": f'{{"n": {number}}}'}, kill_after_ms=60_000)
    pids = [pid_in(f"began-{number}") for number in range(3)]
    os.kill(bench.hands.pid, signal.SIGSTOP)
    bench.start("touch started")

    left = end_hands_of(str(bench.files), *me())

    assert left == []
    assert not [pid for pid in (bench.hands.pid, *pids) if is_running(pid)]
    assert not (bench.folder / "started").exists()


def test_a_child_that_was_stopped_when_its_hands_died_begins_nothing_when_it_goes_on(tmp_path, eventually):
    (tmp_path / "more.py").write_text("def note(n): open('ran', 'w')\n")
    hands = subprocess.run([sys.executable, "-c", HANDS, tmp_path], capture_output=True, text=True)
    child, ticks = (int(word) for word in hands.stdout.split())
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGCONT)
    eventually(lambda: (one := look(child)) is None or one.state in "ZX" or one.start_ticks != ticks)

    assert hands.returncode == -signal.SIGKILL, hands.stderr
    assert not (tmp_path / "ran").exists()


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


def test_a_socket_of_hands_that_nobody_had_written_down_goes_when_they_are_gone(tmp_path):
    gone = subprocess.Popen(["true"])
    gone.wait()
    lives = subprocess.Popen(["sleep", "60"])
    for pid in (gone.pid, lives.pid):
        (tmp_path / f"hands-{pid}.sock").touch()
    bury(str(tmp_path))
    lives.kill()
    lives.wait()

    assert [path.name for path in tmp_path.iterdir()] == [f"hands-{lives.pid}.sock"]


def test_a_group_that_was_seen_long_ago_is_not_signalled_its_number_may_be_an_innocents():
    innocent, known = (subprocess.Popen(["sleep", "60"], start_new_session=True) for _ in range(2))
    groups = {innocent.pid: monotonic() - 1, known.pid: monotonic()}
    signal_groups(groups, signal.SIGTERM)
    ended = known.wait(30)
    lives = innocent.poll() is None
    innocent.kill()
    innocent.wait()

    assert (lives, ended) == (True, -signal.SIGTERM)
    assert list(groups) == [known.pid]


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
