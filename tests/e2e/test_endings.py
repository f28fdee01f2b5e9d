"""Every way in which a job can end, told truthfully: by one worker that runs them all, one after the other."""

import json
import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import Kiribi
from tests.faults import little_memory


class Ran(NamedTuple):
    cases: dict[str, tuple[Any, ...]]
    jobs: list[dict[str, Any]]
    said: str


DEFAULTS = """
[defaults]
max_attempts = 1
kill_after = "300ms"
"""

# Name: definition, outcome, exit code, signal, error.
COMMANDS = {
    "Zero": ('command = ["true"]', "completed", 0, None, None),
    "Three": ("shell = 'echo because >&2; exit 3'", "failed", 3, None, "because"),
    "NotExecutable": ("shell = './plain'", "failed", 126, None, "/bin/sh: 1: ./plain: Permission denied"),
    "NotFound": ("shell = 'no-such-word'", "failed", 127, None, "/bin/sh: 1: no-such-word: not found"),
    "LikeAKill": ("shell = 'exit 137'", "failed", 137, None, "exit 137"),
    "Killed": ("shell = 'kill -KILL $$'", "failed", None, "SIGKILL", "signal 9 (KILL)"),
    "Termed": ("shell = 'kill -TERM $$'", "failed", None, "SIGTERM", "signal 15 (TERM)"),
    "Crashed": ("shell = 'ulimit -c 0; kill -SEGV $$'", "failed", None, "SIGSEGV", "signal 11 (SEGV)"),
    "Dumped": ("shell = 'ulimit -c unlimited; kill -SEGV $$'", "failed", None, "SIGSEGV", "signal 11 (SEGV)"),
    "Nameless": ("shell = 'kill -40 $$'", "failed", None, "signal 40", "signal 40"),
    "KilledWhileTermed": (
        """shell = 'trap "kill -KILL $$" TERM; kill -TERM $$; sleep 60'""",
        "failed",
        None,
        "SIGKILL",
        "signal 9 (KILL)",
    ),
    "Slow": ("command = ['sleep', '60']\ntimeout = '200ms'", "timed_out", None, None, "timed out after 0.2s"),
    "SlowAndDeaf": (
        """shell = 'trap "" TERM; sleep 60; sleep 60'\ntimeout = '200ms'""",
        "timed_out",
        None,
        None,
        "timed out after 0.2s",
    ),
    "SlowButFine": (
        """shell = 'trap "exit 0" TERM; sleep 60 & wait'\ntimeout = '200ms'""",
        "timed_out",
        None,
        None,
        "timed out after 0.2s",
    ),
    "Pipe": ("command = ['bash', '-o', 'pipefail', '-c', 'exit 9 | true']", "failed", 9, None, "exit 9"),
    "CarelessPipe": ("shell = 'exit 9 | true'", "completed", 0, None, None),
    "Another": ("shell = 'exec sh -c \"exit 5\"'", "failed", 5, None, "exit 5"),
    "Mute": ("shell = 'exec >&- 2>&- <&-; sleep 0.2; exit 6'", "failed", 6, None, "exit 6"),
    "Parent": ("shell = '(sleep 1; echo never) & echo parent; exit 4'", "failed", 4, None, "exit 4"),
    "NoMemory": (
        "command = ['python3', '-c', 'bytearray(10**9)']\nlimits.memory = '300MB'",
        "failed",
        1,
        None,
        "MemoryError",
    ),
    "NoTime": (
        "command = ['python3', '-c', 'while True: pass']\nlimits.cpu_time = '1s'",
        "failed",
        None,
        "SIGXCPU",
        "signal 24 (XCPU)",
    ),
    "Unknown": ("command = ['no-such-program']", "never_started", None, None, "'no-such-program' was not found on the job's PATH (/usr/bin:/bin)"),
    "NoFile": ("command = ['./gone']", "never_started", None, None, "./gone does not exist"),
    "BadLink": ("command = ['./link']", "never_started", None, None, "./link is a link to nowhere, which does not exist"),
    "Loop": ("command = ['./loop']", "never_started", None, None, "./loop cannot be reached: Too many levels of symbolic links"),
    "Folder": ("command = ['./folder']", "never_started", None, None, "./folder is a folder"),
    "Fifo": ("command = ['./fifo']", "never_started", None, None, "./fifo is not a file"),
    "Plain": ("command = ['./plain']", "never_started", None, None, "./plain is not executable"),
    "NoFolder": ("command = ['true']\ncwd = '/no/such/folder'", "never_started", None, None, "the folder /no/such/folder does not exist"),
    "FileForFolder": ("command = ['true']\ncwd = '{there}/plain'", "never_started", None, None, "{there}/plain is to be the working folder, but is none"),
    "NoHead": ("command = ['./nohead']", "never_started", None, None, "{there}/nohead is neither a program nor a script with a #! line"),
    "Empty": ("command = ['./empty']", "never_started", None, None, "{there}/empty is empty"),
    "OtherMachine": ("command = ['./other']", "never_started", None, None, "{there}/other is a program for another kind of machine, or damaged"),
    "BadHead": ("command = ['./badhead']", "never_started", None, None, "{there}/badhead names an interpreter that does not exist: /no/such/thing"),
    "Windows": ("command = ['./windows']", "never_started", None, None, "{there}/windows names an interpreter that does not exist: /bin/sh (its lines end as in Windows)"),
    "NoLoader": ("command = ['./noloader']", "never_started", None, None, "{there}/noloader needs a loader or library that this system does not have"),
    "TooLong": ("command = ['true', '{payload.text}']", "never_started", None, None, "/usr/bin/true: arguments and environment are too long for this system"),
}  # fmt: skip
AS_NOBODY = {
    "ClosedFolder": ("command = ['true']\ncwd = '{there}/closed'\nuser = 'nobody'", "never_started", None, None, "the folder {there}/closed cannot be entered: Permission denied"),
    "ClosedProgram": ("command = ['{there}/mine']\ncwd = '/'\nuser = 'nobody'", "never_started", None, None, "{there}/mine may not be executed by the user of the job (it, a folder above it, or how that is mounted)"),
    "BadHeadOfNobody": ("command = ['{there}/badhead']\ncwd = '/'\nuser = 'nobody'", "never_started", None, None, "{there}/badhead names an interpreter that does not exist: /no/such/thing"),
}  # fmt: skip
# What `wait --exit-code` makes of them.
CODES = {"Three": 3, "NotExecutable": 126, "LikeAKill": 137, "Killed": 137, "Slow": 124, "NoFile": 1, "Nameless": 168}


