"""Everything that a job's bytes touch: its log, its files, and the terminal on which somebody looks at them."""

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

from kiribi_cli.core.durations import spell_size
from kiribi_cli.runner.output import read
from tests.conftest import KIRIBI, eventually
from tests.terminal import harm_in, on_a_terminal

A_BUG = "did not expect"

# A callable and commands that put something else in the place of their files, or something that nobody can read.
HOSTILE_FILES = r"""
[worker]
concurrency = 2
[defaults]
max_attempts = 1
[jobs]
Folder = 'mkdir -p "$KIRIBI_RESULT_FILE/a/b" "$KIRIBI_PROGRESS_FILE/c"; touch "$KIRIBI_RESULT_FILE/a/x"; sleep 1.2'
Linked = 'mkdir "$KIRIBI_RESULT_FILE"; ln -s "$PWD/precious" "$KIRIBI_RESULT_FILE/a"; ln -s "$PWD/precious/x" "$KIRIBI_RESULT_FILE/b"'
Link = 'ln -s /etc/passwd "$KIRIBI_RESULT_FILE"; ln -s /etc/passwd "$KIRIBI_PROGRESS_FILE"; sleep 1.2'
Pipe = 'mkfifo "$KIRIBI_RESULT_FILE" "$KIRIBI_PROGRESS_FILE"; sleep 1.2'
Huge = 'truncate -s 1G "$KIRIBI_RESULT_FILE"'
Bytes = 'printf "\377\376\000\033[2J" > "$KIRIBI_RESULT_FILE"'
NaN = 'printf "{\"a\": NaN}" > "$KIRIBI_RESULT_FILE"'
Infinite = 'printf "{\"a\": 1e999}" > "$KIRIBI_RESULT_FILE"'
Deep = 'printf "[%.0s" $(seq 500) > "$KIRIBI_RESULT_FILE"; printf "]%.0s" $(seq 500) >> "$KIRIBI_RESULT_FILE"'
Share = 'printf "%s\n" "$(printf "9%.0s" $(seq 400))/1 far" > "$KIRIBI_PROGRESS_FILE"; sleep 1.2'
Hurried = 'i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); echo "$i/20000 at $i"; done > "$KIRIBI_PROGRESS_FILE"; sleep 1.2'
NoFolder = 'mv .kiribi/run .kiribi/elsewhere; mv .kiribi/logs .kiribi/before; echo nowhere'
[jobs.Loud]
shell = "head -c 3000000 /dev/zero"
result = "stdout"
result_max = "1MB"
"""


