"""Python callables in pooled children: what they are given, what becomes of what they do, and whom they can hurt."""

import json
import os
import sys
from pathlib import Path

import pytest

from kiribi_cli.core.definition import Definition, Limits
from kiribi_cli.core.outcome import (
    Cancelled,
    Ended,
    Exited,
    Interrupted,
    NeverStarted,
    Raised,
    Signalled,
    Snoozed,
    TimedOut,
)
from kiribi_cli.runner.launch import Returned, Started

MODULE = """
import asyncio, json, os, sys, threading, time, signal

def echo(*args, **kwargs): return {"args": args, "kwargs": kwargs}
async def later(): await asyncio.sleep(0); return "later"
def nothing(): pass
def pid(): return os.getpid()
def fail(): raise ValueError("no good")
def leave(code=None): raise SystemExit(code)
def leave_saying(): sys.exit("a word")
class Snooze(Exception):
    def __init__(self, delay=None): self.delay = delay
def snooze(delay=None): raise Snooze(delay)
def bad_result(kind):
    loop = []; loop.append(loop)
    return {"object": object(), "nan": float("nan"), "loop": loop, "surrogate": "\\ud800", "bytes": b"x"}[kind]
def large(n): return "x" * n
def hard_exit(code): os._exit(code)
def crash(): os.kill(os.getpid(), signal.SIGSEGV)
def sleep(seconds=60): time.sleep(seconds)
def say(text, by="print"):
    if by == "print": print(text); print("!" + text, file=sys.stderr)
    elif by == "fd": os.write(1, text.encode() + b"\\n"); os.write(2, b"!" + text.encode() + b"\\n")
    elif by == "system": os.system(f"echo {text}; echo '!{text}' >&2")
    elif by == "unflushed": sys.stdout.write(text + "\\n"); sys.stderr.write("!" + text + "\\n")
def stdin(): return sys.stdin.read()
def raw_stdin(): return os.read(0, 1000).decode()
def spoil():
    os.environ["SPOILT"] = "1"; os.environ["KIRIBI_JOB_ID"] = "forged"; os.environ.pop("LANG", None)
    os.chdir("/"); os.umask(0o777); sys.stdout.close(); os.close(1); os.close(2); sys.stdin = None
    sys.stderr = open(os.devnull, "w"); sys.path[:] = sys.path[1:]
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
def state():
    print("still heard")
    umask = os.umask(0); os.umask(umask)
    return {"env": dict(os.environ), "cwd": os.getcwd(), "umask": umask, "path": sys.path[0], "pid": os.getpid()}
def left_thread():
    def go():
        while True: time.sleep(0.01)
    threading.Thread(target=go, daemon=True).start()
def forked():
    if os.fork() == 0: return "from the copy"
    os.wait()
    return "from the first"
def obey_not():
    signal.signal(signal.SIGTERM, lambda *_: None)
    time.sleep(0.2)
    print("survived"); sys.stdout.flush()
    while True: time.sleep(1)
def burn():
    end = time.process_time() + 0.3
    while time.process_time() < end: pass
def nul(): sys.stdout.buffer.write(b"a\\0kiribi:\\0\\0kiri"); sys.stdout.flush()
def variables(*_, **__): return {k: v for k, v in os.environ.items() if k.startswith("KIRIBI_")}
class Space:
    @staticmethod
    def inner(): return "inner"
"""


@pytest.fixture(autouse=True)
def module(bench):
    bench.module("work", MODULE)


@pytest.mark.parametrize(
    ("payload", "seen"),
    [
        (None, {"args": [], "kwargs": {}}),
        ('{"a": 1}', {"args": [], "kwargs": {"a": 1}}),
        ("[1, 2]", {"args": [[1, 2]], "kwargs": {}}),
        ('"x"', {"args": ["x"], "kwargs": {}}),
        ("null", {"args": [None], "kwargs": {}}),
    ],
)
def test_the_payload_becomes_the_arguments(call, payload, seen):
    ended = call("work:echo", work={"payload": payload})

    assert ended.outcome == Exited(0), ended.stderr_tail
    assert json.loads(ended.result) == seen


def test_a_payload_of_any_size_arrives(call):
    payload = json.dumps({"text": "ä" * 1_000_000})

    ended = call("work:echo", work={"payload": payload}, result_max=10_000_000)

    assert json.loads(ended.result)["kwargs"] == json.loads(payload)


