"""Brain and hands: what becomes of running attempts when either dies."""

import os
import select
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from kiribi_cli.core.outcome import Ended, Exited
from kiribi_cli.runner.hands import Hands, HandsLost, remove_files, waiting
from kiribi_cli.runner.launch import Lost, Started
from kiribi_cli.runner.process import end_leftovers, is_alive, leftovers
from kiribi_cli.runner.remains import bury

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def attach(bench, eventually):
    """Attach to the hands of the bench, as the next worker does."""

    def attach():
        bench.seen.clear()
        bench.hands.close()
        bench.hands = Hands.attach(bench.hands.path)

    return attach


def test_an_adopted_attempt_runs_on_and_its_true_end_and_whole_log_are_known(bench, eventually, attach):
    attempt = bench.start(
        "echo before; while ! test -e go; do sleep 0.01; done; echo after; exit 7", on_worker_death="adopt"
    )
    first = eventually(lambda: bench.started(attempt))
    attach()

    again = eventually(lambda: bench.started(attempt))
    (bench.folder / "go").touch()
    ended = eventually(lambda: bench.ended(attempt))

    assert again == first
    assert ended.outcome == Exited(7)
    assert bench.log(attempt) == b"before\nafter\n"


def test_an_end_that_nobody_stored_is_kept_until_somebody_has(bench, eventually, attach):
    attempt = bench.start("exit 5", on_worker_death="adopt")
    eventually(lambda: bench.ended(attempt))
    attach()
    again = eventually(lambda: bench.ended(attempt))
    bench.hands.settled([attempt])
    pid = bench.hands.pid
    bench.hands.close()

    assert again.outcome == Exited(5)
    eventually(lambda: reaped(pid))


def test_a_killed_brain_takes_its_jobs_along(bench, eventually, pid_in, is_running):
    bench.start("(trap '' TERM; while :; do sleep 1; done) & echo $! > child; echo $$ > pid; wait", kill_after_ms=200)
    pids = [pid_in("pid"), pid_in("child")]
    hands = bench.hands.pid
    bench.hands.close()

    eventually(lambda: reaped(hands))

    assert [pid for pid in pids if is_running(pid)] == []
    assert list(waiting(str(bench.files))) == []