@pytest.fixture
def there() -> Iterator[Path]:
    """Files that are not what they should be, in a folder that everybody can reach."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="kiribi-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        make_programs(folder)
        yield folder


def make_programs(folder: Path) -> None:
    for name, content in {
        "nohead": b"echo hello\n",
        "empty": b"",
        "badhead": b"#!/no/such/thing -x\n",
        "windows": b"#!/bin/sh\r\necho hello\r\n",
        "other": _for_another_machine(),
        "noloader": _with_loader(b"/no/such/loader"),
        "mine": b"#!/bin/sh\n",
    }.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o700 if name == "mine" else 0o755)
    (folder / "plain").write_text("#!/bin/sh\n")
    (folder / "folder").mkdir()
    (folder / "closed").mkdir(mode=0o700)
    (folder / "link").symlink_to("nowhere")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "fifo", 0o755)


def _for_another_machine() -> bytes:
    program = bytearray(Path("/bin/true").read_bytes()[:4096])
    program[18:20] = struct.pack("<H", 0x7FFF)
    return bytes(program)


def _with_loader(name: bytes) -> bytes:
    program = Path("/bin/true").read_bytes()
    start = program.index(b"/lib")
    length = program.index(b"\0", start) - start
    return program[:start] + name.ljust(length, b"\0")[:length] + program[start + length :]


@pytest.fixture
def ran(kiribi: Kiribi, there: Path) -> Ran:
    """All of them, run by one worker."""
    cases = COMMANDS | (AS_NOBODY if os.geteuid() == 0 else {})
    cases = {
        name: tuple((isinstance(part, str) and part.replace("{there}", str(there))) or part for part in case)
        for name, case in cases.items()
    }
    kiribi.define(
        f'{DEFAULTS}cwd = "{there}"\n' + "".join(f"[jobs.{name}]\n{case[0]}\n" for name, case in cases.items())
    )
    lines = [{"job": name} | ({"payload": {"text": "x" * 140_000}} if name == "TooLong" else {}) for name in cases]
    kiribi.ok("enqueue", "--batch", "-", stdin="\n".join(json.dumps(line) for line in lines))
    said = kiribi.ok("worker", "--drain", "-j", 3, under=["env", "PATH=/usr/bin:/bin"])
    return Ran(cases, kiribi.json("show", *range(1, len(cases) + 1)), said)


def test_every_way_in_which_a_command_can_end_is_told_truthfully(kiribi, ran):
    attempts = {job["job"]: job["attempt_list"] for job in ran.jobs}

    seen = {
        job["job"]: (
            attempts[job["job"]][0]["outcome"],
            job["exit_code"],
            job["signal"],
            (job["error"] or {}).get("message"),
        )
        for job in ran.jobs
    }
    assert seen == {name: case[1:] for name, case in ran.cases.items()}
    assert {name for name, tried in attempts.items() if len(tried) != 1} == set()


def test_people_are_told_the_same_everywhere(kiribi, ran):
    ids = {job["job"]: job["id"] for job in ran.jobs}
    listed = {line.split("\t")[1]: line for line in kiribi.ok("ls").splitlines()}
    shown = {
        name: kiribi.ok("show", ids[name]) for name in ("LikeAKill", "Killed", "Nameless", "Slow", "Windows", "Three")
    }
    codes = {name: kiribi("wait", "--exit-code", ids[name]).returncode for name in CODES}
    moves = {event["id"]: event for event in map(json.loads, kiribi.ok("--jsonl", "events").splitlines())}

    for name, (_, outcome, code, _, error) in ran.cases.items():
        mark, status = ("✓", "completed") if outcome == "completed" else ("✗", "failed")
        (line,) = [line for line in ran.said.splitlines() if f"{mark} {name} " in line]
        assert (error or "") in line
        assert listed[name].split("\t")[2] == status
        assert listed[name].endswith(error or "")
        assert (f"exit {code}" in listed[name]) == bool(code)
        assert moves[ids[name]]["to"] == status
    assert "exit 137, a shell's word for signal 9 (KILL)" in shown["LikeAKill"]
    assert "the last one ended with signal KILL\n" in shown["Killed"]
    assert "the last one ended with signal 40\n" in shown["Nameless"]
    assert "the last one timed out after 0.2s\n" in shown["Slow"]
    assert "could not start: " in shown["Windows"]
    assert "exit 3: because" in shown["Three"]
    assert codes == CODES
    done = [case[1] for case in ran.cases.values()].count("completed")
    totals = kiribi.json("stats")["totals"]
    assert (totals["completed"], totals["failed"]) == (done, len(ran.cases) - done)


def test_an_end_in_the_moment_of_the_timeout_or_of_a_cancel_is_one_or_the_other(kiribi, eventually):
    kiribi.define(
        DEFAULTS
        + "[jobs.Close]\ncommand = ['sleep', '0.1']\ntimeout = '102ms'\n"
        + "[jobs.Obedient]\nshell = 'trap \"exit 0\" TERM; touch ready; sleep 600 & wait'\n"
    )
    kiribi.ok("enqueue", "Close", "--batch", "-", stdin="{}\n" * 20)
    kiribi.ok("enqueue", "Obedient")
    kiribi.worker("-j", 2)
    eventually(lambda: kiribi.ok("ls", "status:active", "--count") == "1" and (kiribi.folder / "ready").exists())
    kiribi.ok("cancel", 21)
    eventually(lambda: kiribi.status(21) != "running")

    *close, cancelled = kiribi.json("show", *range(1, 22))
    ends = {(job["status"], job["exit_code"], (job["error"] or {}).get("message")) for job in close}
    assert ends <= {("completed", 0, None), ("failed", None, "timed out after 0.102s")}
    assert (cancelled["status"], cancelled["attempt_list"][0]["outcome"]) == ("cancelled", "cancelled")
    assert (cancelled["exit_code"], cancelled["attempt_list"][0]["error"]["message"][:13]) == (None, "cancelled by ")


def test_a_kill_for_want_of_memory_is_named_and_any_other_is_not(kiribi):
    with little_memory(60_000_000) as group:
        kiribi.define(
            DEFAULTS
            + f"[jobs.Hungry]\nshell = 'echo $$ > {group}; exec python3 -c \"bytearray(10**9)\"'\n"
            + "[jobs.Killed]\nshell = 'kill -KILL $$'\n"
        )
        for name in ("Killed", "Hungry", "Killed", "Hungry"):
            kiribi.ok("enqueue", name)
        kiribi.ok("worker", "--drain", "-j", 1)

    told = [(job["signal"], job["error"]["message"]) for job in kiribi.json("show", 1, 2, 3, 4)]
    plain, hungry = ("SIGKILL", "signal 9 (KILL)"), ("SIGKILL", "signal 9 (KILL), out of memory")
    assert told == [plain, hungry, plain, hungry]


STRAYS = """
import os, signal, time
def stray(name):
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with open(name, "w") as file: file.write(str(os.getpid()))
        time.sleep(600)
        os._exit(0)
    while not (os.path.exists(name) and os.path.getsize(name)): time.sleep(0.01)