@pytest.mark.parametrize(
    ("target", "payload", "outcome", "result"),
    [
        ("work:later", None, Exited(0), '"later"'),
        ("work:nothing", None, Exited(0), None),
        ("work:Space.inner", None, Exited(0), '"inner"'),
        ("work:forked", None, Exited(0), '"from the first"'),
        ("work:fail", None, Raised("ValueError", "no good"), None),
        ("work:leave", None, Exited(0), None),
        ("work:leave", "75", Exited(75), None),
        ("work:leave_saying", None, Exited(1), None),
        ("work:snooze", None, Snoozed(None), None),
        ("work:snooze", "1.5", Snoozed(1500), None),
        ("work:hard_exit", "9", Exited(9), None),
        ("work:crash", None, Signalled(11), None),
        ("work:gone", None, Raised("AttributeError", "module 'work' has no attribute 'gone'"), None),
        ("nowhere:f", None, Raised("ModuleNotFoundError", "No module named 'nowhere'"), None),
        ("runner:f", None, Raised("ModuleNotFoundError", "No module named 'runner'"), None),
        ("launcher:main", None, Raised("ModuleNotFoundError", "No module named 'launcher'"), None),
    ],
)
def test_every_way_to_end_is_told(call, target, payload, outcome, result):
    ended = call(target, work={"payload": payload})

    assert ended.outcome == outcome, ended.stderr_tail
    assert ended.result == result


@pytest.mark.parametrize("kind", ["object", "nan", "loop", "surrogate", "bytes"])
def test_a_result_that_json_cannot_hold_fails_for_good(call, kind):
    ended = call("work:bad_result", work={"payload": json.dumps(kind)})

    assert isinstance(ended.outcome, Raised)
    assert ended.outcome.final


def test_a_result_that_is_too_large_is_dropped_with_a_note(call):
    ended = call("work:large", work={"payload": "1000"}, result_max=1001)

    assert ended.outcome == Exited(0)
    assert (ended.result, "1002 bytes" in ended.result_note) == (None, True)


def test_a_traceback_is_in_the_log_and_shows_the_job_only(bench, call):
    ended = call("work:fail")

    log = bench.log(ended.attempt_id, "err").decode()
    assert log == ended.stderr_tail
    assert log.startswith("Traceback (most recent call last):\n")
    assert log.endswith("ValueError: no good\n")
    assert "harness.py" not in log
    assert "child.py" not in log


@pytest.mark.parametrize("by", ["print", "fd", "system", "unflushed"])
def test_output_goes_to_the_log_of_its_own_attempt(bench, eventually, by):
    attempts = [
        bench.python("work:say", work={"payload": json.dumps({"text": f"text-{n}", "by": by})}) for n in range(20)
    ]

    eventually(lambda: all(bench.ended(attempt) for attempt in attempts))

    for number, attempt in enumerate(attempts):
        assert bench.log(attempt, "out") == f"text-{number}\n".encode()
        assert bench.log(attempt, "err") == f"!text-{number}\n".encode()


def test_output_that_looks_like_a_mark_is_output(bench, call):
    ended = call("work:nul")

    assert bench.log(ended.attempt_id) == b"a\0kiribi:\0\0kiri"


def test_output_can_be_followed_while_it_runs(bench, eventually):
    bench.module("slow", "import time\ndef go():\n    print('first')\n    time.sleep(60)\n")
    attempt = bench.python("slow:go")

    eventually(lambda: (bench.look(), bench.log(attempt))[1] == b"first\n")


@pytest.mark.parametrize("target", ["work:stdin", "work:raw_stdin"])
def test_stdin_is_the_payload(bench, call, target):
    bench.module(
        "door", "import work\ndef stdin(**_): return work.stdin()\ndef raw_stdin(**_): return work.raw_stdin()\n"
    )

    ended = call(target.replace("work", "door"), work={"payload": '{"a":  1}'})
    without = call(target)

    assert json.loads(ended.result) == '{"a":  1}\n'
    assert json.loads(without.result) == ""