def reaped(pid):
    """Tell whether a launcher that we started is gone."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def test_attempts_that_are_not_adopted_are_told_as_lost_to_the_next_brain_and_when_they_are_gone(
    bench, eventually, attach, pid_in, is_running
):
    lost = bench.start("trap '' TERM; echo $$ > lost; while :; do sleep 0.1; done", kill_after_ms=300)
    kept = bench.start("echo $$ > pid; exec sleep 60", on_worker_death="adopt")
    pids = [pid_in("lost"), pid_in("pid")]
    attach()
    eventually(lambda: bench.look() or bench.all(Lost, lost)[-1:] == [Lost(lost, is_over=True)])

    assert bench.all(Lost, lost) == [Lost(lost, is_over=False), Lost(lost, is_over=True)]
    assert {type(report) for report in bench.seen if report.attempt_id == kept} == {Started}
    assert [is_running(pid) for pid in pids] == [False, True]


def test_a_callable_that_has_just_begun_when_the_brain_dies_is_ended_as_well(bench, eventually, attach, is_running):
    bench.module(
        "work",
        "import os, signal\n"
        "def ready(): signal.signal(15, signal.SIG_IGN)\n"
        "def wait():\n signal.signal(15, signal.SIG_IGN); os.symlink(str(os.getpid()), 'pid')\n while True: signal.pause()",
    )
    first = bench.python("work:ready", reuse=100)
    eventually(lambda: bench.ended(first))
    lost = bench.python("work:wait", reuse=100, kill_after_ms=1000)
    # Sooner than anybody notes that it has begun.
    while not (bench.folder / "pid").is_symlink():
        pass
    attach()
    eventually(lambda: bench.look() or bench.all(Lost, lost)[-1:] == [Lost(lost, is_over=True)])

    assert not is_running(int((bench.folder / "pid").readlink().name))


def test_hands_that_have_a_brain_are_not_given_away(bench, run):
    with pytest.raises(HandsLost):
        Hands.attach(bench.hands.path)

    assert run("exit 3").outcome == Exited(3)


def test_nobody_there_is_said_so(tmp_path):
    with pytest.raises(HandsLost):
        Hands.attach(str(tmp_path / "hands-1.sock"))


def test_what_killed_hands_left_in_the_folder_goes(bench, eventually):
    attempt = bench.start("exec sleep 60", work={"payload": "1"})
    eventually(lambda: bench.started(attempt))
    os.kill(bench.hands.pid, signal.SIGKILL)
    os.waitpid(bench.hands.pid, 0)

    with pytest.raises(HandsLost):
        Hands.attach(bench.hands.path)
    remove_files(str(bench.files), [attempt])
    bury(str(bench.files))

    assert [path.name for path in bench.files.iterdir()] == ["null"]


def test_the_socket_is_found_however_long_its_path_is(tmp_path, make_bench, eventually):
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    bench = make_bench(folder)
    attempt = bench.start("exec sleep 60", on_worker_death="adopt")
    eventually(lambda: bench.started(attempt))
    path = bench.hands.path
    bench.hands.close()

    assert list(waiting(str(bench.files))) == [path]
    bench.hands = Hands.attach(path)
    bench.hands.stop(attempt, "cancel", kill_after_ms=0)
    assert eventually(lambda: bench.ended(attempt))


def test_dead_hands_are_noticed(bench, eventually):
    attempt = bench.start("exec sleep 60")
    eventually(lambda: bench.started(attempt))
    os.kill(bench.hands.pid, signal.SIGKILL)
    select.select([bench.hands], [], [])

    def is_noticed():
        try:
            bench.hands.reports()
        except HandsLost:
            return True
        return False

    eventually(is_noticed)


def test_what_dead_hands_left_is_found_and_ended(bench, eventually, pid_in, is_running):
    attempt = bench.start(
        'setsid sh -c \'(trap "" TERM; exec sh -c "echo \\$\\$ > pid; exec sleep 60") &\' ; exec sleep 61'
    )
    started = eventually(lambda: bench.started(attempt))
    pid = pid_in("pid")
    os.kill(bench.hands.pid, signal.SIGKILL)
    os.waitpid(bench.hands.pid, 0)
    found = {process.pid for process in leftovers({attempt}, bench.db, [(started.pid, started.start_ticks)])}

    left = end_leftovers({attempt}, bench.db, [(started.pid, started.start_ticks)], kill_after_ms=50)

    assert {pid, started.pid} <= found
    assert left == []
    assert not is_running(pid)
    assert not is_alive(started.pid, started.start_ticks, started.boot_id, started.pid_namespace)


def test_a_reused_pid_is_not_taken_for_the_job(bench, is_running):
    innocent = subprocess.Popen(["sleep", "60"])

    left = end_leftovers({4711}, bench.db, [(innocent.pid, 1)])

    assert left == []
    assert is_running(innocent.pid)
    innocent.kill()
    innocent.wait()


def test_a_brain_that_is_killed_in_the_middle_is_survived(tmp_path, eventually):
    """The same with a real brain and a real SIGKILL, in the middle of many short attempts."""
    for name in ("logs", "run"):
        (tmp_path / name).mkdir()
    script = textwrap.dedent("""
        import select, sys
        from kiribi_cli.core.definition import Definition
        from kiribi_cli.runner.hands import Hands
        from kiribi_cli.runner.launch import Place, Work
        from kiribi_cli.runner.prepare import prepare
        folder = sys.argv[1]
        place = Place({"PATH": "/bin:/usr/bin"}, sys.executable, None, folder + "/k.db")
        rules = Definition("T", "shell", shell="exit 6", on_worker_death="adopt", cwd=folder)
        work = [Work(number, number, "T", "default", 1, 1, 0, 0) for number in range(1, 201)]
        hands = Hands.start(logs_dir=folder + "/logs", run_dir=folder + "/run", db_path=folder + "/k.db")
        hands.start_many([prepare(rules, one, place) for one in work])
        while not hands.reports():
            select.select([hands], [], [])
        print("sent", flush=True)
        sys.stdin.read()
    """)
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as brain:
        assert brain.stdout.readline() == b"sent\n"
        brain.kill()
    (path,) = waiting(str(tmp_path / "run"))
    ends = {}

    hands = Hands.attach(path)

    def is_quiet():
        select.select([hands], [], [], 0.1)
        found = hands.reports()
        ends.update({report.attempt_id: report for report in found if isinstance(report, Ended)})
        return not found and not busy(hands)

    eventually(is_quiet)
    hands.settled(list(ends))
    hands.close()

    # Those that had not started when the brain died were dropped: nobody waits for them, and they never ran.
    assert ends
    assert {ended.outcome for ended in ends.values()} == {Exited(6)}


def busy(hands):
    return Path(f"/proc/{hands.pid}/task/{hands.pid}/children").read_text().strip()


def test_more_than_the_socket_holds_is_no_trouble(bench, eventually):
    payload = '"' + "x" * 100_000 + '"'
    attempts = [bench.start("cat > /dev/null", work={"payload": payload}) for _ in range(100)]

    eventually(lambda: bench.look() or len([True for report in bench.seen if isinstance(report, Ended)]) == 100)

    assert {report.attempt_id for report in bench.seen if isinstance(report, Ended)} == set(attempts)


def test_idle_hands_are_small_and_have_few_modules(bench, run, eventually):
    run("true")

    text = Path(f"/proc/{bench.hands.pid}/status").read_text()
    status = dict(line.split(":", 1) for line in text.splitlines())
    assert int(status["VmRSS"].split()[0]) < 16_000
    assert int(status["Threads"]) == 1


def test_hands_load_neither_typing_nor_other_heavy_modules():
    code = "import sys; import kiribi_cli.runner.launcher, kiribi_cli.runner.python; print(*sys.modules)"

    loaded = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    heavy = {"typing", "re", "enum", "dataclasses", "pathlib", "subprocess", "asyncio", "json", "socket", "ctypes"}
    assert heavy & set(loaded) == set()


def test_hands_keep_no_descriptors_of_their_brain(tmp_path, make_bench, run):
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    bench = make_bench(tmp_path)
    attempt = bench.start("true")
    while not bench.ended(attempt):
        pass
    os.close(writer)

    assert os.read(reader, 1) == b""
    os.close(reader)


def test_descriptors_of_the_hands_do_not_grow(bench, eventually):
    def descriptors():
        return len(list(Path(f"/proc/{bench.hands.pid}/fd").iterdir()))

    def some():
        attempts = [bench.start("echo x; (sleep 0.2) &") for _ in range(10)]
        eventually(lambda: all(bench.ended(attempt) for attempt in attempts))

    some()
    eventually(lambda: not busy(bench.hands))
    before = descriptors()
    some()
    eventually(lambda: not busy(bench.hands))

    eventually(lambda: descriptors() <= before)


def test_started_names_this_boot_and_namespace(bench, run):
    ended = run("sleep 0.2")

    (started,) = bench.all(Started, ended.attempt_id)
    assert started.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert started.pid_namespace == str(Path("/proc/self/ns/pid").readlink())
