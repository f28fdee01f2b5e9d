"""Which jobs.toml, which database, and whom to trust."""

import os
from pathlib import Path

import pytest

from kiribi_cli.config import discover
from kiribi_cli.config.discover import find_config, find_database, folders, network_disk
from kiribi_cli.config.model import Config
from kiribi_cli.config.read import read
from kiribi_cli.errors import Code, KiribiError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "jobs.toml").write_text("")
    return folder


def test_a_named_file_comes_first_and_the_nearest_above_next(project: Path, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("")
    here = project / "deep" / "er"

    assert find_config("../../../other.toml", {}, here).path == tmp_path / "other.toml"
    assert find_config(None, {"KIRIBI_CONFIG": str(tmp_path / "other.toml")}, here).origin == "KIRIBI_CONFIG"
    found = find_config(None, {}, here)
    assert (found.path, found.walked) == (project / "jobs.toml", True)


def test_without_a_file_above_the_one_in_xdg_is_used(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".config" / "kiribi").mkdir(parents=True)
    (home / ".config" / "kiribi" / "jobs.toml").write_text("")

    found = find_config(None, {"HOME": str(home)}, tmp_path)
    assert (found.path, found.walked) == (home / ".config" / "kiribi" / "jobs.toml", False)
    assert find_config(None, {"HOME": str(home), "XDG_CONFIG_HOME": str(tmp_path)}, tmp_path).path is None
    assert find_config(None, {}, tmp_path).path is None


@pytest.mark.parametrize("name", ["nowhere.toml", "deep"])
def test_a_named_file_that_is_none_is_an_error(project: Path, name: str) -> None:
    with pytest.raises(KiribiError) as refused:
        find_config(name, {}, project)

    assert refused.value.code is Code.CONFIG


@pytest.mark.parametrize("which", ["jobs.toml", "."])
def test_a_file_that_everybody_can_write_is_refused_with_no_further_search(project: Path, which: str) -> None:
    (project / which).chmod(0o777)

    with pytest.raises(KiribiError, match="everyone can write") as refused:
        find_config(None, {}, project / "deep")
    assert refused.value.code is Code.REFUSED
    assert refused.value.hint == f"if you trust it, name it: kiribi -c {project}/jobs.toml ls"


def test_a_strangers_file_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        os.chown(project / "jobs.toml", 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)

    with pytest.raises(KiribiError, match="neither you nor root") as refused:
        find_config(None, {}, project)
    assert refused.value.code is Code.REFUSED


def test_a_link_is_judged_by_where_it_leads(project: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "jobs.toml").write_text("")
    shared.chmod(0o777)
    (project / "jobs.toml").unlink()
    (project / "jobs.toml").symlink_to(shared / "jobs.toml")

    with pytest.raises(KiribiError, match="everyone can write to the folder"):
        find_config(None, {}, project)


def test_a_named_file_is_trusted_as_it_is(project: Path) -> None:
    (project / "jobs.toml").chmod(0o666)

    assert find_config("jobs.toml", {}, project).path == project / "jobs.toml"


def test_files_included_by_one_that_was_walked_to_must_be_trusted_too(project: Path) -> None:
    (project / "jobs.toml").write_text("include = ['more.toml']")
    (project / "more.toml").write_text("[jobs]\nA = ['true']")
    (project / "more.toml").chmod(0o666)

    assert "A" in read(project / "jobs.toml").definitions
    with pytest.raises(KiribiError, match=r"more\.toml") as refused:
        read(project / "jobs.toml", walked=True)
    assert refused.value.code is Code.REFUSED


@pytest.mark.parametrize("which", ["a.env", "?b.env", "open/a.env", "?open/none.env", "link/a.env"])
def test_env_files_of_one_that_was_walked_to_must_be_trusted_too(project: Path, which: str) -> None:
    (project / "jobs.toml").write_text(f"[jobs]\nA = {{ command = ['true'], env_file = '{which}' }}")
    (project / "open").mkdir()
    (project / "link").symlink_to("open")
    for name in ("a.env", "b.env", "open/a.env"):
        (project / name).touch(mode=0o600)
    read(project / "jobs.toml", walked="open" not in which and "link" not in which)
    for name in ("a.env", "b.env", "open"):
        (project / name).chmod(0o777)

    assert "A" in read(project / "jobs.toml").definitions
    with pytest.raises(KiribiError, match="everyone can write to") as refused:
        read(project / "jobs.toml", walked=True)
    assert refused.value.code is Code.REFUSED


def test_the_database_is_named_by_flag_then_variable_then_file(project: Path) -> None:
    (project / "jobs.toml").write_text("db = 'state/jobs.db'")
    config = read(project / "jobs.toml")
    cwd = project / "deep"

    assert find_database("x.db", {"KIRIBI_DB": "y.db"}, config, cwd).path == cwd / "x.db"
    assert find_database(None, {"KIRIBI_DB": "y.db"}, config, cwd).path == cwd / "y.db"
    assert find_database(None, {}, config, cwd).path == project / "state" / "jobs.db"


def test_without_db_the_database_is_beside_the_file_or_in_xdg(project: Path) -> None:
    env = {"HOME": "/home/me"}

    assert find_database(None, env, read(project / "jobs.toml"), project).path == project / ".kiribi" / "kiribi.db"
    assert find_database(None, env, Config(), project).path == Path("/home/me/.local/state/kiribi/kiribi.db")
    assert find_database(None, {"XDG_STATE_HOME": "/s"}, Config(), project).path == Path("/s/kiribi/kiribi.db")
    with pytest.raises(KiribiError, match="HOME is not set"):
        find_database(None, {}, Config(), project)


def test_two_databases_in_one_folder_share_nothing() -> None:
    one, other = folders(Path("/x/kiribi.db")), folders(Path("/x/other.db"))

    assert one == (Path("/x/logs"), Path("/x/run"))
    assert other == (Path("/x/other.db-logs"), Path("/x/other.db-run"))


@pytest.mark.parametrize("url", ["postgresql://me:secret@host/x", "postgres://host/x", "mysql://host/x"])
def test_a_url_is_a_usage_error_that_shows_no_password(project: Path, url: str) -> None:
    with pytest.raises(KiribiError) as refused:
        find_database(url, {}, Config(), project)

    assert refused.value.code is Code.USAGE
    assert "secret" not in refused.value.message


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
tmpfs /home/me/ram tmpfs rw 0 0
me@host: /mnt/with\\040space fuse.sshfs rw 0 0
/dev/sdb1 /mnt/ntfs fuseblk rw 0 0
over /layers overlay rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/x.db", None), ("/home/you/x.db", "nfs4"), ("/home", "nfs4"), ("/homes/x.db", None),
        ("/home/me/ram/x.db", None), ("/mnt/with space/x.db", "fuse.sshfs"), ("/mnt/ntfs/x.db", "fuseblk"),
        ("/layers/x.db", None),
    ],
)  # fmt: skip
def test_network_and_fuse_file_systems_are_told_from_local_ones(path: str, kind: str | None) -> None:
    assert network_disk(Path(path), MOUNTS) == kind


def test_a_database_on_a_network_disk_is_refused_and_postgresql_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discover, "network_disk", lambda path: "nfs4")

    with pytest.raises(KiribiError, match="PostgreSQL") as refused:
        find_database("x.db", {}, Config(), project)
    assert refused.value.code is Code.STORE


def test_a_folder_is_no_database(project: Path) -> None:
    with pytest.raises(KiribiError, match="is a folder"):
        find_database(".", {}, Config(), project)