def read_json(text: str):
    """Read JSON as strict readers do."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_whatever_a_job_puts_in_the_place_of_its_files_hurts_nobody(kiribi):
    kiribi.define(HOSTILE_FILES)
    (kiribi.folder / "precious").mkdir()
    (kiribi.folder / "precious" / "x").write_text("kept")
    names = [line.partition(" ")[0] for line in HOSTILE_FILES.splitlines() if " = '" in line]
    for name in [*names[:-1], "Loud"]:
        kiribi.ok("enqueue", name)
    kiribi.ok("worker", "--drain")
    files = sorted(path.name for path in (kiribi.folder / ".kiribi" / "run").iterdir())
    kiribi.ok("enqueue", "NoFolder")
    kiribi.ok("worker", "--drain")

    jobs = read_json(kiribi.ok("--json", "ls", "--fields", "job,status,result"))
    results = {job["job"]: job["result"] for job in jobs}
    assert {job["status"] for job in jobs} == {"completed"}
    assert results | {"Deep": len(results["Deep"])} == dict.fromkeys(results) | {
        "Bytes": "\ufffd\ufffd\x00\x1b[2J", "NaN": '{"a": NaN}', "Infinite": '{"a": 1e999}', "Deep": 1000,
    }  # fmt: skip
    assert {job: read_json(kiribi.ok("--json", "show", job))["status"] for job in range(1, len(jobs) + 1)}
    assert [name for name in files if name.partition(".")[0].isdigit()] == []
    assert (kiribi.folder / "precious" / "x").read_text() == "kept"


def test_a_share_that_no_number_holds_spoils_no_list(kiribi):
    kiribi.define(HOSTILE_FILES.replace("1.2'", "5'"))
    kiribi.ok("enqueue", "Share")
    kiribi.ok("enqueue", "Hurried")
    kiribi.worker("--max-jobs", "2")
    eventually(lambda: all(kiribi.json("show", job)["progress"] for job in (1, 2)))

    share, hurried = (kiribi.json("show", job)["progress"] for job in (1, 2))
    assert (share["fraction"], share["message"][:3]) == (None, "999")
    assert 0 < hurried["fraction"] <= 1
    assert "999" in kiribi.ok("ls", "--table")


def test_a_folder_in_the_place_of_a_file_stops_no_rescue(kiribi):
    kiribi.define(HOSTILE_FILES.replace("1.2'", "60'"))
    kiribi.ok("enqueue", "Folder")
    worker = kiribi.worker()
    eventually(lambda: list((kiribi.folder / ".kiribi" / "run").glob("1.result/a/x")))
    for pid in [worker.pid, *children_of(worker.pid)]:
        os.kill(pid, signal.SIGKILL)
    worker.wait()
    kiribi.ok("worker", "--drain")

    assert kiribi.status(1) == "failed"
    assert list((kiribi.folder / ".kiribi" / "run").glob("1.*")) == []


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


# Titles, clipboards, answers, screens, cursors, unfinished commands, C1 as a character, turned writing, markup of rich.
EVIL = (
    "a\x1b]0;title\x07\x1b]52;c;ZXZpbA==\x07\x1b]8;;http://evil\x1b\\link\x1b[2J\x1b[6n\x05\x1bP+q\x1b\\\x08\x08\r\x9b2Jz"
    "\u202eevil\u2066\x7f\x1b[31m\x1b[" + "1;" * 60 + "m\x0e\x1b(0[red][link=http://evil]x[/red]\x1b]0;no end"
)
EVIL_FILE = "e\x1b]0;folder\x07\u202e\x9b2J[red]"
EVIL_JOBS = r"""
[worker]
concurrency = 4
[defaults]
max_attempts = 1
[jobs.Fail]
command = ["sh", "-c", "cat >&2; cat evil evil evil; exit 3"]
description = "evil \u001b]0;described\u0007 \u202e"
env = { EVIL = "\u001b[2J\u009b" }
[jobs.Hand]
command = ["sh", "-c", "cat evil > \"$KIRIBI_RESULT_FILE\"; cat evil > \"$KIRIBI_PROGRESS_FILE\""]
[jobs.Param]
command = ["true", "--", "{payload.a}"]
params = { a = { type = "string", help = "\u001b]0;help\u0007" } }
[jobs.Slow]
command = ["sh", "-c", "printf '0.5 ' > \"$KIRIBI_PROGRESS_FILE\"; cat evil >> \"$KIRIBI_PROGRESS_FILE\"; cat evil; printf '\\033'; sleep 0.2; printf '[2J\\033[31m'; cat evil; exec sleep 60"]
"""
LOOKS = [
    "ls", "ls --tsv", "ls --json", "ls --jsonl", "ls --fields job,error,result,progress,tags,queue,unique_key,payload --tsv",
    "show 1", "show 2", "show 3", "show 1 --json", "show 3 --result", "show 3 --json --result", "show 1 --payload", "show 1 --events",
    "logs 1", "logs 1 -t --prefix", "logs 1 --json", "logs 1 --jsonl", "logs 1 --path", "logs 1 --color never", "logs -f 1",
    "why 1", "why 1 --json", "events", "events --json", "events --tsv", "ps --all", "ps --all --json", "ps --all --tsv",
    "stats", "stats --by error", "stats --by tag", "stats --by queue --json", "doctor", "db verify", "db info", "config show --origin",
    "config path", "check", "def ls", "def show Fail", "def show Param", "def schema", "wait 1", "wait 1 --json", "cancel 1",
    "retry 1 -n", "duplicate 1 -n", "rm 1 -n", "sweep -n", "recover -n",
]  # fmt: skip


@pytest.fixture
def evil(kiribi):
    """A folder with a name, jobs with names, tags, queues, keys, output, results and errors that no terminal should see."""
    kiribi.folder = kiribi.folder / EVIL_FILE
    kiribi.folder.mkdir()
    kiribi.define(EVIL_JOBS)
    (kiribi.folder / "evil").write_bytes(EVIL.encode() + b"\xff\x9b2J" + EVIL.encode())
    payload = json.dumps({"a": EVIL})
    for job in ("Fail", "Hand", "Param"):
        kiribi.ok("enqueue", job, "--tag", "plain", "-p", "-", stdin=payload)
    kiribi.ok("enqueue", "Hand", "--unique", EVIL)
    kiribi.ok("enqueue", "--", EVIL_FILE, EVIL)
    kiribi.ok("worker", "--drain", "--name", "first")
    return kiribi


# What no door lets in, but a program that writes to the database by itself can put there.
SPOILT = """
UPDATE jobs SET job = :evil, queue = :evil, tags = json_array(:evil), origin_by = :evil, worker = :evil, reason = :evil,
  error_message = :evil, signal = :evil, error_kind = :evil, progress = :evil WHERE id > 3;
