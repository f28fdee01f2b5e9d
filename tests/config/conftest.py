"""A folder with a jobs.toml, and short ways to read it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kiribi_cli.config.model import Config
from kiribi_cli.config.problems import Problem
from kiribi_cli.config.read import check, read

Read = Callable[[str], Config]
Check = Callable[..., list[Problem]]


@pytest.fixture
def jobs_toml(tmp_path: Path) -> Path:
    """Where jobs.toml will be, in a folder of its own."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder / "jobs.toml"


@pytest.fixture
def reading(jobs_toml: Path) -> Read:
    """Write a text as jobs.toml and read it."""

    def read_text(text: str) -> Config:
        jobs_toml.write_text(text)
        return read(jobs_toml)

    return read_text


@pytest.fixture
def checking(jobs_toml: Path) -> Check:
    """Write a text as jobs.toml and check it."""

    def check_text(text: str, *, strict: bool = False) -> list[Problem]:
        jobs_toml.write_text(text)
        return check(jobs_toml, strict=strict)

    return check_text
