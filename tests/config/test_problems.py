"""Every problem code: a snippet, and the line and column it is reported at."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from kiribi_cli.config import discover
from kiribi_cli.config.problems import ErrorCode, Problem, WarningCode
from kiribi_cli.config.read import read
from kiribi_cli.errors import Code, KiribiError

X = 'command = ["true"]'

# (code, text, line:column of the one problem)
ERRORS = [
    ("bad_toml", "[jobs\n", "1:6"),
    ("bad_toml", 'a = 1\na = "', "2:6"),
    ("bad_version", "\nversion = 2", "2:11"),
    ("bad_version", "version = true", "1:11"),
    ("unknown_key", "wokers = 1", "1:1"),
    ("unknown_key", f"[jobs.A]\n{X}\nretrys = 3", "3:1"),
    ("unknown_key", "[worker]\n  slots = 3", "2:3"),
    ("unknown_key", 'worker = { poll = "1s", lese = "60s" }', "1:25"),
    ("unknown_key", '[defaults]\ncommand = ["a"]', "2:1"),
    ("unknown_key", f'[jobs.A]\n{X}\nretention = {{ events = "1d" }}', "3:15"),
    ("missing_key", f'[jobs.A]\n{X}\n[jobs.A.params]\nn = {{ help = "x" }}', "4:1"),
    ("kind_count", "[jobs.A]\nqueue = 'x'", "1:1"),
    ("kind_count", f"[jobs.A]\n{X}\nshell = 'true'", "1:1"),
    ("bad_kind_key", f"[jobs.A]\n{X}\nshell_bin = ['/bin/sh']", "3:1"),
    ("bad_kind_key", "[jobs.A]\nshell = 'true'\nreuse = 1", "3:1"),
    ("bad_kind_key", "[jobs.A]\npython = 'a:b'\nresult = 'stdout'", "3:1"),
    ("bad_kind_key", f"[jobs.A]\n{X}\nbackoff = {{ kind = 'fixed', max = '1h' }}", "3:29"),
    ("bad_type", "[jobs.A]\ncommand = 'true'", "2:11"),
    ("bad_type", "jobs = 3", "1:8"),
    ("bad_type", "[jobs]\nA = 3", "2:5"),
    ("bad_type", f"[jobs.A]\n{X}\nmax_attempts = true", "3:16"),
    ("bad_type", f"[jobs.A]\n{X}\nmax_attempts = 1.0", "3:16"),
    ("bad_type", "[jobs]\nA = ['make', 1]", "2:14"),
    ("bad_type", f"[jobs.A]\n{X}\nenv = {{ A = 1 }}", "3:13"),
    ("bad_name", "[jobs.'1a']\ncommand = ['true']", "1:1"),
    ("bad_name", "[queues]\n'a b' = {}", "2:1"),
    ("bad_name", f"[jobs.A]\n{X}\nqueue = 'a b'", "3:9"),
    ("bad_name", "[jobs.A]\npython = 'a.b'", "2:10"),
    ("bad_name", f"[jobs.A]\n{X}\ntags = ['ok', 'a b']", "3:15"),
    ("bad_name", f"[jobs.A]\n{X}\nenv = {{ 'A-B' = '1' }}", "3:9"),
    ("bad_name", f"[jobs.A]\n{X}\nuser = ''", "3:8"),
    ("bad_duration", f"[jobs.A]\n{X}\ntimeout = 30", "3:11"),
    ("bad_duration", f"[jobs.A]\n{X}\ntimeout = '-1s'", "3:11"),
    ("bad_duration", f"[jobs.A]\n{X}\ntimeout = '30'", "3:11"),
    ("bad_duration", f"[jobs.A]\n{X}\ntimeout = '0s'", "3:11"),
    ("bad_duration", f"[jobs.A]\n{X}\nbackoff = ['1s', 'x']", "3:18"),
    ("bad_duration", "[health]\nexpect = { A = '26' }", "2:16"),
    ("bad_size", f"[jobs.A]\n{X}\nlog_max = 1000", "3:11"),
    ("bad_size", f"[jobs.A]\n{X}\nlimits = {{ memory = '2 GBs' }}", "3:21"),
    ("bad_range", f"[jobs.A]\n{X}\npriority = 1001", "3:12"),
    ("bad_range", "[jobs]\nA = []", "2:5"),
    ("bad_range", "worker = { poll = '2m' }", "1:19"),
    ("bad_range", "worker = { lease = '5s' }", "1:20"),
    ("bad_range", "web = { port = 65536 }", "1:16"),
    ("bad_range", f"[jobs.A]\n{X}\nbackoff = {{ jitter = 1.1 }}", "3:22"),
    ("bad_range", f"[jobs.A]\n{X}\nbackoff = []", "3:11"),
    ("bad_range", f"[jobs.A]\n{X}\npayload_max = '17MiB'", "3:15"),
    ("bad_range", f"[jobs.A]\n{X}\numask = '888'", "3:9"),
    ("bad_range", f"[jobs.A]\n{X}\ndescription = 'a\\nb'".replace("'a\\nb'", '"a\\nb"'), "3:15"),
    ("bad_range", '[jobs]\nA = ["echo", "a\\u0000b"]', "2:14"),
    ("bad_range", "[health]\nfailure_rate = { warning = 2 }", "2:28"),
    ("bad_choice", "durability = 'fulll'", "1:14"),
    ("bad_choice", "db = 'mysql://host/x'", "1:6"),
    ("bad_choice", f"[jobs.A]\n{X}\non_worker_death = 'die'", "3:19"),
    ("bad_choice", f"[jobs.A]\n{X}\nunique = {{ while = 'always' }}", "3:20"),
    ("bad_choice", "include = ['a/**/b.toml']", "1:12"),
    ("bad_codes", f"[jobs.A]\n{X}\nfail_codes = [1, 256]", "3:18"),
    ("bad_codes", f"[jobs.A]\n{X}\nfail_codes = [3]\nretry_codes = [3]", "3:14"),
    ("bad_codes", f"[jobs.A]\n{X}\nfail_codes = [0]", "3:14"),
    ("bad_signal", f"[jobs.A]\n{X}\nstop_signal = 'SIGTRM'", "3:15"),
    ("bad_timezone", "timezone = 'Europe/Berln'", "1:12"),
    ("bad_timezone", "timezone = '../../etc/passwd'", "1:12"),
    ("bad_placeholder", "[jobs]\nA = ['{payload.x}']", "2:6"),
    ("bad_placeholder", "[jobs]\nA = ['echo', '{env.HOME}']", "2:14"),
    ("bad_placeholder", "[jobs]\nA = ['echo', 'x{payload.x...}']", "2:14"),
    ("bad_placeholder", "[jobs]\nA = ['echo', '{job.nme}']", "2:14"),
    ("bad_placeholder", f"[jobs.A]\n{X}\nunique = '{{job.id}}'", "3:10"),
    ("bad_placeholder", f"[jobs.A]\n{X}\nunique = {{ key = '{{env.X}}' }}", "3:18"),
    ("bad_placeholder", f"[jobs.A]\n{X}\nenv = {{ A = '{{payload.a}}' }}", "3:13"),
    ("bad_placeholder", "[defaults]\nenv = { A = '{payload.a}' }", "2:13"),
    ("bad_placeholder", "[jobs.A]\ncommand = ['echo', '{payload.usr}']\nparams = { user = 'string' }", "2:20"),
    ("placeholder_in_shell", "[jobs.A]\nshell = '''\nrsync {payload.path}'''", "2:9"),
    ("placeholder_in_shell", "[jobs]\nA = 'rsync {payload.path}'", "2:5"),
    ("bad_params", f"[jobs.A]\n{X}\nparams = {{ 'a b' = 'string' }}", "3:12"),
    ("bad_params", f"[jobs.A]\n{X}\nparams = {{ a-b = 'string', a_b = 'string' }}", "3:28"),
    ("bad_params", f"[jobs.A]\n{X}\nparams = {{ n = {{ type = 'integer', default = 'x' }} }}", "3:46"),
    ("bad_params", f"[jobs.A]\n{X}\nparams = {{ n = {{ type = 'string', pattern = '(' }} }}", "3:45"),
    ("bad_params", f"[jobs.A]\n{X}\nparams = {{ n = {{ type = 'integer', pattern = 'x' }} }}", "3:46"),
    ("bad_params", f"[jobs.A]\n{X}\nparams = {{ n = {{ type = 'integer', min = 2, max = 1 }} }}", "3:42"),
    ("bad_params", f"[jobs.A]\n{X}\nparams = {{ n = {{ type = 'number', default = nan }} }}", "3:45"),
    ("bad_params", f"[jobs.A]\n{X}\nparams = {{ n = {{ type = 'string', choices = ['a', 1] }} }}", "3:51"),
    ("bad_choice", f"[jobs.A]\n{X}\nparams = {{ n = 'int' }}", "3:16"),
    ("bad_schema", f"[jobs.A]\n{X}\nparams = {{}}\npayload_schema = {{}}", "4:18"),
    ("bad_schema", f"[jobs.A]\n{X}\npayload_schema = {{ type = 'strin' }}", "3:18"),
    ("missing_file", f"[jobs.A]\n{X}\npayload_schema = 'nowhere.json'", "3:18"),
    ("missing_file", "include = ['nowhere.toml']", "1:12"),
    ("missing_file", f"[jobs.A]\n{X}\nenv_file = ['?may.env', 'nowhere.env']", "3:25"),
    ("missing_file", "[jobs.A]\npython = 'a:b'\ninterpreter = '.venv/bin/nowhere'", "3:15"),
    ("missing_extra", "db = 'postgresql://host/name'", "1:6"),
    ("unsupported", "[schedules.n]\njob = 'A'", "1:1"),
    ("unsupported", "[on]\nfailure = { command = ['x'] }", "1:1"),
    ("unsupported", "[jobs.A]\nhttp = 'https://example.com'", "2:1"),
    ("unsupported", "[jobs.A.steps]\nb = { job = 'B' }", "1:1"),
    ("unsupported", f"[jobs.A]\n{X}\nmutex = 'a'", "3:1"),
    ("unsupported", f"[jobs.A]\n{X}\nrate = '1/s'", "3:1"),
    ("unsupported", f"[jobs.A]\n{X}\n[jobs.A.on]\nstart = []", "3:1"),
    ("unsupported", "[queues.mail]\nrate = '1/s'", "2:1"),
    ("unsupported", "[defaults]\nrate = '1/s'", "2:1"),
    ("unsupported", f"[jobs.A]\n{X}\nunique = {{ on_conflict = 'replace' }}", "3:12"),
]
WARNINGS = [
    ("not_on_path", "[jobs]\nA = ['no-such-program-here']", "2:6"),
    ("not_on_path", "[jobs]\nA = ['./no-such-program-here']", "2:6"),
    ("looks_like_placeholder", "[jobs]\nA = ['echo', '{ payload.x }']", "2:14"),
    ("looks_like_placeholder", "[jobs]\nA = ['echo', '{payload.x|upper}']", "2:14"),
    ("looks_like_placeholder", "[jobs.A]\ncommand = ['true']\ndescription = 'for {payload.x}'", "3:15"),
    ("redacted_in_argv", "[jobs]\nA = ['echo', '{payload.api_token}']", "2:14"),
    ("redacted_in_argv", "redact = ['payload.card.*']\n[jobs]\nA = ['echo', '{payload.card.no}']", "3:14"),
    ("undeclared_queue", "[queues.mail]\n[jobs.A]\ncommand = ['true']\nqueue = 'mial'", "4:9"),
    ("missing_file", "[jobs.A]\ncommand = ['true']\ncwd = 'nowhere'", "3:7"),
]


@pytest.mark.parametrize(("code", "text", "at"), ERRORS)
def test_an_error_names_its_code_line_and_column(checking: Any, code: str, text: str, at: str) -> None:
    found = checking(text)

    assert [(p.severity, p.code, f"{p.line}:{p.column}") for p in found] == [("error", code, at)]


@pytest.mark.parametrize(("code", "text", "at"), WARNINGS)
def test_a_warning_names_its_code_line_and_column_and_stops_nobody(
    checking: Any, reading: Any, code: str, text: str, at: str
) -> None:
    found = checking(text)

    assert [(p.severity, p.code, f"{p.line}:{p.column}") for p in found] == [("warning", code, at)]
    assert reading(text).definitions["A"].name == "A"
    assert {p.severity for p in checking(text, strict=True)} == {"error"}


HERE_ONLY = ("missing_extra", "network_disk")


@pytest.mark.parametrize(("code", "text", "at"), ERRORS)
def test_what_is_wrong_in_the_file_stops_everybody(reading: Any, code: str, text: str, at: str) -> None:
    if code in HERE_ONLY or "env_file" in text or "interpreter" in text or "'strin'" in text:
        reading(text)  # wrong on this machine only, or found out when the payload is checked

        return
    with pytest.raises(KiribiError) as refused:
        reading(text)

    assert refused.value.code is Code.CONFIG
    assert any(f"[{code}]" in line for line in refused.value.details)


@pytest.mark.parametrize(("line", "key"), [("user = 'backup'", "user"), ("group = 10", "group"), ("nice = -5", "nice")])
def test_what_needs_root_is_a_warning_for_others(
    checking: Any, monkeypatch: pytest.MonkeyPatch, line: str, key: str
) -> None:
    text = f"[jobs.A]\n{X}\n{line}"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = checking(text)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    as_root = checking(text)

    assert [(p.severity, p.code, p.path) for p in found] == [("warning", "not_root", ("jobs", "A", key))]
    assert as_root == []


def test_option_injection_is_looked_for_only_with_strict(checking: Any) -> None:
    text = "[jobs]\nA = ['cat', '{payload.file}']\nB = ['cat', '--', '{payload.file}']\nC = ['cat', '-n{payload.x}']"

    assert checking(text) == []
    assert [(p.code, p.dotted) for p in checking(text, strict=True)] == [("option_injection", "jobs.A.command[1]")]


def test_numbers_are_no_option_injection(checking: Any) -> None:
    text = "[jobs.A]\ncommand = ['cat', '{payload.n}']\nparams = { n = 'integer' }"

    assert checking(text, strict=True) == []


def test_a_name_defined_in_two_files_is_reported_in_the_second(jobs_toml: Path, checking: Any) -> None:
    (jobs_toml.parent / "more.toml").write_text("\n[jobs]\nA = ['true']\n")
    found = checking("include = ['more.toml']\n[jobs]\nA = ['true']")

    assert [(p.code, p.file, p.line, p.column) for p in found] == [("duplicate_name", "more.toml", 3, 1)]


def test_an_included_file_may_hold_only_jobs_queues_and_schedules(jobs_toml: Path, checking: Any) -> None:
    (jobs_toml.parent / "more.toml").write_text("[jobs]\nA = ['true']\n[defaults]\nmax_attempts = 1\n")
    found = checking("include = ['*.toml']")

    assert [(p.code, p.file, p.line) for p in found] == [("unknown_key", "more.toml", 3)]


def test_a_password_in_a_url_is_a_warning_and_never_shown(checking: Any) -> None:
    found = checking("db = 'postgresql://me:hunter2@host/name'")

    assert sorted(p.code for p in found) == ["missing_extra", "password_in_url"]
    assert "hunter2" not in "".join(str(p) for p in found)


def test_a_network_disk_is_an_error(checking: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discover, "network_disk", lambda path: "nfs4")
    found = checking("db = 'kiribi.db'")

    assert [(p.code, p.line, p.column) for p in found] == [("network_disk", 1, 6)]


def test_a_schema_without_the_extra_is_an_error_of_this_machine_only(
    checking: Any, reading: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    text = f"[jobs.A]\n{X}\npayload_schema = {{ type = 'object' }}"

    assert [p.code for p in checking(text)] == ["missing_extra"]
    assert reading(text).definitions["A"].payload_schema == {"type": "object"}


def test_all_problems_are_told_at_once_in_the_order_of_the_file(checking: Any) -> None:
    found = checking("[jobs.A]\nshell = 'echo {payload.x}'\nretrys = 1\ntimeout = 5\n[jobs.B]\ncommand = []\n")

    assert [p.code for p in found] == ["placeholder_in_shell", "unknown_key", "bad_duration", "bad_range"]


def test_a_problem_reads_as_the_reference_says(checking: Any) -> None:
    found = checking(f"[jobs.Mailer]\n{X}\nretrys = 3")

    assert str(found[0]) == (
        'jobs.toml:3:1  error    jobs.Mailer: unknown key "retrys". Did you mean "max_attempts"?  [unknown_key]'
    )
    assert found[0].as_json() == {
        "severity": "error", "code": "unknown_key", "path": "jobs.Mailer.retrys", "line": 3, "column": 1,
        "message": 'unknown key "retrys"', "suggestion": "max_attempts", "file": "jobs.toml",
    }  # fmt: skip


def test_a_placeholder_in_shell_names_the_variable(checking: Any) -> None:
    [found] = checking("[jobs.Sync]\nshell = 'rsync {payload.a-b} /x'")

    assert '"$KIRIBI_ARG_A_B"' in found.message
    assert found.suggestion == "$KIRIBI_ARG_A_B"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("retries", "max_attempts"), ("retry", "max_attempts"), ("cron", "schedules"), ("cmd", "command"),
        ("exec", "command"), ("workers", "concurrency"), ("dir", "cwd"), ("enviroment", "env"), ("time_out", "timeout"),
        ("Queue", "queue"), ("kill-after", "kill_after"),
    ],
)  # fmt: skip
def test_a_mistyped_key_gets_the_one_that_was_meant(checking: Any, typed: str, meant: str) -> None:
    found = checking(f"[jobs.A]\n{X}\n{typed} = 1")

    assert [p.suggestion for p in found if p.code == "unknown_key"] == [meant]


def test_a_misspelt_kind_is_one_problem(checking: Any) -> None:
    found = checking("[jobs.A]\ncmd = ['true']")

    assert [(p.code, p.suggestion) for p in found] == [("unknown_key", "command")]


def test_every_code_has_a_test() -> None:
    tested = {code for code, _, _ in ERRORS + WARNINGS} | {
        "not_root", "option_injection", "duplicate_name", "password_in_url", "network_disk",
    }  # fmt: skip

    # bad_rate comes with `rate`.
    assert {*get_args(ErrorCode), *get_args(WarningCode)} - {"bad_rate"} == tested


def test_what_comes_later_is_refused_by_name(reading: Callable[[str], Any]) -> None:
    with pytest.raises(KiribiError) as refused:
        reading("[schedules.nightly]\njob = 'A'")

    assert "[schedules.nightly] is not supported by this version of kiribi (0.1); it comes with a later one" in str(
        refused.value.details
    )


def test_a_missing_file_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(KiribiError) as refused:
        read(tmp_path / "jobs.toml")

    assert refused.value.code is Code.CONFIG
    assert str(tmp_path / "jobs.toml") in refused.value.message


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"\xef\xbb\xbf[jobs]", b"\n\n\xff", b"a=" + b"[" * 5000, b"a=" + b"1" * 5000]
)
def test_bytes_that_are_no_toml_are_told_and_no_traceback(jobs_toml: Path, content: bytes) -> None:
    jobs_toml.write_bytes(content)

    with pytest.raises(KiribiError, match="is not valid") as refused:
        read(jobs_toml)
    assert all("[bad_toml]" in line for line in refused.value.details)


def test_a_problem_in_a_short_form_points_into_it() -> None:
    problem = Problem("error", "bad_type", ("jobs", "A", "command", 1), "x")

    assert problem.dotted == "jobs.A.command[1]"