def test_the_payload_is_also_in_a_file_byte_for_byte_and_stdin_can_be_none(bench, call):
    bench.module(
        "files",
        "import os, subprocess, sys\n"
        "def doors(**_):\n"
        "    path = os.environ['KIRIBI_PAYLOAD_FILE']\n"
        "    return [open(path).read(), subprocess.check_output(['cat', path], text=True), sys.stdin.read()]\n",
    )

    both = call("files:doors", work={"payload": '{"a":  1}'})
    none = call("files:doors", work={"payload": '{"a":  1}'}, stdin="none")

    assert json.loads(both.result) == ['{"a":  1}', '{"a":  1}', '{"a":  1}\n']
    assert json.loads(none.result) == ['{"a":  1}', '{"a":  1}', ""]


def test_a_child_is_used_again_and_dropped_after_reuse_jobs(tmp_path, make_bench, eventually):
    (tmp_path / "one").mkdir()
    bench = make_bench(tmp_path / "one", slots=1)
    bench.module("work", MODULE)
    attempts = [bench.python("work:pid", reuse=3) for _ in range(7)]

    eventually(lambda: all(bench.ended(attempt) for attempt in attempts))

    pids = [bench.ended(attempt).result for attempt in attempts]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]
    assert [pid_of(bench, attempt) for attempt in attempts] == [int(pid) for pid in pids]


def test_whatever_a_job_does_to_its_process_is_put_right(bench, call):
    before = json.loads(call("work:state", env={"A": "1"}).result)
    call("work:spoil", env={"A": "1"})
    ended = call("work:state", env={"A": "1"}, work={"payload": None})

    assert ended.outcome == Exited(0), ended.stderr_tail
    after = json.loads(ended.result)
    changing = {name for name in after["env"] if name.startswith("KIRIBI_")}
    assert after["pid"] == before["pid"]
    assert {k: v for k, v in after["env"].items() if k not in changing} == {
        k: v for k, v in before["env"].items() if k not in changing
    }
    assert after["env"]["KIRIBI_JOB_ID"] == str(ended.attempt_id)
    assert [after[key] for key in ("cwd", "umask", "path")] == [str(bench.folder), before["umask"], str(bench.folder)]
    assert bench.log(ended.attempt_id) == b"still heard\n"


def test_variables_of_one_job_are_not_there_for_the_next(call):
    call("work:state", work={"payload": None, "scheduled_for": 1, "timeout_ms": 60_000})
    after = json.loads(call("work:state").result)["env"]

    assert not {"KIRIBI_SCHEDULED_FOR", "KIRIBI_DEADLINE", "KIRIBI_PAYLOAD"} & set(after)
    assert after["KIRIBI_JOB"] == "Py"


def test_a_job_with_its_own_environment_gets_a_child_that_has_it(bench, call):
    bench.module("env", "import os\nA = os.environ.get('A')\ndef at_import(): return A\n")

    ended = call("env:at_import", work={"env": {"A": "own"}})

    assert ended.result == '"own"'


def test_threads_left_behind_do_no_harm(call):
    first = call("work:left_thread")
    second = call("work:pid")

    assert (first.outcome, second.outcome) == (Exited(0), Exited(0))


@pytest.mark.parametrize("target", ["work:crash", "work:hard_exit"])
def test_a_callable_that_takes_its_child_down_hurts_only_itself(tmp_path, make_bench, eventually, target):
    (tmp_path / "one").mkdir()
    bench = make_bench(tmp_path / "one", slots=1)
    bench.module("work", MODULE)
    payload = {"payload": "3"} if target == "work:hard_exit" else {}
    quick = [bench.python("work:pid", reuse=10_000) for _ in range(200)]
    bad = bench.python(target, reuse=10_000, work=payload)
    after = [bench.python("work:pid", reuse=10_000) for _ in range(200)]

    eventually(lambda: bench.look() or len(ends(bench)) == 401)

    assert {ends(bench)[attempt].outcome for attempt in quick + after} == {Exited(0)}
    assert ends(bench)[bad].outcome in (Exited(3), Signalled(11))


def pid_of(bench, attempt):
    """Its process, whether it was told at once or with the end."""
    return bench.ended(attempt).pid or bench.all(Started, attempt)[0].pid


def ends(bench):
    return {report.attempt_id: report for report in bench.seen if isinstance(report, Ended)}


def test_a_long_callable_does_not_hold_up_what_was_sent_behind_it(tmp_path, make_bench, eventually):
    (tmp_path / "two").mkdir()
    bench = make_bench(tmp_path / "two", slots=2)
    bench.module("work", MODULE)
    for _ in range(300):
        bench.python("work:nothing", reuse=10_000)
    long = bench.python("work:sleep", reuse=10_000)
    for _ in range(300):
        bench.python("work:nothing", reuse=10_000)

    eventually(lambda: bench.look() or len(ends(bench)) == 600)

    assert long not in ends(bench)
    assert {ended.outcome for ended in ends(bench).values()} == {Exited(0)}


