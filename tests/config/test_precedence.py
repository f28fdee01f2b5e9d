"""Which value wins: built-in, [defaults], [queues.X], [jobs.X]; and what ad-hoc jobs take."""

from pathlib import Path
from typing import Any

import pytest

from kiribi_cli.config.model import Config
from kiribi_cli.core.definition import Definition, Exponential, Fixed, Limits, Listed, Unique


def test_without_any_setting_the_built_in_values_are_in_effect(reading: Any, jobs_toml: Path) -> None:
    definition = reading("[jobs]\nA = ['true']").definitions["A"]

    plain = Definition("A", "command", command=("true",), cwd=str(jobs_toml.parent), redact=Config().redact)
    assert definition == plain


def test_later_layers_win(reading: Any) -> None:
    config = reading("""
        [defaults]
        max_attempts = 2
        timeout = "2s"
        priority = 2
        [queues.mail]
        timeout = "3s"
        priority = 3
        [jobs.A]
        command = ["true"]
        queue = "mail"
        priority = 4
        [jobs.B]
        command = ["true"]
    """)

    a, b = config.definitions["A"], config.definitions["B"]
    assert (a.max_attempts, a.timeout_ms, a.priority) == (2, 3000, 4)
    assert (b.max_attempts, b.timeout_ms, b.priority) == (2, 2000, 2)


def test_the_queue_of_defaults_settles_which_queue_defaults_apply(reading: Any) -> None:
    config = reading("[defaults]\nqueue = 'mail'\n[queues.mail]\npriority = 7\n[jobs]\nA = ['true']")

    assert (config.definitions["A"].queue, config.definitions["A"].priority) == ("mail", 7)


def test_another_queue_brings_its_own_defaults(reading: Any) -> None:
    config = reading("""
        [queues.mail]
        priority = 7
        timeout = "1m"
        [queues.slow]
        timeout = "9m"
        [jobs.A]
        command = ["true"]
        queue = "mail"
        priority = 1
    """)
    moved = config.effective(config.definitions["A"], "slow")

    assert (moved.queue, moved.timeout_ms, moved.priority) == ("slow", 540_000, 1)
    assert config.effective(config.definitions["A"], "nowhere").timeout_ms is None


def test_env_limits_and_retention_merge_key_by_key(reading: Any) -> None:
    definition = reading("""
        retention = { failed = "1d", keep_last = 5 }
        [defaults]
        env = { A = "1", B = "1" }
        limits = { memory = "1GB", open_files = 10 }
        retention = { completed = "forever" }
        [jobs.X]
        command = ["true"]
        env = { B = "2" }
        limits = { open_files = 20 }
        retention = { keep_last = 9 }
    """).definitions["X"]

    assert definition.env == {"A": "1", "B": "2"}
    assert definition.limits == Limits(memory=1_000_000_000, open_files=20)
    kept = definition.retention
    assert (kept.failed_ms, kept.completed_ms, kept.keep_last) == (86_400_000, None, 9)


def test_lists_are_replaced_whole(reading: Any) -> None:
    definition = reading("[defaults]\ntags = ['a']\n[jobs.X]\ncommand = ['true']\ntags = ['b']").definitions["X"]

    assert definition.tags == ("b",)


def test_redact_of_a_definition_adds_to_the_list_at_the_top(reading: Any) -> None:
    config = reading("redact = ['*pin*']\n[jobs.X]\ncommand = ['true']\nredact = ['payload.to', '*pin*']")

    assert config.redact == ("*pin*",)
    assert config.definitions["X"].redact == ("*pin*", "payload.to")


def test_log_max_falls_back_to_what_logs_says(reading: Any) -> None:
    config = reading(
        "logs = { max_per_attempt = '1MB' }\n[jobs]\nA = ['true']\n[jobs.B]\ncommand=['true']\nlog_max='2MB'"
    )

    assert [config.definitions[name].log_max for name in "AB"] == [1_000_000, 2_000_000]


@pytest.mark.parametrize(
    ("written", "backoff"),
    [
        ("'5s'", Fixed(5000)),
        ("['1s', '1m']", Listed((1000, 60_000))),
        ("{ kind = 'fixed', base = '1s' }", Fixed(1000, 0.0)),
        ("{ kind = 'fixed', base = '1s', jitter = 0.5 }", Fixed(1000, 0.5)),
        ("{}", Exponential()),
        ("{ base = '1s', factor = 3 }", Exponential(1000, 3.0)),
    ],
)
def test_backoff_in_all_its_forms(reading: Any, written: str, backoff: object) -> None:
    definition = reading(f"[jobs.A]\ncommand = ['true']\nbackoff = {written}").definitions["A"]

    assert definition.backoff == backoff


