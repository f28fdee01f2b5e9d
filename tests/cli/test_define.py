"""init, check, def and config: what is written, what is found wrong, where values come from."""

import json
import stat
import subprocess

import pytest

JOBS = """\
[defaults]
timeout = "1h"
[queues]
mail = { max_attempts = 7 }
[jobs.Mailer]
description = "Send mail"
command = ["mail", "{payload.to}"]
queue = "mail"
params = { to = "string", size = { type = "integer", min = 3 }, note = { type = "string", default = "" } }
[jobs]
Quiet = { command = ["true"], hidden = true }
Plain = "true"
"""


# -- init


def test_init_writes_a_file_that_check_finds_nothing_wrong_with_and_a_private_database(kiribi):
    path = kiribi.ok("init")

    assert path == str(kiribi.folder / "jobs.toml")
    assert kiribi.json("check", "--strict")["problems"] == []
    assert stat.S_IMODE((kiribi.folder / ".kiribi").stat().st_mode) == 0o700
    assert stat.S_IMODE((kiribi.folder / ".kiribi/kiribi.db").stat().st_mode) == 0o600
    assert (kiribi.folder / ".kiribi/.gitignore").read_text() == "*\n"


def test_what_init_defines_runs(kiribi):
    kiribi.ok("init")

    job = kiribi.ok("enqueue", "Hello")
    kiribi.ok("worker", "--drain", "-s")

    assert kiribi.status(job) == "completed"


def test_init_leaves_a_jobs_toml_alone(kiribi):
    kiribi.define(JOBS)

    done = kiribi("init")

    assert done.returncode == 5
    assert (kiribi.folder / "jobs.toml").read_text() == JOBS


def test_init_minimal_has_no_comments_but_the_zone(kiribi):
    kiribi.ok("init", "--minimal")

    text = (kiribi.folder / "jobs.toml").read_text()
    assert len(text.splitlines()) < 6
    assert kiribi.json("check")["ok"]


def test_init_in_a_folder_below_another_project_makes_a_database_of_its_own(kiribi):
    kiribi.define(JOBS)
    below = kiribi.folder / "below"
    below.mkdir()

    kiribi.ok("init", cwd=below)

    assert (below / ".kiribi/kiribi.db").exists()
    assert not (kiribi.folder / ".kiribi").exists()


# -- check


def test_check_names_file_line_column_and_what_was_meant(kiribi):
    kiribi.define('[jobs.A]\ncommand = ["x"]\nretrys = 3\n')

    done = kiribi("check")

    assert done.returncode == 4
    assert "jobs.toml:3:1" in done.stdout
    assert 'Did you mean "max_attempts"?' in done.stdout


def test_check_reads_stdin(kiribi):
    done = kiribi("--json", "check", "-", stdin='[jobs.A]\nretrys = 3\ncommand = ["true"]\n')

    answer = json.loads(done.stdout)
    assert (done.returncode, answer["ok"]) == (4, False)
    assert [(each["code"], each["line"]) for each in answer["problems"]] == [("unknown_key", 2)]


def test_strict_makes_errors_of_warnings(kiribi):
    text = '[queues]\nmail = {}\n[jobs.A]\ncommand = ["true"]\nqueue = "nowhere"\n'

    plain, strict = kiribi("check", "-", stdin=text), kiribi("check", "-", "--strict", stdin=text)

    assert (plain.returncode, strict.returncode) == (0, 4)


def test_check_without_a_file_is_a_config_error(kiribi):
    assert kiribi("check").returncode == 4
    assert kiribi("check", "nowhere.toml").returncode == 4


@pytest.mark.parametrize("text", [b"\xff\xfe", b"[", b"jobs = 3", b"\x00", b"a = 1\na = 2\n"])
def test_nonsense_is_refused_in_one_sentence(kiribi, text):
    done = kiribi("check", "-", stdin=text)

    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    assert done.stderr + done.stdout


# -- def


def test_def_ls_lists_definitions_in_order_and_hides_the_hidden(kiribi):
    kiribi.define(JOBS)

    shown, hidden = kiribi.ok("def", "ls", "-q"), kiribi.ok("def", "ls", "--hidden", "-q")

    assert shown.split() == ["Mailer", "Plain"]
    assert sorted(hidden.split()) == ["Mailer", "Plain", "Quiet"]


def test_def_ls_tells_how_the_last_job_ended_and_the_share_that_did_well(kiribi):
    kiribi.define(JOBS)
    kiribi.ok("enqueue", "Plain")
    kiribi.ok("worker", "--drain", "-s")

    [plain] = kiribi.json("def", "ls", "Pl*")

    assert (plain["last"]["id"], plain["last"]["status"], plain["ok_7d"]) == (1, "completed", 1.0)