def slow():
    stray("slow")
    time.sleep(600)
def twice():
    if os.environ["KIRIBI_ATTEMPT"] == "2":
        return os.path.exists("/proc/" + open("twice").read())
    stray("twice")
    os._exit(3)
def fine(): return "fine"
"""


def test_what_a_callable_forked_off_is_ended_with_it_and_before_it_runs_again(kiribi):
    (kiribi.folder / "strays.py").write_text(STRAYS)
    kiribi.define(
        DEFAULTS
        + "backoff = '100ms'\n[jobs.Slow]\npython = 'strays:slow'\ntimeout = '500ms'\n"
        + "[jobs.Twice]\npython = 'strays:twice'\nmax_attempts = 2\n[jobs.Fine]\npython = 'strays:fine'\n"
    )
    for name in ("Slow", "Twice", "Fine"):
        kiribi.ok("enqueue", name)
    # Four attempts: a worker that drains would not wait for the second of Twice.
    kiribi.ok("worker", "--max-jobs", 4, "-j", 1)

    slow, twice, fine = kiribi.json("show", 1, 2, 3)
    assert (slow["error"]["message"], fine["result"]) == ("timed out after 0.5s", "fine")
    assert not Path("/proc", (kiribi.folder / "slow").read_text()).exists()
    assert (twice["status"], twice["attempts"], twice["result"]) == ("completed", 2, False)


EVIL = """
import ctypes, gc, json, locale, math, os, resource, signal, socket, sys, threading, time, warnings
def now():
    status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
    timers = [signal.getitimer(which) for which in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)]
    return {
        "status": [status[name].strip() for name in ("Umask", "Uid", "Gid", "SigBlk", "Threads")],
        "signals": [str(signal.getsignal(number)) for number in range(1, 32)], "timers": timers,
        "limits": [resource.getrlimit(limit) for limit in range(15)], "nice": os.nice(0),
        "folder": os.getcwd(), "path": sys.path, "locale": locale.setlocale(locale.LC_ALL), "zone": time.tzname,
        "python": [gc.isenabled(), sys.getrecursionlimit(), str(sys.gettrace()), str(sys.excepthook), len(warnings.filters)],
        "socket": socket.getdefaulttimeout(), "blocking": [os.get_blocking(fd) for fd in (1, 2)],
        "stdin": [os.readlink("/proc/self/fd/0"), sys.stdin.read()], "closed": [sys.stdout.closed, sys.stderr.closed],
        "environ": {name: value for name, value in os.environ.items() if not name.startswith("KIRIBI_")},
        "children": has_children(),
    }
