"""What a command finds when it starts, and what is known of it when it ends."""

import json
import os
import resource
import signal
import stat
from pathlib import Path

import pytest

from kiribi_cli.core.definition import Definition, Limits
from kiribi_cli.core.outcome import Cancelled, Ended, Exited, NeverStarted, Signalled
from kiribi_cli.runner.launch import Returned, Started


@pytest.mark.parametrize("code", [0, 1, 75, 255])
def test_the_exit_code_is_reported(run, code):
    ended = run(f"exit {code}")

    assert ended.outcome == Exited(code)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_death_by_a_signal_is_reported_as_such(run, number):
    ended = run(f"kill -{int(number)} $$")

    assert ended.outcome == Signalled(int(number), oom=False)


def test_a_short_attempt_names_its_process_with_its_end(bench, run):
    ended = run("echo $$ > pid")

    assert bench.all(Started, ended.attempt_id) == []
    assert ended.pid == int((bench.folder / "pid").read_text())


def test_a_longer_attempt_names_its_process_before_its_end_and_once(bench, run):
    ended = run("echo $$ > pid; sleep 0.2")

    (started,) = bench.all(Started, ended.attempt_id)
    assert started.pid == int((bench.folder / "pid").read_text())
    assert bench.seen.index(started) < bench.seen.index(ended)
    assert (started.at_ms, ended.pid) == (ended.started_at, 0)


def test_a_longer_attempt_says_who_it_is_while_it_runs(bench, eventually):
    attempt = bench.start("exec sleep 60")

    started = eventually(lambda: bench.started(attempt))

    stat_fields = Path(f"/proc/{started.pid}/stat").read_text().rpartition(")")[2].split()
    assert started.start_ticks == int(stat_fields[19])
    assert bench.ended(attempt) is None


def test_cpu_time_and_peak_memory_are_measured(run):
    ended = run(("python3", "-c", "b = bytearray(60_000_000); n = 0\nwhile n < 3_000_000: n += 1"))

    assert ended.usage.cpu_user_ms > 0
    assert ended.usage.max_rss_bytes > 60_000_000


def test_the_environment_is_exactly_what_the_rules_say(bench, run):
    payload = json.dumps({"src": "a b", "dry-run": True, "n": 1.5, "none": None, "list": [1]})

    ended = run(
        ("env", "-0"),
        env={"PATH": "/opt:{env.PATH}", "X": "literal $HOME"},
        work={"payload": payload, "env": {"EXTRA": "1", "KIRIBI_JOB_ID": "forged"}, "scheduled_for": 1_763_920_800_123},
    )

    number = ended.attempt_id
    found = dict(line.split("=", 1) for line in bench.log(number).decode().split("\0") if line)
    assert found == {
        "PATH": "/opt:/usr/local/bin:/usr/bin:/bin",
        "HOME": "/nowhere",
        "LANG": "C.UTF-8",
        "X": "literal $HOME",
        "EXTRA": "1",
        "KIRIBI_JOB": "Test",
        "KIRIBI_JOB_ID": str(number),
        "KIRIBI_QUEUE": "default",
        "KIRIBI_ATTEMPT": "1",
        "KIRIBI_ATTEMPT_ID": str(number),
        "KIRIBI_ATTEMPTS_LEFT": "2",
        "KIRIBI_MAX_ATTEMPTS": "3",
        "KIRIBI_SCHEDULED_FOR": "2025-11-23T18:00:00.123Z",
        "KIRIBI_CONFIG": str(bench.folder / "jobs.toml"),
        "KIRIBI_DB": bench.db,
        "KIRIBI_PAYLOAD": payload,
        "KIRIBI_PAYLOAD_FILE": str(bench.files / f"{number}.payload"),
        "KIRIBI_RESULT_FILE": str(bench.files / f"{number}.result"),
        "KIRIBI_PROGRESS_FILE": str(bench.files / f"{number}.progress"),
        "KIRIBI_ARG_SRC": "a b",
        "KIRIBI_ARG_DRY_RUN": "true",
        "KIRIBI_ARG_N": "1.5",
    }


def test_values_of_an_outer_job_are_not_passed_on(tmp_path, bench):
    bench.place.environ.update({"KIRIBI_PAYLOAD": "outer", "KIRIBI_ARG_X": "outer", "KIRIBI_STEP": "outer"})

    launch = bench.launch(
        Definition(name="T", kind="command", command=("true",), env_inherit=("*",), cwd=str(tmp_path))
    )

    names = dict(launch.base.env) | launch.env
    assert names["SECRET"] == "not inherited"
    assert not {"KIRIBI_PAYLOAD", "KIRIBI_ARG_X", "KIRIBI_STEP"} & set(names)


