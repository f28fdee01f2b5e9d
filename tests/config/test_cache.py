"""The cache is never stale: whatever is edited, however quickly, it is not used."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kiribi_cli import clock
from kiribi_cli.config import cache
from kiribi_cli.config.outline import outline_of, outlined
from kiribi_cli.config.read import read

TEXT = "[jobs]\nA = ['true']\nB = ['echo', '{payload.x}']\n"


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all files be older than any doubt, as if some seconds had passed."""
    real = clock.now_ms
    monkeypatch.setattr(clock, "now_ms", lambda: real() + 2 * cache.SETTLED_MS)


@pytest.fixture
def path(jobs_toml: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A jobs.toml with a `.kiribi` beside it."""
    jobs_toml.write_text(TEXT)
    (jobs_toml.parent / ".kiribi").mkdir()
    monkeypatch.setenv("HOME", str(jobs_toml.parent / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return jobs_toml


@pytest.mark.usefixtures("later")
def test_what_was_saved_is_loaded(path: Path) -> None:
    config = read(path)

    assert cache.save(config)
    assert cache.load(str(path)) == cache.compiled(config)


def test_a_file_edited_within_the_same_tick_is_not_kept(path: Path) -> None:
    assert not cache.save(read(path))
    assert cache.load(str(path)) is None


@pytest.mark.usefixtures("later")
def test_an_edit_between_reading_and_saving_is_noticed(path: Path) -> None:
    config = read(path)
    path.write_text(TEXT.replace("true", "fals"))

    assert not cache.save(config)


def _edit_keeping_size_and_mtime(path: Path) -> None:
    status = path.stat()
    path.write_text(TEXT.replace("true", "fals"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _replace(path: Path) -> None:
    status = path.stat()
    fresh = path.with_suffix(".new")
    fresh.write_text(TEXT.replace("true", "fals"))
    os.utime(fresh, ns=(status.st_atime_ns, status.st_mtime_ns))
    fresh.replace(path)


def _make_writable(path: Path) -> None:
    path.chmod(0o666)


def _remove(path: Path) -> None:
    path.unlink()


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("edit", [_edit_keeping_size_and_mtime, _replace, _make_writable, _remove])
def test_an_edit_is_noticed_even_if_size_and_time_are_put_back(path: Path, edit: Callable[[Path], None]) -> None:
    assert cache.save(read(path))
    edit(path)

    assert cache.load(str(path)) is None


@pytest.mark.usefixtures("later")
def test_included_files_folders_and_schemas_count_as_well(path: Path) -> None:
    folder = path.parent
    (folder / "jobs.d").mkdir()
    (folder / "jobs.d" / "a.toml").write_text("[jobs.C]\ncommand = ['true']\npayload_schema = 's.json'\n")
    (folder / "jobs.d" / "s.json").write_text("{}")
    path.write_text("include = ['jobs.d/*.toml']\n" + TEXT)
    edits: list[Callable[[], object]] = [
        lambda: (folder / "jobs.d" / "a.toml").write_text("[jobs]\nC = ['false']\n"),
        lambda: (folder / "jobs.d" / "b.toml").write_text("[jobs]\nD = ['false']\n"),
        (folder / "jobs.d" / "b.toml").unlink,
        lambda: (folder / "jobs.d" / "a.toml").write_text("[jobs.C]\ncommand = ['true']\npayload_schema = 's.json'\n"),
        lambda: (folder / "jobs.d" / "s.json").write_text("{ }"),
    ]
    loaded = []
    for edit in edits:
        assert cache.save(read(path))
        before = cache.load(str(path)) is not None
        edit()
        loaded.append((before, cache.load(str(path)) is not None))

    assert loaded == [(True, False)] * len(edits)


@pytest.mark.usefixtures("later")
def test_a_folder_of_includes_that_appears_is_noticed(path: Path) -> None:
    path.write_text("include = ['jobs.d/*.toml']\n" + TEXT)
    assert cache.save(read(path))
    assert cache.load(str(path)) is not None
    (path.parent / "jobs.d").mkdir()

    assert cache.load(str(path)) is None


@pytest.mark.usefixtures("later")
def test_an_include_that_nobody_should_trust_is_never_kept(path: Path) -> None:
    (path.parent / "more.toml").write_text("[jobs]\nC = ['true']\n")
    (path.parent / "more.toml").chmod(0o666)
    path.write_text("include = ['more.toml']\n" + TEXT)

    assert not cache.save(read(path))


@pytest.mark.usefixtures("later")
def test_the_folder_of_an_include_that_is_opened_to_all_is_noticed(path: Path) -> None:
    (path.parent / "sub").mkdir()
    (path.parent / "sub" / "more.toml").write_text("[jobs]\nC = ['true']\n")
    path.write_text("include = ['sub/more.toml']\n" + TEXT)
    assert cache.save(read(path))
    assert cache.load(str(path)) is not None
    (path.parent / "sub").chmod(0o777)

    assert cache.load(str(path)) is None


def _kept(path: Path) -> Path:
    return path.parent / ".kiribi" / "run" / "jobs.toml.cache"


@pytest.mark.usefixtures("later")
def test_the_cache_is_private_and_one_that_is_not_is_ignored(path: Path) -> None:
    assert cache.save(read(path))
    mode = _kept(path).stat().st_mode & 0o777
    _kept(path).chmod(0o644)

    assert mode == 0o600
    assert cache.load(str(path)) is None


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("content", [b"", b"x", b"kiribi 0.0.0 ", None])
def test_a_cache_that_is_cut_short_or_foreign_is_ignored(path: Path, content: bytes | None) -> None:
    assert cache.save(read(path))
    whole = _kept(path).read_bytes()
    _kept(path).write_bytes(whole[:-1] if content is None else content)

    assert cache.load(str(path)) is None


@pytest.mark.usefixtures("later")
def test_a_whole_cache_of_another_version_is_ignored(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache.save(read(path))
    digit = cache._HEADER[7:8]
    other = cache._HEADER[:7] + (b"8" if digit == b"9" else b"9") + cache._HEADER[8:]
    monkeypatch.setattr(cache, "_HEADER", other)

    assert cache.load(str(path)) is None


@pytest.mark.usefixtures("later")
def test_without_kiribi_folder_the_cache_is_in_xdg(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path.parent / ".kiribi").rmdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(path.parent / "xdg"))

    assert cache.save(read(path))
    assert cache.load(str(path)) is not None
    assert len(list((path.parent / "xdg" / "kiribi").iterdir())) == 1


@pytest.mark.usefixtures("later")
def test_a_place_that_cannot_be_written_costs_nothing_but_time(path: Path) -> None:
    (path.parent / ".kiribi" / "run").write_text("a file, not a folder")

    assert not cache.save(read(path))
    assert cache.load(str(path)) is None


@pytest.mark.usefixtures("later")
def test_a_full_disk_leaves_no_draft_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    config = read(path)
    monkeypatch.setattr(os, "write", full)

    assert not cache.save(config)
    assert not list(path.parent.glob(".kiribi/**/*.cache*"))


def test_loading_loads_next_to_nothing(path: Path) -> None:
    code = (
        "import os, sys; before = set(sys.modules)\n"
        "from kiribi_cli.config import cache\n"
        f"cache.load({str(path)!r})\n"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )

    assert set(done.stdout.split()) <= {"kiribi_cli", "marshal", "binascii"}


@pytest.mark.usefixtures("later")
def test_what_commands_that_look_need_is_kept_as_it_was_read(path: Path) -> None:
    path.write_text(
        "redact = ['*pin*']\ndb = 'x/jobs.db'\ndurability = 'normal'\n"
        "[logs]\ndir = '/var/log/jobs'\n[worker]\nmin_free = '7MB'\n[queues]\nmail = { concurrency = 2 }\n"
        "[jobs.A]\ncommand = ['true']\nredact = ['card']\n[jobs.B]\ncommand = ['true']\nconcurrency = 3\n"
    )
    config = read(path)
    assert cache.save(config)
    kept = cache.load(str(path))

    assert kept is not None
    assert outlined(kept["outline"]) == outline_of(config)
    assert outline_of(config).jobs["A"].redact == ("*pin*", "card")
    assert (outline_of(config).jobs["B"].concurrency, outline_of(config).queues["mail"]) == (3, 2)


@pytest.mark.usefixtures("later")
def test_a_cache_of_another_form_is_ignored(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache.save(read(path))
    monkeypatch.setattr(cache, "_HEADER", cache._HEADER.replace(b".%d " % cache._FORM, b".%d " % (cache._FORM + 1)))

    assert cache.load(str(path)) is None