def has_children():
    try: os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError: return False
    return True
def probe():
    print("out"); print("err", file=sys.stderr); os.write(1, b"raw\\n")
    return now()

def exit_now(): os._exit(7)
def segfault(): ctypes.string_at(0)
def abort(): os.abort()
def deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        try: time.sleep(1)
        except BaseException: pass
def stopped(): os.kill(os.getpid(), signal.SIGSTOP)
def returns(what):
    loop = []; loop.append(loop)
    deep = []
    for _ in range(100_000): deep = [deep]
    class Items(dict):
        def items(self): raise KeyboardInterrupt
    class Awaitable:
        @property
        def __await__(self): raise RuntimeError("no await")
    return {"object": object(), "nan": math.nan, "huge": 10**5000, "loop": loop, "deep": deep, "surrogate": "\\ud800",
        "large": "x" * 10_000_000, "items": Items(a=1), "awaitable": Awaitable(), "key": {(1,): 2}}[what]
def raises(what):
    class NoText(Exception):
        def __str__(self): raise SystemExit(0)
        __repr__ = __str__
    class NoString(Exception):
        def __str__(self): return 3
    raise {"long": ValueError("y" * 10_000_000), "no text": NoText(), "no string": NoString(), "base": BaseException("base"),
        "ctrl-c": KeyboardInterrupt(), "exit -1": SystemExit(-1), "exit 2**40+7": SystemExit(2**40 + 7),
        "exit word": SystemExit("bye"), "exit tuple": SystemExit(1, 2), "exit bad": SystemExit(NoText()),
        "surrogate": ValueError("\\ud800")}[what]