def test_nothing_but_0_1_and_2_is_open(bench, run):
    # The listing itself has the folder open, as 3.
    ended = run(("ls", "/proc/self/fd"))

    assert bench.log(ended.attempt_id).split() == [b"0", b"1", b"2", b"3"]


@pytest.mark.parametrize("limits", [Limits(), Limits(open_files=64)], ids=["spawned", "forked"])
def test_signals_have_their_default_meaning(bench, run, limits):
    ended = run(("cat", "/proc/self/status"), limits=limits)

    values = dict(line.split(":\t") for line in bench.log(ended.attempt_id).decode().splitlines())
    # glibc itself ignores the two signals that it keeps for itself, 32 and 33.
    assert int(values["SigIgn"], 16) & ~0x180000000 == 0
    assert (int(values["SigBlk"], 16), int(values["SigCgt"], 16)) == (0, 0)


@pytest.mark.parametrize("limits", [Limits(), Limits(open_files=64)], ids=["spawned", "forked"])
def test_it_has_a_session_and_group_of_its_own_a_folder_and_a_umask(bench, run, limits):
    ended = run('echo $$ $(cut -d" " -f5,6 /proc/$$/stat); pwd; umask', umask=0o27, limits=limits)

    own, folder, umask = bench.log(ended.attempt_id).decode().splitlines()
    assert len(set(own.split())) == 1
    assert folder == str(bench.folder)
    assert umask == "0027"


def test_limits_and_nice_are_set(bench, run):
    limits = Limits(memory=10**9, cpu_time_ms=7_000, open_files=99, file_size=10**6)

    ended = run("nice; cat /proc/self/limits", limits=limits, nice=5)

    nice, *lines = bench.log(ended.attempt_id).decode().splitlines()
    found = {line[:26].strip(): line[26:].split()[0] for line in lines[1:]}
    assert int(nice) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 5)
    assert found["Max address space"] == "1000000000"
    assert found["Max cpu time"] == "7"
    assert found["Max open files"] == "99"
    assert found["Max file size"] == "1000000"


def test_a_cpu_limit_ends_the_job(run):
    ended = run(("python3", "-c", "while True: pass"), limits=Limits(cpu_time_ms=1_000))

    assert ended.outcome == Signalled(int(signal.SIGXCPU))


@pytest.mark.needs("root")
def test_another_user_runs_as_that_user_and_can_hand_over_a_result(bench, run):
    bench.folder.chmod(0o755)

    ended = run(
        'cd /; id -un; echo $HOME $USER; cat "$KIRIBI_PAYLOAD_FILE"; echo 5 > "$KIRIBI_RESULT_FILE"',
        user="nobody",
        cwd="/",
        work={"payload": '{"a":1}'},
    )

    assert ended.outcome == Exited(0), ended.stderr_tail
    assert bench.log(ended.attempt_id).decode().split("\n")[0] == "nobody"
    assert b'{"a":1}' in bench.log(ended.attempt_id)
    assert ended.result == "5\n"


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"command": ("no-such-program",)}, "not found on the job's PATH"),
        ({"command": ("./gone",)}, "does not exist"),
        ({"command": ("./plain",)}, "not executable"),
        ({"command": ("/",)}, "is a folder"),
        ({"command": ("./badhead",)}, "interpreter that does not exist"),
        ({"command": ("./headless",)}, "neither a program nor a script"),
        ({"command": ("true",), "cwd": "/no/such/folder"}, "does not exist"),
        ({"command": ("echo", "{payload.gone}")}, "has no value"),
        ({"command": ("true",), "user": "no-such-user"}, "no user"),
        ({"command": ("true",), "env": {"A": "{env.GONE}"}}, "has no value"),
        ({"command": ("true",), "env_file": ("gone.env",)}, "does not exist"),
        ({"command": ("true",), "stop_signal": "SIGNOPE"}, "no signal"),
        ({"command": ("true", "x" * 3_000_000)}, "too long"),
        ({"command": ("true", "a\0b")}, "null"),
    ],
)
def test_what_cannot_start_says_why_and_never_started(bench, run, rules, reason):
    (bench.folder / "plain").write_text("#!/bin/sh\n")
    for name, text in (("badhead", "#!/no/such/interpreter\n"), ("headless", "echo hello\n")):
        (bench.folder / name).write_text(text)
        (bench.folder / name).chmod(0o755)
    rules = {"name": "T", "kind": "command", "cwd": str(bench.folder), **rules}

    ended = run(rules["command"], **{key: value for key, value in rules.items() if key not in ("kind", "command")})

    assert isinstance(ended.outcome, NeverStarted)
    assert reason in ended.outcome.reason
    assert ended.started_at is None
    assert bench.all(Started, ended.attempt_id) == []