UPDATE jobs SET reason = :evil, result = json_quote(:evil) WHERE id = 2;
UPDATE attempts SET worker = :evil, host = :evil, cwd = :evil, command = :evil, error_message = :evil, signal = :evil;
UPDATE events SET "by" = :evil, reason = :evil, job = :evil WHERE seq > 5;
UPDATE workers SET name = :evil, host = :evil, version = :evil, queues = json_object(:evil, 1), config_error = :evil;
"""
WORDS = [
    ["{}"], ["ls", "--{}"], ["show", "{}"], ["enqueue", "{}"], ["-c", "{}", "ls"], ["--db", "{}", "ls"], ["logs", "{}"],
    ["logs", "1", "--grep", "({}"], ["enqueue", "Param", "a={}", "{}=1"], ["enqueue", "Param", "-p", "{}"], ["help", "{}"],
    ["enqueue", "--name", "{}", "--", "true"], ["ls", "--status", "{}"], ["ls", "--fields", "{}"], ["ls", "{}"],
    ["events", "--type", "{}"], ["wait", "{}"], ["run", "{}"], ["run", "--", "{}"], ["run", "--timeout", "{}", "--", "true"],
    ["--json", "show", "{}"], ["--jsonl", "ls", "--{}"], ["def", "show", "{}"], ["check", "{}"], ["stop", "{}"], ["db", "backup", "{}/x"], ["worker", "--queue", "{}"], ["-vv", "show", "{}"],
]  # fmt: skip


@contextlib.contextmanager
def spoilt(kiribi):
    """Put into the database what no door lets in, and make it as it was."""
    path = kiribi.folder / ".kiribi" / "kiribi.db"
    with (
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database,
        contextlib.closing(sqlite3.connect(":memory:")) as before,
    ):
        database.backup(before)
        for statement in SPOILT.split(";")[:-1]:
            database.execute(statement, {"evil": EVIL})
        yield
        before.backup(database)


@pytest.mark.slow
def test_no_word_of_a_command_line_and_no_line_of_jobs_toml_reaches_a_terminal_as_it_is(evil):
    found = {}
    for words in WORDS:
        shown, code = on_a_terminal(evil, *(word.replace("{}", EVIL) for word in words))
        if harm := harm_in(shown) or (A_BUG in shown.decode(errors="replace") and "a bug"):
            found[" ".join(words)] = harm
        assert code != 0 or words[0] in ("enqueue", "run", "ls"), words
    evil.define(
        f"{json.dumps(EVIL)} = 1\n[jobs.{json.dumps(EVIL)}]\n{json.dumps(EVIL)} = 2\n[jobs.A]\ncommand = {json.dumps(EVIL)}\n"
    )
    for command in ("check", "check --json", "enqueue A", "def ls", "doctor", "worker --drain"):
        shown, _ = on_a_terminal(evil, *command.split())
        if harm := harm_in(shown) or (not shown.strip() and "nothing"):
            found[command] = harm

    assert found == {}


@pytest.mark.slow
def test_nothing_but_text_and_colours_reaches_a_terminal_whatever_is_looked_at(evil):
    found = {}
    with spoilt(evil):
        for look in LOOKS:
            shown, _ = on_a_terminal(evil, *look.split())
            if A_BUG in shown.decode(errors="replace") or not shown.strip():
                found[look] = repr(shown[-300:])
            elif harm := harm_in(shown):
                found[look] = harm

    assert found == {}


@pytest.mark.slow
def test_nothing_but_text_and_colours_reaches_a_terminal_while_a_job_runs(evil):
    worker = evil.worker("--name", "second")
    slow = evil.ok("enqueue", "Slow", "--unique", EVIL)
    eventually(lambda: evil.json("show", slow)["progress"])
    looks = {
        "logs -f 6": b"no end\\x1b[2J", "ls --watch": b"running", "ps --watch": b"second",
        "stats --watch": b"Now", "show 6": b"", "wait 6": b"running", "ps": b"", "events -f --from-seq 1": b"started",
    }  # fmt: skip
    found = {look: on_a_terminal(evil, *look.split(), until=until or None) for look, until in looks.items()}
    for look in (
        "run Fail",
        "run --quiet-on-success Fail",
        "run Fail --json",
        "enqueue Fail --follow",
        "enqueue Hand --result",
    ):
        found[look] = on_a_terminal(evil, *look.split(), "--payload", json.dumps({"a": EVIL}))
    evil.ok("cancel", slow)
    worker.terminate()
    worker.wait(60)
    for form in ("text", "json"):
        evil.ok("enqueue", "Fail")
        found[form] = on_a_terminal(evil, "worker", "--drain", "--log-format", form, "--name", "first")

    assert {look: harm for look, (shown, _) in found.items() if (harm := harm_in(shown))} == {}
    assert {look: code for look, (_, code) in found.items() if code != 130} == dict.fromkeys(("show 6", "ps", "text", "json"), 0) | {
        "run Fail": 3, "run --quiet-on-success Fail": 3, "run Fail --json": 3, "enqueue Fail --follow": 1, "enqueue Hand --result": 0,
    }  # fmt: skip
    assert b"\x1b[31m" in found["logs -f 6"][0]
    assert found["logs -f 6"][0].rstrip(b"^C\r\n").endswith(b"\x1b[0m")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("kiribi logs 1 | head -1", 0),
        ("kiribi logs -f 1 | head -1", 0),
        ("kiribi logs -t 1 | head -1", 0),
        ("kiribi logs --jsonl 1 | head -1", 0),
        ("timeout 20 kiribi run -- yes | head -1", 0),
        ("timeout 20 kiribi run -- sh -c 'trap \"\" PIPE; while :; do echo y; sleep 0.02; done' | head -1", 0),
        ("kiribi run --no-record -- yes 2>&1 | head -1", 0),
    ],
)
def test_a_reader_that_has_seen_enough_ends_it_quietly(kiribi, line, code):
    kiribi.define("[jobs]\nMuch = 'seq 1 200000'\n")
    kiribi.ok("enqueue", "Much")
    kiribi.ok("worker", "--drain")
    done = subprocess.run(
        ["/bin/bash", "-c", line + "; echo ${PIPESTATUS[0]}"], cwd=kiribi.folder, env=kiribi.environment,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    shown = done.stdout.splitlines()
    assert (len(shown), shown[1], done.stderr) == (2, "141", "")
    assert {job["status"] for job in kiribi.json("ls")} <= {"completed", "cancelled"}


def test_a_log_that_cannot_be_written_out_is_one_sentence(kiribi):
    kiribi.ok("run", "--", "seq", "100000")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [str(KIRIBI), "logs", "1"], cwd=kiribi.folder, env=kiribi.environment, stdout=full, stderr=subprocess.PIPE
        )

    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert done.stderr.startswith(b"Error: could not write")


FLOODS = r"""
[worker]
concurrency = 4
min_free = "1MB"
[logs]
max_per_attempt = "8MB"
[defaults]
max_attempts = 1
[jobs]
Warm = 'seq 200000; seq 200000 >&2'
Flood = 'printf "begin "; (head -c 75000000 /dev/zero & head -c 75000000 /dev/zero >&2; wait); printf " end"'
Whole = 'printf "begin "; head -c 300000000 /dev/zero; printf " end"'
Bytewise = '''python3 -c "import os; [os.write(1 + i % 2, b'.') for i in range(100000)]"'''
"""


@pytest.mark.slow
def test_floods_need_no_memory_and_hold_up_nobody_and_every_byte_is_kept_or_counted(kiribi):
    kiribi.define(FLOODS)
    for _ in range(4):
        kiribi.ok("enqueue", "Warm")
    worker = kiribi.worker()
    kiribi.ok("wait", "--job", "Warm")
    (hands,) = children_of(worker.pid)
    before = {pid: peak_memory(pid) for pid in (worker.pid, hands)}
    jobs = [kiribi.ok("enqueue", job) for job in ("Flood", "Whole", "Bytewise")]
    stopped = kiribi.start("logs", "-f", jobs[0], stdout=subprocess.PIPE)
    stopped.send_signal(signal.SIGSTOP)
    assert kiribi("wait", *jobs, "--timeout", "50s").returncode == 0
    stopped.kill()

    for job, size in zip(jobs, (150_000_010, 300_000_010, 100_000), strict=True):
        log_path = Path(kiribi.ok("logs", job, "--path"))
        pieces = list(read(log_path))
        kept, missing = sum(len(piece.data) for piece in pieces), sum(piece.missing for piece in pieces)
        assert kept + missing == size
        assert kept == size if size < 8_000_000 else 7_000_000 < kept <= 8_000_000
        assert kept == kiribi.json("show", job)["attempt_list"][0]["log_bytes"]
        if size > 8_000_000:
            printed = b"".join(piece.data for piece in pieces if piece.stream == "out")
            assert (printed[:6], printed[-4:]) == (b"begin ", b" end")
            assert (
                f"{spell_size(missing)} of the log of job {job} are missing here" in kiribi("logs", job, "--raw").stderr
            )
    assert {pid: peak_memory(pid) - size < 4_000 for pid, size in before.items()} == {worker.pid: True, hands: True}
    worker.terminate()
    assert worker.wait(60) == 0


def peak_memory(pid: int) -> int:
    """The most that a process ever had, in KiB."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1])