def recurses(): return recurses()
def leaves_threads():
    def say():
        time.sleep(0.5); print("late")
    threading.Thread(target=say).start()
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
def leaves_child():
    import subprocess
    subprocess.Popen(["sh", "-c", "sleep 0.3; echo late; sleep 0.2"])
def forks(how):
    if os.fork() == 0:
        if how == "raise": raise ValueError("in the copy")
        if how == "exit": sys.exit(9)
        if how == "return": time.sleep(0.2)
        return "the copy's"
    if how == "wait": os.wait()
    return "the first's"
def fork_and_die():
    if os.fork() != 0: os._exit(4)
    time.sleep(0.2)
    return "the copy's"
def pool():
    import multiprocessing
    globals()["kept"] = multiprocessing.get_context("fork").Pool(2)
    return kept.map(abs, [-1, -2])
async def leaves_tasks():
    import asyncio
    globals()["task"] = asyncio.ensure_future(asyncio.sleep(600))
    return "done"
def moves():
    os.makedirs("gone", exist_ok=True); os.chdir("gone"); os.rmdir("../gone"); os.umask(0o777)
def environ():
    os.environ.clear(); os.putenv("EVIL", "1"); os.environ.update(PATH="/evil", TZ="Asia/Tokyo", KIRIBI_ATTEMPT_ID="1"); time.tzset()
def signals():
    for number in (1, 2, 3, 10, 12, 13, 14, 15, 17, 24): signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(99))
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
def timers():
    signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2); signal.setitimer(signal.ITIMER_PROF, 0.05)
def limits():
    for name in ("NOFILE", "FSIZE", "AS", "NPROC", "CPU"): resource.setrlimit(getattr(resource, "RLIMIT_" + name), (64, 64))
def settings():
    gc.disable(); sys.setrecursionlimit(90); sys.settrace(lambda *_: None); sys.excepthook = None; sys.path.clear()
    socket.setdefaulttimeout(0.001); warnings.simplefilter("error"); locale.setlocale(locale.LC_ALL, "C"); sys.set_int_max_str_digits(640)
