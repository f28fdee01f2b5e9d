"""The hot path of `enqueue` and the Typer command make the same rows; the hot path loads next to nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kiribi_cli.actions import enqueue_hot
from kiribi_cli.cli import enqueue_one
from kiribi_cli.cli.main import main
from kiribi_cli.config import cache, nearby
from kiribi_cli.config.discover import _NETWORK, find_config, find_database
from kiribi_cli.config.model import Config
from kiribi_cli.config.read import read
from kiribi_cli.core.plan import plan_of
from kiribi_cli.store import connect
from kiribi_cli.store.base import Inserted
from kiribi_cli.store.sqlite import SqliteStore
from tests.conftest import Kiribi, eventually

JOBS = """
[queues]
mail = { priority = 5, max_attempts = 7 }
slow = {}
[defaults]
timeout = "10m"
expires = "1d"
[jobs]
Echo = "echo hello"
[jobs.Copy]
command = ["cp", "{payload.src}", "{payload.files...}", "{payload.deep.er}"]
tags = ["a", "é"]
[jobs.Import]
command = ["./import"]
params = { customer = "integer" }
[jobs.Once]
command = ["true"]
unique = true
[jobs.Key]
command = ["true"]
unique = { key = "{payload.a}-{payload.b}{{payload.c}}", while = "1h", on_conflict = "error" }
[jobs.Mail]
command = ["true"]
queue = "mail"
"""

# What shell loops and cron write; each must take the hot path, or it is none.
COMMON = [
    ["enqueue", "Echo"],
    ["enqueue", "Echo", "a=1", "b=x y"],
    ["enqueue", "Echo", "--payload", '{"a": 1.50}'],
    ["enqueue", "Echo", '--payload={"a": 1}', "--queue=slow"],
    ["enqueue", "-p", "[1]", "Echo", "--priority", "7", "-q"],
    ["enqueue", "Echo", "--unique", "k", "-s"],
    ["enqueue", "Mail"],
    ["enqueue", "Copy", "-p", '{"src": "a", "files": [1, "x"], "deep": {"er": true}}'],
    ["enqueue", "Key", "a=1", "b=2"],
    ["enqueue", "Key", "-p", '{"a": true, "b": 12}'],
    ["enqueue", "--", "sleep", "1"],
    ["enqueue", "--queue", "slow", "--", "/bin/sh", "-c", "echo {payload.x} -- \udcff"],
    ["-c", "jobs.toml", "enqueue", "Echo", "customer=7"],
    ["--db", ".kiribi/kiribi.db", "enqueue", "Echo"],
]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["src", "files", "deep", "er", "a", "b"]), inner)
    ),
    max_leaves=8,
)
PAYLOAD = JSON.map(json.dumps) | st.sampled_from(
    ["{", "", "-", "@x", "null", ' {"a":1} ', '{"a":1,"a":2}', '"\\ud800"', "[1]x"]
)
KEY = st.sampled_from(["a", "b", "src", "customer", "a-b", "a_b", "é", "", "a:", "\udcff"])
VALUE = st.sampled_from(["", "1", "x y", "@nofile", "=", "{payload.a}", "é", "\udcff", '"', "-1"])
OPTION = st.one_of(
    st.tuples(st.sampled_from(["-p", "--payload"]), PAYLOAD).map(list),
    PAYLOAD.map(lambda text: [f"--payload={text}"]),
    st.tuples(st.just("--queue"), st.sampled_from(["slow", "mail", "default", "nowhere", "no good", ""])).map(list),
    st.tuples(
        st.just("--priority"), st.sampled_from(["0", "5", "1000", "1001", "-5", "+5", "x", " 5", "1_0", "٣"])
    ).map(list),
    st.tuples(st.just("--unique"), st.sampled_from(["k", "", "-", "é", "\udcff"])).map(list),
    st.sampled_from(
        ["-q", "-s", "--silent", "--quiet", "--json", "-n", "-v", "-qs", "--tag=x", "--in=1h", "--nonsense"]
    ).map(lambda w: [w]),
    st.sampled_from([["-c", "jobs.toml"], ["--config=nofile"], ["--db=.kiribi/kiribi.db"], ["--db", "nofile"]]),
    st.tuples(KEY, VALUE).map(lambda pair: [f"{pair[0]}={pair[1]}"]),
)
COMMAND = st.lists(
    st.sampled_from(["true", "sh", "-c", "--", "", "/usr/bin/ls", "./", "{payload.a}", "\udcff", "é"]), max_size=3
)
ANY_ARGV = st.builds(
    lambda before, name, options, command: [
        *chain(*before), "enqueue", *name, *chain(*options), *(["--", *command] if command is not None else [])
    ],
    st.lists(st.sampled_from([["-q"], ["-c", "jobs.toml"], ["--db", ".kiribi/kiribi.db"]]), max_size=1),
    st.sampled_from([["Echo"], ["Copy"], ["Import"], ["Once"], ["Key"], ["Mail"], ["Nobody"], [], [], []]),
    st.lists(OPTION, max_size=4),
    st.none() | COMMAND,
)  # fmt: skip

# Of those hardly one in ten takes the hot path; so as many that look like what people write, each option once at most.
SCALAR = st.booleans() | st.integers(-5, 2**63) | st.text(max_size=5) | st.floats(allow_nan=False, allow_infinity=False)
FITTING = st.fixed_dictionaries(
    {"src": SCALAR, "files": st.lists(SCALAR, max_size=3), "deep": st.fixed_dictionaries({"er": SCALAR})},
    optional={"a": SCALAR, "b": st.none() | SCALAR, "é": JSON},
) | st.fixed_dictionaries({"a": SCALAR, "b": SCALAR})
LIKELY_OPTION = st.one_of(
    st.tuples(st.just("--queue"), st.sampled_from(["slow", "mail", "default"])),
    st.tuples(st.just("--priority"), st.integers(0, 1001).map(str)),
    st.tuples(st.just("--unique"), st.text(min_size=1, max_size=5)),
    st.tuples(st.sampled_from(["-q", "-s"])),
)
GIVEN = st.one_of(
    st.tuples(st.just("--payload"), st.builds(json.dumps, FITTING, ensure_ascii=st.booleans())),
    st.lists(st.tuples(st.sampled_from("abé"), VALUE).map("=".join), unique_by=lambda word: word[0], max_size=3),
)
LIKELY_ARGV = st.one_of(
    st.builds(
        lambda name, options, given: ["enqueue", name, *chain(*options), *given],
        st.sampled_from(["Echo", "Copy", "Once", "Key", "Mail"]),
        st.lists(LIKELY_OPTION, max_size=2, unique_by=lambda option: option[0]),
        GIVEN,
    ),
    st.builds(
        lambda options, command: ["enqueue", *chain(*options), "--", *command],
        st.lists(LIKELY_OPTION, max_size=3, unique_by=lambda option: option[0]),
        st.sampled_from([["sleep", "1"], ["/bin/é", "{payload.a}"], ["./"]]),
    ),
)
ARGV = st.one_of(ANY_ARGV, LIKELY_ARGV)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a jobs.toml and a database, which is also the current one; no KIRIBI_ variable is set."""
    here = tmp_path_factory.mktemp("here")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setenv("HOME", str(here / "home"))
        for name in [name for name in os.environ if name.startswith(("KIRIBI_", "XDG_"))]:
            patch.delenv(name)
        (here / "jobs.toml").write_text(JOBS)
        SqliteStore.open(here / ".kiribi" / "kiribi.db", create=True).close()
        patch.setattr(cache, "load", lambda path: cache.compiled(read(Path(path))))
        yield here