LEFT_BEHIND = r"""
[worker]
concurrency = 4
[jobs]
Leave = '(while [ ! -e gone ]; do sleep 0.3; done) & echo said'
Loud = '(while [ ! -e gone ]; do echo later; done) & setsid sh -c "while [ ! -e gone ]; do echo daemon; sleep 0.1; done" & echo said'
"""


@pytest.mark.slow
def test_what_a_job_leaves_behind_holds_up_nothing_and_fills_no_table_of_descriptors(kiribi):
    kiribi.define(LEFT_BEHIND)
    loud = kiribi.ok("enqueue", "Loud")
    worker = kiribi.worker()
    kiribi.ok("wait", loud, "--timeout", "30s")
    (hands,) = children_of(worker.pid)
    said = kiribi.ok("logs", loud)
    counts = []
    for _ in range(2):
        kiribi.ok("enqueue", "--batch", "-", stdin='{"job": "Leave"}\n' * 150)
        kiribi.ok("wait", "--job", "Leave", "--timeout", "50s")
        counts.append(len(list(Path(f"/proc/{hands}/fd").iterdir())))
    assert kiribi.ok("logs", loud) == said
    (kiribi.folder / "gone").touch()

    eventually(lambda: len(list(Path(f"/proc/{hands}/fd").iterdir())) < 20)
    assert max(counts) < 300, counts
    assert "said" in said.splitlines()
    worker.terminate()
    assert worker.wait(60) == 0