def test_a_value_stays_one_argument(bench, run):
    value = "a b; $(touch hit) 'q' \"\n*"

    ended = run(("printf", "%s|", "{payload.v}", "-x"), work={"payload": json.dumps({"v": value})})

    assert bench.log(ended.attempt_id).decode() == f"{value}|-x|"
    assert not (bench.folder / "hit").exists()


def test_an_adhoc_argv_is_literal(bench, run):
    ended = run(("echo", "{payload.x}"), adhoc=True)

    assert bench.log(ended.attempt_id) == b"{payload.x}\n"


def test_env_files_are_read_for_each_attempt(bench, run):
    file = bench.folder / "a.env"
    file.write_text("# note\nA='one two'\n\nB=x=y\n")
    first = run('echo "$A|$B"', env_file=("a.env", "?gone.env"))
    file.write_text("A=2\nB=\n")
    second = run('echo "$A|$B"', env_file=("a.env", "?gone.env"))

    assert bench.log(first.attempt_id) == b"one two|x=y\n"
    assert bench.log(second.attempt_id) == b"2|\n"


@pytest.mark.parametrize(
    ("payload", "rules", "stdin"),
    [
        ('{"a": 1,  "ü": 2}', {}, '{"a": 1,  "ü": 2}\n'),
        ('{"a":1}', {"stdin": "none"}, ""),
        (None, {}, ""),
        ('"' + "x" * 200_000 + '"', {}, '"' + "x" * 200_000 + '"\n'),
    ],
    ids=["json", "none", "no payload", "long"],
)
def test_stdin_is_the_payload_and_a_newline_or_nothing(bench, run, payload, rules, stdin):
    ended = run("cat", work={"payload": payload}, **rules)

    assert bench.log(ended.attempt_id).decode() == stdin


def test_the_payload_file_holds_the_payload_byte_for_byte_and_is_removed(bench, run):
    payload = '{"a": 1,  "b": "ü"}'

    ended = run('stat -c %a "$KIRIBI_PAYLOAD_FILE"; cat "$KIRIBI_PAYLOAD_FILE"', work={"payload": payload})

    mode, text = bench.log(ended.attempt_id).decode().split("\n", 1)
    assert (mode, text) == ("600", payload)
    assert not (bench.files / f"{ended.attempt_id}.payload").exists()


def test_without_payload_its_file_holds_null_and_its_variable_is_unset(bench, run):
    ended = run('cat "$KIRIBI_PAYLOAD_FILE"; echo "${KIRIBI_PAYLOAD-unset}"')

    assert bench.log(ended.attempt_id) == b"nullunset\n"


@pytest.mark.parametrize(
    ("command", "result"),
    [
        ('echo \'{"a":1}\' > "$KIRIBI_RESULT_FILE"', '{"a":1}\n'),
        ("true", None),
        ('mkfifo "$KIRIBI_RESULT_FILE"', None),
        ('ln -s /etc/passwd "$KIRIBI_RESULT_FILE"', None),
        ('printf "\\377" > "$KIRIBI_RESULT_FILE"', "\N{REPLACEMENT CHARACTER}"),
    ],
    ids=["json", "nothing", "pipe", "link", "no utf-8"],
)
def test_the_result_is_the_content_of_its_file(bench, run, command, result):
    ended = run(command)

    assert (ended.result, ended.result_note) == (result, None)
    assert [path.name for path in bench.files.iterdir() if path.name.startswith(f"{ended.attempt_id}.")] == []


def test_with_result_stdout_the_result_is_all_of_stdout_and_in_the_log_too(bench, run):
    ended = run("echo a; echo b >&2; echo c", result="stdout")

    assert ended.result == "a\nc\n"
    assert bench.log(ended.attempt_id, "out") == b"a\nc\n"


