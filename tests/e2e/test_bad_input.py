"""What bad input gets: the documented exit code, one clear sentence with a hint, and nothing written."""

import json
import os

import pytest

DEFINITIONS = """
[queues]
mail = { concurrency = 2 }
[jobs.Any]
command = ["true"]
[jobs.Greet]
command = ["echo", "--", "{payload.name}"]
params = { name = "string", times = { type = "integer", min = 1, default = 1 } }
[jobs.Bare]
command = ["echo", "--", "{payload.who}"]
[jobs.Checked]
command = ["true"]
payload_schema = { type = "object", required = ["user"], properties = { user = { type = "integer" } } }
"""
DEEP = "[" * 65 + "]" * 65
BIG = json.dumps("x" * 1_048_577)

PAYLOADS = [
    pytest.param("", id="empty"),
    pytest.param("{", id="cut off"),
    pytest.param("{'a': 1}", id="single quotes"),
    pytest.param("[1,]", id="trailing comma"),
    pytest.param("1 2", id="two documents"),
    pytest.param("NaN", id="NaN"),
    pytest.param('{"a": -Infinity}', id="Infinity"),
    pytest.param('{"a": 1, "a": 2}', id="duplicate key"),
    pytest.param(r'{"a": "\ud800"}', id="lone surrogate"),
    pytest.param(r'{"a": "\u0000"}', id="NUL"),
    pytest.param('{"a": 9223372036854775808}', id="integer of 2^63"),
    pytest.param(DEEP, id="nesting of 65"),
    pytest.param(BIG, id="too big"),
    pytest.param(b"\xff\xfe", id="not UTF-8"),
]

# arguments, exit code, words that the sentence or its details must have
REFUSED = [
    (["enqueue", "Greet"], 6, ["name"]),
    (["enqueue", "Greet", "name:=5"], 6, ["name", "string"]),
    (["enqueue", "Greet", "name=x", "colour=red"], 6, ["colour"]),
    (["enqueue", "Greet", "name=x", "times=many"], 6, ["times", "integer"]),
    (["enqueue", "Greet", "name=x", "times=0"], 6, ["times"]),
    (["enqueue", "Greet", "-p", "[1]"], 6, ["object"]),
    (["enqueue", "Greet", "-p", "[1]", "name=x"], 6, ["object"]),
    (["enqueue", "Bare"], 6, ["payload.who"]),
    (["enqueue", "Checked", "-p", '{"user": "x"}'], 6, ["user", "integer"]),
    (["enqueue", "Any", "a:={"], 6, ["a"]),
    (["enqueue", "Any", "x-y=1", "x_y=2"], 6, ["KIRIBI_ARG_X_Y"]),
    (["enqueue", "Anny"], 3, ["Anny", "Any"]),
    (["enqueue", "Any", "--queue", "mial"], 3, ["mial", "mail"]),
    (["enqueue", "Any", "--in", "banana"], 2, ["banana"]),
    (["enqueue", "Any", "--in=-5s"], 2, ["-5s"]),
    (["enqueue", "Any", "--at", "25:99"], 2, ["25:99"]),
    (["enqueue", "Any", "--timeout", "soon"], 2, ["soon"]),
    (["enqueue", "Any", "--priority", "high"], 2, ["high"]),
    (["enqueue", "Any", "--max-attempts", "0"], 2, ["0"]),
    (["enqueue", "Any", "--backoff", "often"], 2, ["often"]),
    (["enqueue", "Any", "--unique", "k", "--on-conflict", "replace"], 2, ["replace"]),
    (["enqueue", "Any", "--unique", "k", "--on-conflict", "explode"], 2, ["explode"]),
    (["enqueue", "Any", "--mutex", "k"], 2, ["mutex"]),
    (["enqueue", "Any", "--after", "1"], 2, ["after"]),
    (["enqueue", "Any", "--frobnicate"], 2, ["frobnicate"]),
    (["enqueue", "Any", "stray"], 2, ["stray"]),
    (["enqueue"], 2, ["JOB"]),
    (["enqueue", "Any", "--require-worker"], 8, ["worker"]),
    (["enqueue", "--batch", "no-such-file"], 2, ["no-such-file"]),
    (["enqueue", "Any", "-p", "@no-such-file"], 2, ["no-such-file"]),
    (["frobnicate"], 2, ["frobnicate"]),
    (["--frobnicate"], 2, ["frobnicate"]),
    (["show", "99"], 3, ["99"]),
    (["show", "banana"], 2, ["banana"]),
    (["show", "0"], 2, ["0"]),
    (["show", "99999999999999999999"], 2, ["99999999999999999999"]),
    (["show", "@last:Nope"], 3, ["Nope"]),
    (["show", "@-9"], 3, ["@-9"]),
    (["logs", "99"], 3, ["99"]),
    (["logs", "Nope"], 3, ["Nope"]),
    (["wait", "99"], 3, ["99"]),
    (["wait"], 2, ["wait"]),
    (["why", "99"], 3, ["99"]),
    (["rm", "1"], 9, ["--yes"]),
    (["cancel", "--status", "pending"], 9, ["--yes"]),
    (["duplicate", "99"], 3, ["99"]),
    (["edit", "99", "--priority", "1"], 3, ["99"]),
    (["edit", "1", "--queue", "mial"], 3, ["mial"]),
    (["ls", "--job", "Nope"], 3, ["Nope"]),
    (["ls", "--queue", "nope"], 3, ["nope"]),
    (["ls", "--status", "broken"], 2, ["broken"]),
    (["ls", "--fields", "id,colour"], 2, ["colour"]),
    (["ls", "--sort", "colour"], 2, ["colour"]),
    (["ls", "--since", "banana"], 2, ["banana"]),
    (["ls", "--where", "no-equals-sign"], 2, ["no-equals-sign"]),
    (["def", "show", "Anny"], 3, ["Anny", "Any"]),
    (["help", "nonsense"], 3, ["nonsense"]),
    (["stop"], 8, ["worker"]),
    (["worker", "-j", "0"], 2, ["0"]),
    (["-c", "nowhere.toml", "enqueue", "Any"], 4, ["nowhere.toml"]),
    (["-C", "nowhere", "ls"], 2, ["nowhere"]),
    (["--db", "postgresql://localhost/x", "ls"], 2, ["postgres"]),
    (["--db", "mysql://localhost/x", "ls"], 2, ["mysql"]),
    (["--db", "nowhere.db", "ls"], 7, ["nowhere.db"]),
]  # fmt: skip