RETRIES = r"""
[worker]
concurrency = 2
[logs]
max_per_attempt = "20KB"
compress_after = "1s"
[defaults]
max_attempts = 3
backoff = ["1500ms"]
[jobs]
Again = '''
n=$(($(cat tries 2>/dev/null || echo 0) + 1)); echo $n > tries
for i in $(seq 100); do echo "$n out $i"; done
sleep 0.3; for i in $(seq 100); do echo "$n err $i" >&2; done
[ $n -ge 3 ] || { sleep 0.2; exit 1; }
'''
"""


@pytest.mark.slow
@pytest.mark.parametrize("kill", [False, True])
def test_followers_see_each_line_once_and_in_order_over_retries_and_the_end_of_the_job(kiribi, kill):
    kiribi.define(RETRIES)
    worker = kiribi.worker()
    job = kiribi.ok("enqueue", "Again", "--in", "1s")
    followers = [kiribi.start("logs", "-f", job, "--exit-status", stdout=subprocess.PIPE)]
    if kill:
        eventually(lambda: kiribi.json("show", job)["attempts"] == 1 and log_of(kiribi, 1).count(b"\n") > 100)
        for pid in [*children_of(worker.pid), worker.pid]:
            os.kill(pid, signal.SIGKILL)
        worker.wait()
        worker = kiribi.worker()
    eventually(lambda: kiribi.json("show", job)["attempts"] == 2)
    followers.append(kiribi.start("logs", "-f", job, "--attempt", "all", stdout=subprocess.PIPE))
    shown = [follower.communicate(timeout=60)[0].decode().splitlines() for follower in followers]
    shown.append(kiribi.ok("logs", job, "--attempt", "all").splitlines())

    told = [f"{n} {stream} {i}" for n in (1, 2, 3) for stream in ("out", "err") for i in range(1, 101)]
    assert [follower.returncode for follower in followers] == [0, 0]
    for lines in shown:
        assert lines == ([line for line in told if line in set(lines)] if kill else told)
        assert set(told) - set(lines) <= {line for line in told if line.startswith("1 err")}
    assert kiribi.ok("logs", "-f", job).splitlines() == told[400:]
    worker.terminate()
    assert worker.wait(60) == 0