def test_the_end_of_a_long_callable_is_heard_though_what_waited_behind_it_was_taken_back(
    tmp_path, make_bench, eventually
):
    (tmp_path / "one").mkdir()
    bench = make_bench(tmp_path / "one", slots=1)
    bench.module("work", MODULE)
    for _ in range(100):
        bench.python("work:nothing", reuse=10_000)
    eventually(lambda: bench.look() or len(ends(bench)) == 100)
    rules = Definition(name="Py", kind="python", python="work:sleep", cwd=str(bench.folder), reuse=10_000)
    bench.hands.start_many([bench.launch(rules, payload=text) for text in ("0.2", *["0"] * 50)])

    eventually(lambda: bench.started(101))
    bench.hands.recall()

    assert eventually(lambda: bench.ended(101)).outcome == Exited(0)


@pytest.mark.parametrize(
    "payload", [None, '{"user": 42, "dry-run": true, "größe": 1.50, "x": [1], "text": "ä", "n": null}']
)
def test_callables_find_the_same_variables_as_commands(bench, call, run, payload):
    callable_ = json.loads(call("work:variables", work={"payload": payload, "timeout_ms": 60_000}).result)
    run("env -0 > env", work={"payload": payload, "timeout_ms": 60_000})

    text = (bench.folder / "env").read_text()
    command = dict(line.split("=", 1) for line in text.split("\0") if line.startswith("KIRIBI_"))
    own = {
        "KIRIBI_JOB",
        "KIRIBI_JOB_ID",
        "KIRIBI_ATTEMPT_ID",
        "KIRIBI_PAYLOAD_FILE",
        "KIRIBI_PROGRESS_FILE",
        "KIRIBI_DEADLINE",
    }
    assert {name for name in command if name != "KIRIBI_RESULT_FILE"} == set(callable_)
    assert {k: v for k, v in callable_.items() if k not in own} == {
        k: v for k, v in command.items() if k not in own | {"KIRIBI_RESULT_FILE"}
    }


def test_what_was_sent_ahead_can_be_recalled(tmp_path, make_bench, eventually):
    (tmp_path / "one").mkdir()
    bench = make_bench(tmp_path / "one", slots=1)
    bench.module("work", MODULE)
    quick = [bench.python("work:nothing", reuse=10_000) for _ in range(100)]
    eventually(lambda: bench.look() or len(ends(bench)) == 100)
    long = bench.python("work:sleep", reuse=10_000)
    eventually(lambda: bench.started(long))
    behind = [bench.python("work:nothing", reuse=10_000) for _ in range(10)]
    bench.hands.recall()

    eventually(lambda: bench.look() or len([r for r in bench.seen if isinstance(r, Returned)]) == 10)

    assert [report.attempt_id for report in bench.seen if isinstance(report, Returned)] == behind
    assert not {long, *behind} & set(ends(bench))
    assert set(quick) == set(ends(bench))


@pytest.mark.parametrize("target", ["work:sleep", "work:obey_not"])
@pytest.mark.parametrize("how", ["timeout", "cancel", "interrupt"])
def test_a_callable_can_be_stopped_and_its_child_goes(bench, call, eventually, is_running, target, how):
    before = int(call("work:pid").result)
    attempt = bench.python(target, kill_after_ms=400, work={"timeout_ms": 100} if how == "timeout" else {})
    eventually(lambda: bench.started(attempt))
    if how != "timeout":
        bench.hands.stop(attempt, how, by="me")

    ended = eventually(lambda: bench.ended(attempt))

    assert ended.outcome == {"timeout": TimedOut(100), "cancel": Cancelled("me"), "interrupt": Interrupted()}[how]
    assert not is_running(before)
    assert int(call("work:pid").result) != before


def test_an_attempt_behind_another_in_a_child_can_be_cancelled(tmp_path, make_bench, eventually):
    (tmp_path / "one").mkdir()
    bench = make_bench(tmp_path / "one", slots=1)
    bench.module("work", MODULE)
    for _ in range(100):
        bench.python("work:nothing", reuse=10_000)
    eventually(lambda: bench.look() or len(ends(bench)) == 100)
    long = bench.python("work:sleep", reuse=10_000)
    behind = bench.python("work:nothing", reuse=10_000)
    bench.hands.stop(behind, "cancel", by="me")

    eventually(lambda: bench.ended(behind))

    assert ends(bench)[behind].outcome == Cancelled("me")
    assert long not in ends(bench)