def test_def_show_tells_every_value_and_where_it_comes_from(kiribi):
    kiribi.define(JOBS)

    page = kiribi.json("def", "show", "Mailer")

    origin = {each["key"]: (each["value"], each["origin"]) for each in page["settings"]}
    assert origin["timeout"] == ("1h", "jobs.toml:2")
    assert origin["max_attempts"] == (7, "jobs.toml:4")
    assert origin["queue"] == ("mail", "jobs.toml:8")
    assert origin["kill_after"] == ("10s", "default")
    assert [param["name"] for param in page["params"]] == ["to", "size", "note"]


def test_the_example_line_of_def_show_can_be_typed(kiribi):
    kiribi.define(JOBS)
    example = kiribi.json("def", "show", "Mailer")["example"]

    typed = subprocess.run(
        ["sh", "-c", example], cwd=kiribi.folder, env=kiribi.environment, capture_output=True, text=True, timeout=60
    )

    assert (typed.returncode, typed.stderr) == (0, "")
    assert kiribi.json("show", typed.stdout.strip())["payload"] == {"to": "VALUE", "size": 3, "note": ""}


def test_def_show_of_an_unknown_name_suggests_the_nearest(kiribi):
    kiribi.define(JOBS)

    done = kiribi("def", "show", "Mialer")

    assert done.returncode == 3
    assert 'Did you mean "Mailer"?' in done.stderr


def test_def_add_appends_and_changes_nothing_before(kiribi):
    kiribi.define(JOBS)

    kiribi.ok("def", "add", "Greet", "--queue", "mail", "--timeout", "5s", "--", "echo", "-n", "{payload.name}")

    text = (kiribi.folder / "jobs.toml").read_text()
    assert text.startswith(JOBS)
    job = kiribi.ok("enqueue", "Greet", "name=you")
    kiribi.ok("worker", "--drain", "-s")
    assert kiribi.ok("logs", job) == "you"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("Mailer", "--", "true"), 5),
        (("Bad name", "--", "true"), 2),
        (("New",), 2),
        (("New", "--timeout", "soon", "--", "true"), 4),
        (("New", "--cron", "@daily", "--", "true"), 2),
    ],
)
def test_def_add_refuses_and_leaves_the_file_as_it_is(kiribi, arguments, code):
    kiribi.define(JOBS)

    done = kiribi("def", "add", *arguments)

    assert done.returncode == code
    assert (kiribi.folder / "jobs.toml").read_text() == JOBS


def test_def_schema_is_json_schema_of_the_file_and_of_a_payload(kiribi):
    kiribi.define(JOBS)

    whole, payload = json.loads(kiribi.ok("def", "schema")), json.loads(kiribi.ok("def", "schema", "Mailer"))

    assert "jobs" in whole["properties"]
    assert payload["required"] == ["to", "size"]


# -- config


def test_config_path_tells_which_files_and_why(kiribi):
    kiribi.define(JOBS)

    beside = kiribi.json("config", "path")
    named = kiribi.json("--db", "x.db", "config", "path", env={"KIRIBI_DB": "y.db"})
    asked = kiribi.json("config", "path", env={"KIRIBI_DB": "y.db"})

    assert beside["config"] == str(kiribi.folder / "jobs.toml")
    assert beside["database"] == str(kiribi.folder / ".kiribi/kiribi.db")
    assert (named["database"], named["database_origin"]) == (str(kiribi.folder / "x.db"), "--db")
    assert asked["database_origin"] == "KIRIBI_DB"


def test_config_show_origin_names_file_and_line_variable_or_default(kiribi):
    kiribi.define('timezone = "Europe/Berlin"\n[worker]\npoll = "2s"\n')

    rows = {row["key"]: row for row in kiribi.json("config", "show", "--origin", env={"KIRIBI_VERBOSE": "0"})}

    assert (rows["timezone"]["value"], rows["timezone"]["origin"]) == ("Europe/Berlin", "jobs.toml:1")
    assert (rows["worker.poll"]["value"], rows["worker.poll"]["origin"]) == ("2s", "jobs.toml:3")
    assert (rows["worker.lease"]["value"], rows["worker.lease"]["origin"]) == ("1m", "default")
    assert rows["KIRIBI_VERBOSE"]["origin"] == "environment"


def test_the_password_of_a_url_is_masked(kiribi):
    done = kiribi("config", "show", env={"KIRIBI_DB": "postgresql://me:secret@db/jobs"})

    assert "secret" not in done.stdout + done.stderr
