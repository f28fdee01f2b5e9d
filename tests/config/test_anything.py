"""Whatever stands in jobs.toml, the answer is a Config or a KiribiError with problems: never a traceback."""

from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import example, given
from hypothesis import strategies as st

from kiribi_cli.config import keys
from kiribi_cli.config.model import Config
from kiribi_cli.config.read import check, read
from kiribi_cli.errors import Code, KiribiError

WORDS = sorted({
    *keys.SETTINGS, *keys.DEFINITION, *keys.QUEUE, *keys.WORKER, *keys.LOGS, *keys.WEB, *keys.HEALTH, *keys.LIMITS,
    *keys.RETENTION, "jobs", "queues", "schedules", "defaults", "on", "type", "default", "choices", "min", "max",
    "pattern", "items", "kind", "base", "factor", "jitter", "key", "while", "on_conflict", "A", "", "a b", "\0",
})  # fmt: skip
SCALARS = st.one_of(
    st.sampled_from([
        "none", "forever", "1s", "10MB", "string", "integer", "exponential", "{payload.x}", "{env.A", "{payload...}", "(",
        "\0", "", "*", "../x", "a:b", "pending", "replace", "0777", "SIGTERM", "Europe/Berlin", "é" * 300, "jobs.toml",
    ]),
    st.text(max_size=8),
    st.integers(-(2**64), 2**64),
    st.floats(),
    st.booleans(),
    st.dates(),
    st.times(),
)  # fmt: skip
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=4)),
)
JOBS = st.dictionaries(st.sampled_from(sorted(keys.DEFINITION)), TREES, max_size=6)
FILES = st.one_of(
    st.dictionaries(st.sampled_from(WORDS), TREES, max_size=5),
    st.fixed_dictionaries({"jobs": st.dictionaries(st.sampled_from(["A", "B"]), st.one_of(JOBS, TREES), max_size=2)}),
    st.fixed_dictionaries({"defaults": JOBS, "jobs": st.fixed_dictionaries({"A": JOBS})}),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples: each overwrites the file of the last."""
    return tmp_path_factory.mktemp("anything")


def _answers(path: Path) -> tuple[Any, list[Any]]:
    problems = check(path, strict=True)
    try:
        return read(path), problems
    except KiribiError as error:
        return error, problems


@given(table=FILES)
def test_any_table_gives_a_config_or_problems(folder: Path, table: dict[str, Any]) -> None:
    path = folder / "jobs.toml"
    path.write_text(tomli_w.dumps(table), "utf-8", "surrogatepass")
    answer, problems = _answers(path)

    if isinstance(answer, Config):
        assert all(problem.line >= 1 and problem.column >= 1 for problem in problems)
    else:
        assert answer.code is Code.CONFIG
        assert answer.details
        assert problems


@given(text=st.text(max_size=200))
@example(text="[jobs]\r\nA = ['x']\r\n")
@example(text="[jobs.A]\ncommand = ['x']\n[jobs.A]\n")
def test_any_text_gives_a_config_or_problems(folder: Path, text: str) -> None:
    path = folder / "text.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    answer, problems = _answers(path)

    assert isinstance(answer, Config) or (answer.code is Code.CONFIG and answer.details and problems)


@given(content=st.binary(max_size=100))
def test_any_bytes_give_a_config_or_problems(folder: Path, content: bytes) -> None:
    path = folder / "bytes.toml"
    path.write_bytes(content)
    answer, problems = _answers(path)

    assert isinstance(answer, Config) or (answer.code is Code.CONFIG and answer.details and problems)