def test_a_changed_file_is_run_as_it_is_now(bench, call):
    bench.module("changing", "def f(): return 'old'\n")
    first = call("changing:f")
    bench.module("changing", "def f(): return 'brand new'\n")
    second = call("changing:f")

    assert (first.result, second.result) == ('"old"', '"brand new"')


def test_cpu_time_is_counted_for_each_call(call):
    idle = call("work:nothing")
    busy = call("work:burn")
    after = call("work:nothing")

    assert busy.usage.cpu_user_ms + busy.usage.cpu_system_ms >= 250
    assert idle.usage.cpu_user_ms < 200
    assert after.usage.cpu_user_ms < 200


def test_limits_hold_in_a_child(bench, call):
    bench.module("limited", "import resource\ndef f(): return resource.getrlimit(resource.RLIMIT_NOFILE)[0]\n")

    ended = call("limited:f", limits=Limits(open_files=100))

    assert ended.result == "100"


@pytest.mark.parametrize("few", [20, 60, 64, 80])
def test_few_open_files_are_enough_for_a_callable(call, few):
    assert call("work:nothing", limits=Limits(open_files=few)).outcome == Exited(0)


def test_an_interpreter_that_cannot_run_it_never_starts_it(bench, call):
    (bench.folder / "old").write_text("#!/bin/sh\necho 'too old' >&2\nexit 3\n")
    (bench.folder / "old").chmod(0o755)

    ended = call("work:nothing", interpreter=str(bench.folder / "old"))

    assert isinstance(ended.outcome, NeverStarted)
    assert ended.outcome.reason.endswith("exit 3: too old")


def others():
    """Other Pythons of this machine, oldest first."""
    found = {}
    for folder in [*Path.home().glob(".pyenv/versions/3.*/bin"), Path("/usr/bin"), Path("/usr/local/bin")]:
        for path in folder.glob("python3.[0-9]*"):
            minor = path.name.removeprefix("python3.")
            if (
                minor.isdigit()
                and int(minor) >= 8
                and int(minor) != sys.version_info.minor
                and os.access(path, os.X_OK)
            ):
                found[int(minor)] = str(path)
    return [found[minor] for minor in sorted(found)]


@pytest.mark.parametrize("interpreter", others())
def test_other_interpreters_run_callables_too(bench, call, interpreter):
    bench.module("which", "import sys\ndef f(a): print('hello'); return list(sys.version_info[:2])\n")

    ended = call("which:f", interpreter=interpreter, work={"payload": '{"a":1}'})

    assert ended.outcome == Exited(0), ended.stderr_tail
    assert json.loads(ended.result) != list(sys.version_info[:2])
    assert bench.log(ended.attempt_id) == b"hello\n"


def test_thousands_of_callables_keep_their_own_results(bench, eventually):
    rules = Definition(name="Py", kind="python", python="work:echo", cwd=str(bench.folder), reuse=100_000)
    bench.hands.resize(2)
    launches = [bench.launch(rules, payload=json.dumps([number])) for number in range(1, 3001)]
    bench.hands.start_many(launches)

    eventually(lambda: bench.look() or len(ends(bench)) == 3000, within=60)

    assert all(json.loads(ended.result)["args"] == [[number]] for number, ended in ends(bench).items())


def test_what_was_told_to_have_begun_is_not_given_back_as_if_it_had_not(bench, eventually):
    # Its interpreter takes long to start, so it is thought to run, and then is taken back after all.
    slow = bench.folder / "slow"
    slow.write_text(f'#!/bin/sh\nsleep 5\nexec {sys.executable} "$@"\n')
    slow.chmod(0o755)
    bench.module("work", "def never(): open('ran', 'w')")
    attempt = bench.python("work:never", interpreter=str(slow))
    eventually(lambda: bench.started(attempt))
    bench.hands.recall()

    ended = eventually(lambda: bench.ended(attempt))

    assert ended.outcome == Interrupted()
    assert bench.all(Returned, attempt) == []
    assert not (bench.folder / "ran").exists()
