"""nearby.py finds what discover.py finds, or says that only discover.py can tell."""

from pathlib import Path
from typing import Any

import pytest

from kiribi_cli.config import discover, nearby
from kiribi_cli.config.model import Config
from kiribi_cli.errors import KiribiError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "deep").mkdir(parents=True)
    (folder / "jobs.toml").write_text("")
    (folder / "other.toml").write_text("")
    (folder / "x.db").write_text("")
    (folder / "home" / ".config" / "kiribi").mkdir(parents=True)
    (folder / "home" / ".config" / "kiribi" / "jobs.toml").write_text("")
    (folder / "home" / ".local" / "state" / "kiribi").mkdir(parents=True)
    (folder / "home" / ".local" / "state" / "kiribi" / "kiribi.db").write_text("")
    return folder


def _config(flag: str | None, env: dict[str, str], cwd: Path) -> tuple[Any, Any]:
    try:
        slow: Any = discover.find_config(flag, env, cwd).path
    except KiribiError:
        slow = KiribiError
    try:
        quick: Any = nearby.find_config(flag, env, str(cwd))
    except nearby.NotPlainError:
        quick = KiribiError
    return (str(slow) if isinstance(slow, Path) else slow), quick


@pytest.mark.parametrize(
    ("flag", "env"),
    [
        (None, {}), ("other.toml", {}), ("../other.toml", {}), ("nowhere.toml", {}), ("deep", {}),
        (None, {"KIRIBI_CONFIG": "other.toml"}), (None, {"KIRIBI_CONFIG": ""}), ("jobs.toml", {"KIRIBI_CONFIG": "x"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("below", [".", "deep"])
@pytest.mark.parametrize("mode", [0o755, 0o777])
def test_both_find_the_same_file(project: Path, flag: str | None, env: dict[str, str], below: str, mode: int) -> None:
    project.chmod(mode)
    slow, quick = _config(flag, env, project / below)

    assert slow == quick


@pytest.mark.parametrize("variables", [{}, {"XDG_CONFIG_HOME": "{}/home/.config"}, {"XDG_CONFIG_HOME": "relative"}])
def test_both_find_the_same_file_in_xdg(project: Path, variables: dict[str, str]) -> None:
    (project / "jobs.toml").unlink()
    env = {"HOME": f"{project}/home", **{name: value.format(project) for name, value in variables.items()}}
    slow, quick = _config(None, env, project)

    assert slow == quick == f"{project}/home/.config/kiribi/jobs.toml"


@pytest.mark.parametrize(
    ("flag", "env", "named"),
    [
        ("x.db", {}, None), ("../x.db", {}, None), (None, {"KIRIBI_DB": "x.db"}, None), (None, {}, "{}/x.db"),
        (None, {"KIRIBI_DB": ""}, "{}/x.db"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("below", [".", "deep"])
def test_both_find_the_same_database(
    project: Path, flag: str | None, env: dict[str, str], named: str | None, below: str
) -> None:
    named = named.format(project) if named else None
    cwd = project / below
    slow = discover.find_database(flag, env, Config(path=project / "jobs.toml", db=named), cwd).path
    try:
        quick = nearby.find_database(flag, env, str(project / "jobs.toml"), named, str(cwd))
    except nearby.NotPlainError:
        quick = None

    assert quick == (str(slow) if slow.exists() else None)


def test_without_a_file_both_find_the_database_in_xdg(project: Path) -> None:
    env = {"HOME": f"{project}/home"}

    slow = discover.find_database(None, env, Config(), project).path
    assert str(slow) == nearby.find_database(None, env, None, None, str(project))


@pytest.mark.parametrize("named", ["postgresql://host/x", "nowhere.db"])
def test_what_is_not_plain_is_left_to_discover(project: Path, named: str) -> None:
    with pytest.raises(nearby.NotPlainError):
        nearby.find_database(named, {}, None, None, str(project))


def test_both_know_the_same_file_systems() -> None:
    assert set(nearby.NETWORK) == discover._NETWORK