def log_of(kiribi, attempt: int) -> bytes:
    path = kiribi.folder / ".kiribi" / "logs" / str(attempt)
    return path.read_bytes() if path.exists() else b""


@pytest.mark.slow
def test_what_hands_had_written_when_they_were_killed_in_a_flood_is_read(kiribi):
    kiribi.define(
        "[worker]\nconcurrency = 1\n[logs]\nmax_per_attempt = '200KB'\n[jobs.Flood]\nshell = 'yes | cat -n'\nmax_attempts = 1\n"
    )
    for number in range(1, 4):
        kiribi.ok("enqueue", "Flood")
        worker = kiribi.worker()
        eventually(lambda number=number: (kiribi.folder / ".kiribi" / "logs" / f"{number}.t{number}").exists())
        for pid in [*children_of(worker.pid), worker.pid]:
            os.kill(pid, signal.SIGKILL)
        worker.wait()
        kiribi.ok("worker", "--drain")
        pieces = list(read(kiribi.folder / ".kiribi" / "logs" / str(number), kept=0))
        done = kiribi("logs", number, "--raw")

        assert kiribi.status(number) == "failed"
        assert done.returncode == 0
        assert sum(len(piece.data) for piece in pieces) > 100_000
        assert [piece.offset for piece in pieces] == offsets(pieces)
        for piece in pieces:
            numbers = [int(line.split()[0]) for line in piece.data.splitlines()[1:-1]]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True


def offsets(pieces) -> list[int]:
    place, found = 0, []
    for piece in pieces:
        found.append(place)
        place += len(piece.data) or piece.missing
    return found


HOSTILE_LOGS = r"""
[worker]
concurrency = 4
[defaults]
max_attempts = 1
[jobs]
Pipe = 'mkfifo ".kiribi/logs/$KIRIBI_ATTEMPT_ID"; echo lost; seq 9999'
Folder = 'mkdir ".kiribi/logs/$KIRIBI_ATTEMPT_ID"; echo lost; exit 3'
Link = 'ln -s "$PWD/precious" ".kiribi/logs/$KIRIBI_ATTEMPT_ID"; echo lost'
Short = 'echo first; sleep 0.3; truncate -s 0 ".kiribi/logs/$KIRIBI_ATTEMPT_ID"; echo second'
Junk = 'echo first; sleep 0.3; printf "\033[2Jjunk" > ".kiribi/logs/$KIRIBI_ATTEMPT_ID"; echo second'
Gone = 'echo first; sleep 0.3; rm ".kiribi/logs/$KIRIBI_ATTEMPT_ID"; echo second'
Moved = 'mv .kiribi/logs .kiribi/before; touch .kiribi/logs; echo lost; sleep 0.3; rm .kiribi/logs; mv .kiribi/before .kiribi/logs; echo second'
"""


def test_whatever_becomes_of_a_log_the_job_ends_and_what_lacks_is_said(kiribi):
    kiribi.define(HOSTILE_LOGS)
    (kiribi.folder / "precious").write_text("kept")
    names = ["Pipe", "Folder", "Link", "Short", "Junk", "Gone"]
    for name in names:
        kiribi.ok("enqueue", name)
    kiribi.ok("worker", "--drain")
    kiribi.ok("enqueue", "Moved")
    kiribi.ok("worker", "--drain")
    looked = {job: (kiribi("logs", job), kiribi("logs", "-f", job)) for job in (*names, "Moved")}

    assert {job["job"]: job["exit_code"] for job in kiribi.json("ls")} == dict.fromkeys(looked, 0) | {"Folder": 3}
    for plain, followed in looked.values():
        assert plain.stdout == followed.stdout
        assert A_BUG not in plain.stderr + followed.stderr
    assert {job: plain.stdout.split() for job, (plain, _) in looked.items()} == {job: [] for job in looked} | {
        "Short": ["second"], "Junk": ["second"], "Moved": ["second"],
    }  # fmt: skip
    assert [job for job, (plain, _) in looked.items() if plain.stderr == ""] == []
    assert {job: code for job, (plain, _) in looked.items() if (code := plain.returncode)} == {
        "Pipe": 1,
        "Folder": 1,
        "Gone": 3,
    }
    assert (kiribi.folder / "precious").read_text() == "kept"