@pytest.mark.parametrize(
    ("written", "unique"),
    [
        ("true", Unique()),
        ("false", None),
        ("'{payload.a}'", Unique("{payload.a}")),
        ("{ while = '1h', on_conflict = 'error' }", Unique(None, 3_600_000, "error")),
        ("{ key = 'k', while = 'pending' }", Unique("k", "pending")),
    ],
)
def test_unique_in_all_its_forms(reading: Any, written: str, unique: object) -> None:
    assert reading(f"[jobs.A]\ncommand = ['true']\nunique = {written}").definitions["A"].unique == unique


@pytest.mark.parametrize(
    ("lists", "fail", "snooze"),
    [
        ("", {64, 65, 77, 78}, 75),
        ("success_codes = [0, 65]", {64, 77, 78}, 75),
        ("retry_codes = [64, 75]", {65, 77, 78}, None),
        ("fail_codes = [2]", {2}, 75),
        ("fail_codes = []", set(), 75),
        ("fail_codes = [75]", {75}, None),
    ],
)
def test_codes_named_elsewhere_lose_their_built_in_meaning(
    reading: Any, lists: str, fail: set[int], snooze: Any
) -> None:
    definition = reading(f"[jobs.A]\ncommand = ['true']\n{lists}").definitions["A"]

    assert (definition.fail_codes, definition.snooze_code) == (frozenset(fail), snooze)


def test_relative_paths_start_at_the_folder_of_the_file_they_stand_in(reading: Any, jobs_toml: Path) -> None:
    folder = jobs_toml.parent
    (folder / "sub").mkdir()
    (folder / "sub" / "more.toml").write_text("[jobs.B]\ncommand = ['true']\nenv_file = ['?b.env']")
    config = reading("include = ['sub/*.toml']\n[jobs.A]\ncommand = ['true']\ncwd = 'sub'\nenv_file = '?a.env'")

    a, b = config.definitions["A"], config.definitions["B"]
    assert (a.cwd, a.env_file) == (f"{folder}/sub", (f"?{folder}/a.env",))
    assert (b.cwd, b.env_file) == (f"{folder}/sub", (f"?{folder}/sub/b.env",))


def test_cwd_of_defaults_beats_the_folder_of_the_file(reading: Any, jobs_toml: Path) -> None:
    config = reading("[defaults]\ncwd = 'x'\n[jobs]\nA = ['true']")

    assert config.definitions["A"].cwd == f"{jobs_toml.parent}/x"


def test_an_interpreter_that_is_a_link_stays_one(reading: Any, jobs_toml: Path) -> None:
    (jobs_toml.parent / "python").symlink_to("/usr/bin/env")
    definition = reading("[jobs.A]\npython = 'a:b'\ninterpreter = 'python'").definitions["A"]

    assert definition.interpreter == f"{jobs_toml.parent}/python"


def test_adhoc_jobs_take_defaults_but_for_attempts_and_folder(reading: Any) -> None:
    config = reading("""
        [defaults]
        max_attempts = 9
        cwd = "/"
        timeout = "1m"
        env = { A = "1" }
        [queues.default]
        max_attempts = 8
        priority = 3
        [jobs.ls]
        command = ["true"]
        timeout = "9m"
    """)
    adhoc = config.adhoc("ls", ["ls", "{payload.x}"], "/srv")

    assert (adhoc.adhoc, adhoc.command, adhoc.cwd, adhoc.max_attempts) == (True, ("ls", "{payload.x}"), "/srv", 1)
    assert (adhoc.timeout_ms, adhoc.env, adhoc.priority) == (60_000, {"A": "1"}, 3)


def test_adhoc_jobs_need_no_file() -> None:
    adhoc = Config().adhoc("sleep", ["sleep", "1"], "/tmp")

    assert (adhoc.queue, adhoc.max_attempts, adhoc.command) == ("default", 1, ("sleep", "1"))
    assert Config().effective(adhoc, "mail").queue == "mail"


def test_default_and_hooks_always_exist(reading: Any) -> None:
    config = reading("[queues.hooks]\npriority = 1\n[queues.mail]\nconcurrency = 2")

    found = {name: (queue.concurrency, queue.declared) for name, queue in config.queues.items()}
    assert found == {"default": (None, False), "hooks": (4, True), "mail": (2, True)}


def test_a_result_of_stdout_for_all_leaves_python_with_its_return_value(reading: Any) -> None:
    config = reading("[defaults]\nresult = 'stdout'\n[jobs.A]\npython = 'a:b'\n[jobs.B]\nshell = 'true'")

    assert (config.definitions["A"].result, config.definitions["B"].result) == ("file", "stdout")


def test_health_and_web_are_kept(reading: Any) -> None:
    config = reading("""
        web = { port = 8000, token_file = "t" }
        [health]
        expect = { Nightly = "26h" }
        no_worker = "none"
        oldest_pending = { critical = "1h" }
        disk_free = { warning = "2GB" }
    """)

    assert (config.web.port, config.health.no_worker_ms) == (8000, None)
    assert config.health.expect == {"Nightly": 93_600_000}
    assert (config.health.oldest_pending_ms, config.health.disk_free) == (
        (300_000, 3_600_000),
        (2_000_000_000, 200_000_000),
    )
