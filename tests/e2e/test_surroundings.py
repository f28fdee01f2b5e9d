"""Where a worker may find itself: started carelessly, on a machine that gives little or lacks things. Jobs do not feel it."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Kiribi
from tests.faults import strace

PLACE = """
import json, os, sys
def look():
    status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
    files = {}
    for name in os.listdir("/proc/self/fd"):
        try: files[int(name)] = os.readlink(f"/proc/self/fd/{name}").partition(":")[0]
        except OSError: pass
    return {"signals": [status[name].strip() for name in ("SigBlk", "SigIgn")], "umask": status["Umask"].strip(),
        "files": files, "folder": os.getcwd(), "leads": os.getsid(0) == os.getpid()}
def call():
    import subprocess
    mine = look()
    mine["files"] = {name: kind for name, kind in mine["files"].items() if name < 16}  # the others are the harness's
    child = json.loads(subprocess.run([sys.executable, __file__], capture_output=True, check=True).stdout)
    child["files"].pop("1"), child["files"].pop("2")
    return [mine, child]
if __name__ == "__main__":
    print(json.dumps(look()))
"""
DEFINITIONS = f"""
[defaults]
max_attempts = 1
[jobs.Command]
command = ["{sys.executable}", "place.py"]
result = "stdout"
[jobs.Callable]
python = "place:call"
[jobs.Echo]
command = ["cat"]
result = "stdout"
[jobs.True]
command = ["true"]
[jobs.Nap]
command = ["sleep", "0.3"]
[jobs.Long]
shell = "setsid sleep 600 & wait"
kill_after = "200ms"
"""
# Done by a parent just before it becomes the worker.
CARELESS = {
    "child signals ignored": "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    "signals blocked": "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
    "signals ignored": "[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 3, 10, 12, 13, 14, 15, 20, 21, 22, 40)]",
    "thirty descriptors": "[os.dup2(0, n, inheritable=True) for n in range(3, 33)]",
    "stdin closed": "os.close(0)",
    "stdout closed": "os.close(1)",
    "all closed": "os.closerange(0, 3)",
    "some closed": "os.close(0), os.close(2)",
    "few descriptors": "resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))",
    "a small stack": "resource.setrlimit(resource.RLIMIT_STACK, (300_000, 300_000))",
    "little memory": "resource.setrlimit(resource.RLIMIT_AS, (200_000_000, 200_000_000))",
    "no environment": "[os.environ.pop(name) for name in list(os.environ) if name != 'MARK']",
    "odd environment": "os.environ.update(PYTHONPATH='/nowhere', PYTHONSTARTUP='/nowhere', PYTHONOPTIMIZE='2', "
    "PYTHONWARNINGS='error', PYTHONINSPECT='1', LD_PRELOAD='/nowhere.so', TMPDIR='/nowhere', LC_ALL='xx_YY.foo', TZ='No/Where')",
    "another umask": "os.umask(0)",
    "a session": "os.fork() and os._exit(os.waitstatus_to_exitcode(os.wait()[1])); os.setsid()",
}


def careless(how: str) -> list[str]:
    """The command line that does this and becomes what is named behind it."""
    code = f"import os, resource, signal, sys; {CARELESS[how]}; os.execv(sys.argv[1], sys.argv[1:])"
    return [sys.executable, "-c", code]


@pytest.fixture
def here(kiribi: Kiribi) -> Kiribi:
    (kiribi.folder / "place.py").write_text(PLACE)
    kiribi.define(DEFINITIONS)
    return kiribi


def results(kiribi: Kiribi, *ids: int) -> list[Any]:
    jobs = kiribi.json("show", *ids)
    assert [job["status"] for job in jobs] == ["completed"] * len(ids), [job["error"] for job in jobs]
    return [json.loads(job["result"]) if isinstance(job["result"], str) else job["result"] for job in jobs]


@pytest.mark.slow
def test_jobs_find_the_same_clean_place_however_carelessly_their_worker_was_started(here):
    lines = '{"job": "Command"}\n{"job": "Callable"}\n' * (len(CARELESS) + 1)
    here.ok("enqueue", "--batch", "-", stdin=lines)
    here.ok("worker", "--max-jobs", 2, "-j", 1)
    for how in CARELESS:
        done = here("worker", "--max-jobs", 2, "-j", 1, under=careless(how))
        assert done.returncode == 0, (how, done.stderr)

    command, (mine, child), *others = results(here, *range(1, 2 * len(CARELESS) + 3))
    assert (command["files"], command["leads"]) == ({"0": "/dev/null", "1": "pipe", "2": "pipe"}, True)
    # A Python ignores two by itself; two more are not to be had by anybody.
    blocked, ignored = (int(word, 16) for word in command["signals"])
    assert (blocked, {bit + 1 for bit in range(64) if ignored >> bit & 1} - {13, 25, 32, 33}) == (0, set())
    assert mine["files"] == {"0": "/dev/null", "1": "pipe", "2": "pipe"}
    assert child["files"] == {"0": "/dev/null"}
    for how, one, (two, three) in zip(CARELESS, others[::2], others[1::2], strict=True):
        umask = {"umask": "0000"} if how == "another umask" else {}
        assert (how, one) == (how, command | umask)
        assert (how, two, three) == (how, mine | umask, child | umask)


@pytest.mark.parametrize("how", ["signals ignored", "signals blocked"])
def test_a_worker_hears_that_it_is_to_stop_however_carelessly_it_was_started(here, how):
    worker = here.worker(under=careless(how))
    worker.send_signal(signal.SIGTERM)

    assert worker.wait(20) == 0


def test_too_few_descriptors_are_told_and_few_make_a_worker_slower(here):
    def few(number: int) -> list[str]:
        return ["prlimit", f"--nofile={number}:{number}"]

    here.ok("enqueue", "Nap", "--batch", "-", stdin="{}\n" * 40)
    here.ok("enqueue", "Callable")
    refused = {number: here("worker", "--drain", under=few(number)) for number in (8, 16, 31)}
    slow = here("worker", "--drain", "-j", 100, under=few(96))

    for number, done in refused.items():
        assert (done.returncode, done.stderr.splitlines()[0]) == (
            9,
            f"Error: a worker needs 32 open files at least, and this one may have {number}",
        )
    assert "20 slots, not 100: more would need more open files (ulimit -n)" in slow.stdout
    assert [worker["slots"] for worker in here.json("ps", "--all")][-1:] == [20]
    assert here.ok("ls", "--status", "completed", "--count") == "41"
    assert {job["attempts"] for job in here.json("ls")} == {1}


def forks_fail(log: Path, when: str) -> list[str]:
    """From the nth time on, or so; counted for each process by itself."""
    return strace(log, f"clone,clone3,vfork,fork:error=EAGAIN:when={when}", trace="clone,clone3,vfork,fork")


@pytest.mark.needs("strace")
def test_jobs_wait_while_no_process_can_be_started_and_nothing_is_held_against_them(here, tmp_path, eventually):
    here.ok("enqueue", "True", "--batch", "-", stdin="{}\n" * 3)
    here.ok("enqueue", "Callable")
    with (tmp_path / "said").open("wb") as said:
        # The first of the worker is its launcher, the first of that a job: all others fail.
        worker = here.start("worker", "-j", 2, under=forks_fail(tmp_path / "log", "2+"), stdout=said, stderr=said)
    waits = "job 2 waits, this machine cannot start it now: /usr/bin/true: Resource temporarily unavailable"
    eventually(lambda: waits in (tmp_path / "said").read_text())
    eventually(lambda: here.status(2) == "pending")
    worker.send_signal(signal.SIGTERM)
    worker.wait(30)
    before = [(job["status"], job["attempts"], len(job["attempt_list"])) for job in here.json("show", 1, 2, 3, 4)]
    here.ok("worker", "--drain")

    after = here.json("show", 1, 2, 3, 4)
    assert before == [("completed", 1, 1), *[("pending", 0, 0)] * 3]
    assert [(job["status"], job["attempts"], len(job["attempt_list"])) for job in after] == [("completed", 1, 1)] * 4


@pytest.mark.slow
@pytest.mark.needs("strace")
def test_a_worker_waits_a_moment_for_its_launcher_and_says_so_if_there_can_be_none(here, tmp_path):
    here.ok("enqueue", "True", "--batch", "-", stdin="{}\n" * 2)
    late = here("worker", "--drain", "-j", 1, under=forks_fail(tmp_path / "log", "1..4"))
    never = here("worker", "--drain", under=forks_fail(tmp_path / "log", "1+"))
    run = here("run", "--", "true", under=forks_fail(tmp_path / "log", "1+"))

    assert (late.returncode, here.ok("ls", "--status", "completed", "--count")) == (0, "2"), late.stderr
    sentence = "Error: no process can be started that would run jobs: Resource temporarily unavailable"
    assert (never.returncode, never.stderr.splitlines()[0]) == (9, sentence)
    assert (run.returncode, run.stderr.splitlines()[0]) == (125, sentence)


@pytest.mark.needs("strace")
def test_an_old_system_without_memory_files_and_process_handles_is_enough(here, tmp_path, eventually):
    faults = strace(tmp_path / "log", "memfd_create:error=ENOSYS", "pidfd_open:error=ENOSYS")
    here.ok("enqueue", "Echo", "-p", '{"a": 1}')
    here.ok("enqueue", "Callable")
    here.ok("enqueue", "Long")
    worker = here.start("worker", "-j", 3, under=faults)
    eventually(lambda: here.status(3) == "running" and here.ok("ls", "status:completed", "--count") == "2")
    here.ok("cancel", 3)

    eventually(lambda: here.status(3) == "cancelled")
    worker.send_signal(signal.SIGTERM)
    worker.wait(20)
    assert results(here, 1, 2)[0] == {"a": 1}


@pytest.mark.needs("root")
def test_without_proc_nothing_is_run_and_no_job_is_spoilt(here):
    here.ok("enqueue", "True")
    bare = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
    if subprocess.run([*bare, "true"], capture_output=True).returncode != 0:
        pytest.skip("root may not hide /proc here")
    worker = here("worker", "--drain", under=bare)
    run = here("run", "--", "true", under=bare)

    sentence = "Error: jobs cannot be run without /proc, which tells their processes from others: there is none here"
    assert (worker.returncode, worker.stderr.splitlines()[0]) == (9, sentence), worker.stderr
    assert (run.returncode, run.stderr.splitlines()[0]) == (125, sentence)
    assert (here.status(1), here.json("show", 1)["attempts"]) == ("pending", 0)