def modules(): sys.modules.clear()
def modules_gone():
    for name in ("json", "traceback", "os", "time"): sys.modules[name] = None
def patches():
    json.dumps = json.loads = time.time = time.monotonic = None
    os.getpid = lambda: 1
    raise ValueError("patched")
def closes(first, last): os.closerange(first, last)
def writes(what):
    for fd in [*range(3, 70), *range(900, 1000)]:
        try: os.write(fd, what.encode() + b"\\n")
        except OSError: pass
def unblocks():
    for fd in range(3): os.set_blocking(fd, False)
def streams(how):
    class Bad:
        def flush(self): raise KeyboardInterrupt
    if how == "bad": sys.stdout = sys.stderr = Bad()
    elif how == "none": sys.stdout = sys.stderr = sys.stdin = None
    elif how == "detached": sys.stdout.detach(); sys.stdin.close()
    elif how == "full": os.dup2(os.open("/dev/full", os.O_WRONLY), 1); print("x" * 100_000)
def groups():
    try: os.setsid()
    except OSError: os.nice(3)
def becomes():
    os.setgid(65534); os.setuid(65534)
def leaks(): globals().setdefault("leak", []).append(bytearray(500_000_000))
"""
RAISED, JSON = "exception", "it returned what JSON cannot hold: "
# Function, payload, status, exit code, signal, beginning of the error.
CALLS = [
    ("exit_now", None, 7, None, "exit 7"),
    ("segfault", None, None, "SIGSEGV", "signal 11 (SEGV)"),
    ("abort", None, None, "SIGABRT", "signal 6 (ABRT)"),
    ("deaf", None, None, None, "timed out after 1s"),
    ("stopped", None, None, None, "timed out after 1s"),
    ("returns", "object", 1, None, f"TypeError: {JSON}Object of type object is not JSON serializable"),
    ("returns", "nan", 1, None, f"ValueError: {JSON}"),
    ("returns", "huge", 1, None, f"ValueError: {JSON}"),
    ("returns", "loop", 1, None, f"ValueError: {JSON}Circular reference detected"),
    ("returns", "deep", 1, None, f"RecursionError: {JSON}"),
    ("returns", "surrogate", 1, None, f"UnicodeEncodeError: {JSON}"),
    ("returns", "key", 1, None, f"TypeError: {JSON}"),
    ("returns", "items", 1, None, f"KeyboardInterrupt: {JSON}"),
    ("returns", "awaitable", 1, None, "RuntimeError: no await"),
    ("returns", "large", 0, None, None),
    ("raises", "long", 1, None, "ValueError: yyyy"),
    ("raises", "no text", 1, None, "NoText: its message cannot be shown: SystemExit"),
    ("raises", "no string", 1, None, "NoString: its message cannot be shown: TypeError"),
    ("raises", "base", 1, None, "BaseException: base"),
    ("raises", "ctrl-c", 1, None, "KeyboardInterrupt"),
    ("raises", "exit -1", 255, None, "exit 255"),
    ("raises", "exit 2**40+7", 7, None, "exit 7"),
    ("raises", "exit word", 1, None, "bye"),
    ("raises", "exit tuple", 1, None, "(1, 2)"),
    ("raises", "exit bad", 1, None, "an exit code that cannot be shown: SystemExit"),
    ("raises", "surrogate", 1, None, "ValueError: \\ud800"),
    ("recurses", None, 1, None, "RecursionError: maximum recursion depth exceeded"),
    ("leaves_threads", None, 0, None, None),
    ("leaves_child", None, 0, None, None),
    ("forks", "return", 0, None, None),
    ("forks", "wait", 0, None, None),
    ("forks", "raise", 0, None, None),
    ("forks", "exit", 0, None, None),
    ("fork_and_die", None, 4, None, "exit 4"),
    ("pool", None, 0, None, None),
    ("leaves_tasks", None, 0, None, None),
    ("moves", None, 0, None, None),
    ("environ", None, 0, None, None),
    ("signals", None, 0, None, None),
    ("timers", None, 0, None, None),
    ("limits", None, 0, None, None),
    ("settings", None, 0, None, None),
    ("modules", None, 0, None, None),
    ("modules_gone", None, 0, None, None),
    ("closes", [0, 3], 0, None, None),
    ("closes", [0, 256], 0, None, None),
    ("closes", [0, 70000], 71, None, "exit 71"),
    (
        "writes",
        "garbage",
        1,
        None,
        "OSError: it wrote to descriptors that are not its own, and its interpreter was ended",
    ),
    (
        "writes",
        "[1,2]",
        1,
        None,
        "OSError: it wrote to descriptors that are not its own, and its interpreter was ended",
    ),
    ("writes", "5", 1, None, "OSError: it wrote to descriptors that are not its own, and its interpreter was ended"),
    ("unblocks", None, 0, None, None),
    ("streams", "bad", 0, None, None),
    ("streams", "none", 0, None, None),
    ("streams", "detached", 0, None, None),
    ("streams", "full", 1, None, "OSError: [Errno 28] No space left on device"),
    ("groups", None, 0, None, None),
    ("leaks", None, 0, None, None),
    ("patches", None, 1, None, "ValueError: patched"),
]


def test_a_callable_hurts_only_itself_whatever_it_does(kiribi):
    (kiribi.folder / "evil.py").write_text(EVIL.replace("\\\\", "\\"))
    calls = [*CALLS[:-1], *([("becomes", None, 0, None, None)] if os.geteuid() == 0 else []), CALLS[-1]]
    names = dict.fromkeys(["probe", *(call[0] for call in calls)])
    timeouts = {"deaf": "timeout = '1s'\n", "stopped": "timeout = '1s'\n"}
    tables = [f"[jobs.{name}]\npython = 'evil:{name}'\n{timeouts.get(name, '')}" for name in names]
    kiribi.define(DEFAULTS + "".join(tables))
    # What is patched in a module stays, as the help says: nothing comes after that.
    lines = [line for name, given, *_ in calls for line in ({"job": "probe"}, enqueued(name, given))]
    kiribi.ok("enqueue", "--batch", "-", stdin="\n".join(json.dumps(line) for line in lines))
    kiribi.ok("worker", "--drain", "-j", 1, env={"LC_ALL": "C.UTF-8"})

    jobs = kiribi.json("show", *range(1, len(lines) + 1))
    ends = [(job["exit_code"], job["signal"], (job["error"] or {}).get("message")) for job in jobs[1::2]]
    for (name, given, code, signal, error), end in zip(calls, ends, strict=True):
        assert (name, given, *end[:2]) == (name, given, code, signal), end
        assert (name, given, end[2] and end[2][: len(error or "")]) == (name, given, error)
    clean = jobs[0]["result"]
    dirty = {
        f"{before['job']} {before['payload']}": probe["error"] or differences(clean, probe["result"])
        for before, probe in zip(jobs[1:-1:2], jobs[2::2], strict=True)
    }
    assert {after: what for after, what in dirty.items() if what} == {}
    said: dict[int, list[str]] = {}
    for line in map(json.loads, kiribi.ok("--jsonl", "logs", *(job["id"] for job in jobs[::2])).splitlines()):
        said.setdefault(line["id"], []).append(line["line"])
    assert {probe: sorted(lines) for probe, lines in said.items()} == {
        job["id"]: ["err", "out", "raw"] for job in jobs[::2]
    }
    assert [job["result"] for job in jobs if job["job"] == "forks"] == ["the first's"] * 4


def enqueued(name: str, given: Any) -> dict[str, Any]:
    if given is None:
        return {"job": name}
    if name == "closes":
        return {"job": name, "payload": {"first": given[0], "last": given[1]}}
    return {"job": name, "payload": {"how" if name in ("forks", "streams") else "what": given}}


def differences(clean: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
    return {key: (clean[key], seen[key]) for key in clean if clean[key] != seen[key]}