@pytest.fixture
def one_job(kiribi):
    """A database with one pending job."""
    kiribi.define(DEFINITIONS)
    kiribi.ok("enqueue", "Any")
    return kiribi


def refuses(kiribi, arguments, code, words, stdin=b""):
    """Run in both forms; the refusal is one sentence for people and one object for programs, and nothing is written."""
    plain, as_json = kiribi(*arguments, stdin=stdin), kiribi("--json", *arguments, stdin=stdin)

    assert plain.returncode == code, plain.stderr
    assert as_json.returncode == code, as_json.stderr
    lines = plain.stderr.splitlines()
    assert lines[0].startswith("Error: "), plain.stderr
    assert sum(line.startswith("Error: ") for line in lines) == 1
    assert sum(line.startswith("Hint: ") for line in lines) <= 1
    assert "Traceback" not in plain.stderr + as_json.stderr
    assert [word for word in words if word not in plain.stderr] == [], plain.stderr
    error = json.loads(as_json.stderr)["error"]
    assert list(error) == ["code", "exit_code", "message", "hint", "details"]
    assert error["exit_code"] == code
    assert f"Error: {error['message']}" == lines[0]
    return plain.stderr


def unchanged(kiribi):
    jobs = kiribi.json("ls", "--fields", "id,status,queue")
    assert jobs == [{"id": 1, "status": "pending", "queue": "default"}]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_that_is_not_strict_json_is_refused(one_job, payload):
    said = refuses(one_job, ["enqueue", "Any", "-p", "-"], 6, [], stdin=payload)

    assert "Hint: " in said
    unchanged(one_job)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    REFUSED,
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else None,
)
def test_it_is_refused_with_its_exit_code_and_nothing_is_written(one_job, arguments, code, words):
    refuses(one_job, arguments, code, words)

    unchanged(one_job)
    assert not (one_job.folder / "nowhere.db").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "slug"),
    [
        (["cancel", "99"], 3, "not_found"),
        (["retry", "99"], 3, "not_found"),
        (["rm", "99", "-y"], 3, "not_found"),
        (["retry", "1"], 5, "conflict"),
        (["rm", "1", "-y"], 5, "conflict"),
    ],
)
def test_an_act_says_which_ids_it_refused_and_why(one_job, arguments, code, slug):
    plain, as_json = one_job(*arguments), one_job("--json", *arguments)
    action = json.loads(as_json.stdout)

    assert (plain.returncode, as_json.returncode) == (code, code)
    assert plain.stderr.startswith("Error: ")
    assert (action["changed"], [refused["code"] for refused in action["refused"]]) == (0, [slug])
    unchanged(one_job)


def test_run_refuses_with_125_because_other_codes_are_those_of_the_job(one_job):
    done = one_job("run", "Anny")

    assert done.returncode == 125
    assert done.stderr.startswith('Error: no job definition "Anny"')
    unchanged(one_job)


def test_a_taken_unique_key_is_a_conflict_that_names_the_job(one_job):
    one_job.ok("edit", "1", "--priority", "0")
    first = one_job.ok("enqueue", "Any", "--unique", "k")

    refuses(one_job, ["enqueue", "Any", "--unique", "k", "--on-conflict", "error"], 5, [first])


@pytest.mark.parametrize(
    "line",
    [
        '{"name": 5}', "{", '{"name": "x", "name": "y"}', '{"nam": "x"}', "null", '{"name": "x"} {"name": "y"}',
    ],
)  # fmt: skip
def test_a_bad_line_of_a_batch_is_named_and_its_transaction_is_not_stored(one_job, line):
    good = '{"name": "x"}'
    batch = f"{good}\n{good}\n{good}\n{line}\n{good}\n"
    done = one_job("enqueue", "Greet", "--batch", "-", "--batch-size", "2", stdin=batch)

    assert done.returncode == 6, done.stderr
    assert "line 4: " in done.stderr
    assert "--from-line 3" in done.stderr
    assert done.stdout.split() == ["2", "3"]
    assert one_job.ok("ls", "--count") == "3"