@pytest.mark.parametrize("command", ['printf 12345 > "$KIRIBI_RESULT_FILE"', "printf 12345"])
def test_a_result_that_is_too_large_is_dropped_with_a_note(run, command):
    ended = run(command, result="stdout" if command == "printf 12345" else "file", result_max=4)

    assert ended.outcome == Exited(0)
    assert ended.result is None
    assert "5 bytes" in ended.result_note


def test_progress_is_told_while_it_runs(bench, eventually):
    attempt = bench.start(
        'echo 0.1 begin > "$KIRIBI_PROGRESS_FILE"; echo "7/10 rows" >> "$KIRIBI_PROGRESS_FILE"; sleep 60'
    )

    told = eventually(lambda: bench.progress(attempt))

    assert told == ["7/10 rows"]


def test_stderr_is_remembered_by_its_last_lines(run):
    ended = run('i=0; while [ $i -lt 2000 ]; do echo "line $i" >&2; i=$((i+1)); done; echo last >&2; exit 1')

    lines = ended.stderr_tail.splitlines()
    assert lines[-1] == "last"
    assert lines[0].startswith("line ")
    assert len(ended.stderr_tail) <= 4096


def test_slots_bound_what_runs_and_order_is_kept(tmp_path, make_bench, eventually):
    folder = tmp_path / "two"
    folder.mkdir()
    bench = make_bench(folder, slots=1)
    attempts = [
        bench.start("echo $KIRIBI_ATTEMPT_ID >> order; test ! -e busy; touch busy; sleep 0.05; rm busy")
        for _ in range(6)
    ]

    ends = [eventually(lambda number=number: bench.ended(number)) for number in attempts]

    assert [ended.outcome for ended in ends] == [Exited(0)] * 6
    assert (folder / "order").read_text().split() == [str(number) for number in attempts]


def test_files_of_the_hands_are_their_owners_alone(bench, run):
    ended = run("echo x", work={"payload": "1"})

    files = [bench.logs / str(ended.attempt_id), *bench.files.iterdir()]
    assert [path for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_a_job_that_says_nothing_leaves_no_file(bench, run):
    run(("true",))
    before = set(bench.files.iterdir())

    ended = run(("true",))

    assert isinstance(ended, Ended)
    assert not (bench.logs / str(ended.attempt_id)).exists()
    assert set(bench.files.iterdir()) == before


@pytest.fixture
def starved(bench, run):
    """Hands that cannot open anything more."""
    run(("true",))
    count = len(list(Path(f"/proc/{bench.hands.pid}/fd").iterdir()))
    hard = resource.prlimit(bench.hands.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(bench.hands.pid, resource.RLIMIT_NOFILE, (count, hard))
    return lambda: resource.prlimit(bench.hands.pid, resource.RLIMIT_NOFILE, (256, hard))


def test_what_the_machine_lacks_for_long_gives_the_job_back_with_the_reason(bench, eventually, starved):
    attempt = bench.start(("true",))

    returned = eventually(lambda: bench.look() or bench.all(Returned, attempt))

    assert returned == [Returned(attempt, "Too many open files")]
    assert bench.ended(attempt) is None


def test_an_attempt_starts_once_there_is_room(bench, eventually, starved):
    attempt = bench.start(("true",))
    assert bench.ended(attempt) is None
    starved()

    ended = eventually(lambda: bench.ended(attempt))

    assert ended.outcome == Exited(0)


def test_hands_with_hardly_any_descriptors_left_still_find_and_end_what_is_to_go(bench, eventually):
    deaf = bench.start(
        """setsid sh -c 'trap "" TERM; echo $$ > deaf; while :; do sleep 0.05; done' & wait""", kill_after_ms=100
    )
    talkers = [
        bench.start("while [ ! -e go ]; do sleep 0.05; done; echo here; touch said; sleep 600") for _ in range(3)
    ]
    pid = int(eventually(lambda: (bench.folder / "deaf").exists() and (bench.folder / "deaf").read_text()))
    eventually(lambda: all(bench.started(talker) for talker in talkers))
    count = len(list(Path(f"/proc/{bench.hands.pid}/fd").iterdir()))
    hard = resource.prlimit(bench.hands.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(bench.hands.pid, resource.RLIMIT_NOFILE, (count + 2, hard))
    (bench.folder / "go").touch()
    eventually((bench.folder / "said").exists)
    bench.hands.stop(deaf, "cancel")

    ended = eventually(lambda: bench.ended(deaf))
    assert isinstance(ended.outcome, Cancelled)
    assert not Path(f"/proc/{pid}").exists()