def hot(argv: list[str]) -> dict[str, Any] | None:
    """The row of the hot path; None where it leaves the command line to the other."""
    try:
        row, _, _ = enqueue_hot.prepared(enqueue_hot.take_apart(argv), os.environ, str(Path.cwd()), 1_000_000)
    except Exception:  # noqa: BLE001  (as the hot path itself does)
        return None
    return relative(dict(row))


def typed(argv: list[str]) -> tuple[int, dict[str, Any] | None]:
    """Exit code and row of the Typer command."""
    stored: list[dict[str, Any]] = []

    def keep(at: Any, row: Any, **_: Any) -> Inserted:
        stored.append(dict(row))
        return Inserted(1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(enqueue_one, "store_row", keep)
        patch.setattr(sys, "stdin", None)
        code = main(argv)
    return code, relative(stored[0]) if stored else None


def relative(row: dict[str, Any]) -> dict[str, Any]:
    """Times as distances, since the two are not made in one millisecond."""
    created = row["created_at"]
    times = {name: row[name] - created for name in ("run_at", "expires_at", "created_at") if row.get(name) is not None}
    return {**row, **times}


@settings(deadline=None, max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(argv=ARGV)
def test_both_paths_make_the_same_row(folder: Path, capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    row = hot(argv)
    if row is None:
        return

    assert typed(argv) == (0, row)


@pytest.mark.parametrize("argv", COMMON)
def test_the_common_forms_take_the_hot_path(folder: Path, capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    row = hot(argv)

    assert row is not None
    assert typed(argv) == (0, row)


@pytest.mark.parametrize(
    "argv",
    [["enqueue", "--help"], ["enqueue", "Echo", "-n"], ["enqueue", "Echo", "-v"], ["ls", "enqueue"], ["enqueue"],
     ["enqueue", "Import", "customer=1"], ["enqueue", "Once"], ["enqueue", "Echo", "--", "ls"], ["enqueue", "--", ""]],
)  # fmt: skip
def test_the_rare_and_the_wrong_are_left_to_the_command(folder: Path, argv: list[str]) -> None:
    assert hot(argv) is None


def test_an_ad_hoc_command_without_a_file_takes_the_built_in_defaults() -> None:
    assert plan_of(Config().adhoc("", (), "")) == enqueue_hot.WITHOUT_FILE


def test_both_ways_know_the_same_network_file_systems() -> None:
    assert set(nearby.NETWORK) == _NETWORK


@pytest.mark.parametrize(
    ("flag", "env"),
    [(None, {}), ("jobs.toml", {}), (None, {"KIRIBI_CONFIG": "jobs.toml"}), (None, {"KIRIBI_DB": "other.db"}),
     (None, {"XDG_CONFIG_HOME": "relative"})],
)  # fmt: skip
def test_both_ways_find_the_same_files(folder: Path, flag: str | None, env: dict[str, str]) -> None:
    below = folder / "a" / "b"
    below.mkdir(parents=True, exist_ok=True)
    (folder / "other.db").touch()
    cwd = folder if flag or env else below
    found = find_config(flag, env, cwd)
    config = nearby.find_config(flag, env, str(cwd))

    assert config == str(found.path)
    database = find_database(None, env, read(folder / "jobs.toml"), cwd)
    assert nearby.find_database(None, env, config, None, str(cwd)) == str(database.path)


def test_a_file_that_anybody_can_write_is_left_to_the_command(tmp_path: Path) -> None:
    (tmp_path / "jobs.toml").write_text(JOBS)
    tmp_path.chmod(0o777)

    with pytest.raises(nearby.NotPlainError):
        nearby.find_config(None, {}, str(tmp_path))


PROBE = """
import os, sys
before = set(sys.modules)
def end(status, end=os._exit):
    sys.stderr.write("\\n".join(sorted(set(sys.modules) - before)))
    sys.stderr.flush()
    end(status)
os._exit = end
from kiribi_cli.__main__ import main
main()
"""


def loaded(kiribi: Kiribi, code: str, *arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=kiribi.folder, env=kiribi.environment, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return set(done.stderr.split())


DRIVER = """
import sys
before = set(sys.modules)
try:
    import pysqlite3.dbapi2
except ImportError:
    import sqlite3
sys.stderr.write("\\n".join(set(sys.modules) - before))
"""
OURS = {
    "kiribi_cli", "kiribi_cli.__main__", "kiribi_cli.actions", "kiribi_cli.actions.enqueue_hot", "kiribi_cli.actions.origin",
    "kiribi_cli.clock", "kiribi_cli.config", "kiribi_cli.config.cache", "kiribi_cli.config.nearby", "kiribi_cli.core",
    "kiribi_cli.core.options", "kiribi_cli.core.payload", "kiribi_cli.core.plan", "kiribi_cli.store", "kiribi_cli.store.bell",
    "kiribi_cli.store.connect", "kiribi_cli.store.insert", "kiribi_cli.store.line", "kiribi_cli.store.statements",
}  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        (["enqueue", "--", "true"], set()),
        (["enqueue", "Echo", "a=1"], set()),
        (["enqueue", "Echo", "-p", "[1]", "--unique", "k"], {"kiribi_cli.core.unique", "_sha256", "_sha2"}),
    ],
)
def test_the_hot_path_loads_the_driver_and_little_else(kiribi: Kiribi, arguments: list[str], more: set[str]) -> None:
    kiribi.define('[jobs]\nEcho = "echo"\n')

    def is_kept() -> bool:
        kiribi.ok("enqueue", "--in", "1s", "Echo")
        return (kiribi.folder / ".kiribi" / "run" / "jobs.toml.cache").exists()

    # Nothing is kept of a file so young that somebody could edit it in this very tick of the clock.
    eventually(is_kept)

    seen = loaded(kiribi, PROBE, *arguments) - loaded(kiribi, DRIVER)

    assert seen - {"_json", "_socket", "pwd", "marshal", "binascii"} - more == OURS


@pytest.mark.skipif(not connect.SAFE, reason="this SQLite checkpoints by other rules")
def test_a_loop_of_enqueues_with_nobody_else_there_leaves_a_short_wal(kiribi: Kiribi) -> None:
    database = kiribi.folder / "queue.db"
    # Each writes about 20 kB of it.
    for _ in range(60):
        kiribi.ok("enqueue", "--db", database, "--", "true")

    wal = Path(f"{database}-wal").stat().st_size
    assert wal < connect.WAL_BYTES_HOT + 100_000
    assert len(kiribi.ok("ls", "-q", "--db", database, "-n", "0").splitlines()) == 60


def test_an_edit_counts_for_the_next_enqueue_even_with_the_size_and_the_time_of_before(kiribi: Kiribi) -> None:
    path = kiribi.define('[jobs]\nEcho = "echo"\n[jobs.Sort]\ncommand = ["true"]\nqueue = "one"\n')
    kept = kiribi.folder / ".kiribi" / "run" / "jobs.toml.cache"

    def is_kept() -> bool:
        kiribi.ok("enqueue", "Sort", "--in", "1h")
        return kept.exists()

    eventually(is_kept)
    before, used = path.stat(), loaded(kiribi, PROBE, "enqueue", "Sort")
    path.write_text(path.read_text().replace("one", "two"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    job = kiribi.ok("enqueue", "Sort")

    assert "kiribi_cli.cli" not in used
    assert path.stat().st_size == before.st_size
    assert kiribi.json("show", job)["queue"] == "two"