def test_a_batch_that_skips_bad_lines_stores_the_others_and_exits_1(one_job):
    done = one_job("enqueue", "Greet", "--batch", "-", "--on-error", "skip", stdin='{"name": "a"}\n{\n{"name": "b"}\n')

    assert (done.returncode, done.stdout.split()) == (1, ["2", "3"])
    assert "line 2: " in done.stderr


# text of jobs.toml, words that the report must have
BROKEN = [
    ("[jobs.A\n", ["jobs.toml:1"]),
    ("[jobs.A]\n", ["kind_count"]),
    ('[jobs.A]\ncommand = ["x"]\nretrys = 3\n', ["jobs.toml:3:1", "jobs.A", "retrys", "max_attempts"]),
    ('[jobs.A]\ncommand = ["x"]\ntimeout = 5\n', ["jobs.toml:3", "timeout", "bad_duration"]),
    ('[jobs.A]\ncommand = ["x", "{payload.}"]\ntimeout = "5 parsecs"\n', ["5 parsecs"]),
    ('[jobs."1 a"]\ncommand = ["x"]\n', ["bad_name"]),
    ('[jobs.A]\nshell = "cat {payload.path}"\n', ["$KIRIBI_ARG_PATH"]),
    ('[jobs.A]\ncommand = ["x"]\n[jobs.A]\ncommand = ["y"]\n', ["jobs.toml:3"]),
    ('[jobs.A]\ncommand = ["x"]\n[schedules.s]\njob = "A"\ncron = "* * * * *"\n', ["schedules", "later"]),
    ('[jobs.A]\ncommand = ["x"]\nmutex = "m"\n', ["mutex", "later"]),
    ('[jobs.A]\ncommand = ["x"]\nrate = "1/s"\n', ["rate", "later"]),
    ('[jobs.A]\ncommand = ["x"]\non = { start = { command = ["y"] } }\n', ["on", "later"]),
    ('[jobs.A]\nhttp = "http://localhost/"\n', ["http", "later"]),
    ('[jobs.B]\ncommand = ["x"]\n[jobs.A.steps]\nb = { job = "B" }\n', ["steps", "later"]),
    ('[jobs.A]\ncommand = ["x"]\nunique = { on_conflict = "replace" }\n', ["replace", "later"]),
    ('[queues]\nq = { rate = "1/s" }\n', ["rate", "later"]),
    ("version = 2\n", ["bad_version"]),
    ("\x00\x01", ["jobs.toml"]),
    (b"\xff\xfe[jobs]", ["jobs.toml"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"), BROKEN, ids=lambda value: None if isinstance(value, list) else repr(value)[:40]
)
def test_a_broken_jobs_toml_is_refused_by_enqueue_and_check_with_every_problem_named(kiribi, text, words):
    (kiribi.folder / "jobs.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    refuses(kiribi, ["enqueue", "A"], 4, words)
    check = kiribi("check")

    assert check.returncode == 4
    assert [word for word in words if word not in check.stdout] == []
    assert not (kiribi.folder / ".kiribi" / "kiribi.db").exists()


def test_all_problems_are_told_at_once(kiribi):
    kiribi.define('[jobs.A]\nretrys = 1\ntimeout = 5\n[jobs.B]\ncommand = "x"\n')
    report = kiribi.json("check") if kiribi("check").returncode == 0 else json.loads(kiribi("--json", "check").stdout)

    assert not report["ok"]
    assert {problem["code"] for problem in report["problems"]} >= {
        "unknown_key",
        "bad_duration",
        "kind_count",
        "bad_type",
    }


def test_a_jobs_toml_in_a_folder_that_everyone_can_write_is_refused_until_it_is_named(kiribi):
    kiribi.define(DEFINITIONS)
    kiribi.folder.chmod(0o777)
    refuses(kiribi, ["enqueue", "Any"], 9, [str(kiribi.folder), "-c "])

    assert kiribi.ok("-c", "jobs.toml", "enqueue", "Any") == "1"


def test_a_jobs_toml_that_everyone_can_write_is_refused(kiribi):
    kiribi.define(DEFINITIONS).chmod(0o666)

    refuses(kiribi, ["enqueue", "Any"], 9, ["jobs.toml"])


@pytest.mark.needs("root")
def test_a_jobs_toml_of_somebody_else_is_refused(kiribi):
    path = kiribi.define(DEFINITIONS)
    os.chown(path, 12345, 12345)

    refuses(kiribi, ["enqueue", "Any"], 9, ["jobs.toml"])


def test_without_a_jobs_toml_an_ad_hoc_command_works_and_a_definition_is_asked_for(kiribi):
    refuses(kiribi, ["enqueue", "Any"], 4, ["jobs.toml"])

    assert kiribi.ok("enqueue", "--", "true") == "1"
