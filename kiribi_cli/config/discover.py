"""Which jobs.toml, which database, which folders; and whom to trust (cli.md, 2)."""

import os
from collections.abc import Mapping
from pathlib import Path

from kiribi_cli.config.model import Config
from kiribi_cli.core.records import dataclass
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.private import distrust, refuse_stranger

FILE_NAME = "jobs.toml"
# What the kernel calls file systems on which SQLite's locks and shared memory cannot be relied on.
_NETWORK = {
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "lustre", "afs", "ncpfs", "ocfs2", "gfs2",
    "beegfs", "orangefs", "pvfs2", "davfs", "coda", "sshfs", "vboxsf", "prl_fs", "virtiofs", "fuse", "fuseblk",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """The jobs.toml in use (None: there is none), why this one, and whether it was found by walking up."""

    path: Path | None
    origin: str
    walked: bool = False


@dataclass(frozen=True, slots=True)
class Database:
    """The database in use, why this one, and the folders beside it (which may not exist yet)."""

    path: Path
    origin: str
    logs: Path
    run: Path


def find_config(flag: str | None, env: Mapping[str, str], cwd: Path) -> Found:
    """Find the jobs.toml: --config, KIRIBI_CONFIG, the nearest one above `cwd`, XDG. The first hit is used alone.

    Raises CONFIG if a named one is not there, REFUSED if one found by walking up is not to be trusted.
    """
    for origin, named in (("--config", flag), ("KIRIBI_CONFIG", env.get("KIRIBI_CONFIG"))):
        if named:
            return Found(_named(cwd / named, origin), origin)
    for folder in (cwd, *cwd.parents):
        path = folder / FILE_NAME
        if path.is_file():
            check_trusted(path)
            return Found(path, f"found in {folder}", walked=True)
    xdg = _xdg(env, "XDG_CONFIG_HOME", ".config")
    if xdg and (xdg / FILE_NAME).is_file():
        return Found(xdg / FILE_NAME, "XDG_CONFIG_HOME" if env.get("XDG_CONFIG_HOME") else "~/.config")
    return Found(None, "none")


def find_database(flag: str | None, env: Mapping[str, str], config: Config, cwd: Path) -> Database:
    """Find the database: --db, KIRIBI_DB, `db` in jobs.toml, `.kiribi/kiribi.db` beside it, XDG without a jobs.toml.

    Raises USAGE for a URL, STORE for a network or FUSE file system, REFUSED if nobody named it and its folder is not to
    be trusted.
    """
    given, origin = _database_named(flag, env, config)
    if "://" in given or given.startswith("postgresql:"):
        raise _url_refused(given, origin)
    path = Path(os.path.abspath(cwd / given))  # noqa: PTH100  (resolve() would follow links, absolute() keeps "..")
    if path.is_dir():
        raise KiribiError(Code.STORE, f"the database {path} ({origin}) is a folder", hint=f"--db {path / 'kiribi.db'}")
    if kind := network_disk(path):
        raise KiribiError(Code.STORE, network_sentence(path, kind), hint="put it on a local disk with --db or `db`")
    if not (flag or env.get("KIRIBI_DB") or (config.path and config.db)):
        # Nobody named it: who made the folder that stands there?
        refuse_stranger(path.parent)
    logs, run = folders(path)
    return Database(path, origin, config.logs.dir or logs, run)


def folders(db: Path) -> tuple[Path, Path]:
    """Name the logs and run folders of a database: two databases in one folder never share them."""
    prefix = "" if db.name == "kiribi.db" else f"{db.name}-"
    return db.parent / f"{prefix}logs", db.parent / f"{prefix}run"


def check_trusted(path: Path) -> None:
    """Raise REFUSED unless the file, and the folders of its name and of what that leads to, are ours or root's."""
    real = path.resolve()
    for place, noun in ((real, "the file"), *((folder, "the folder") for folder in {path.parent, real.parent})):
        if why := distrust(place):
            hint = f"if you trust it, name it: kiribi -c {path} ls"
            raise KiribiError(Code.REFUSED, f"refusing {path}: {why.format(noun=noun)}.", hint=hint)


def network_disk(path: Path, mounts: str | None = None) -> str | None:
    """Name the file system `path` is or would be on if it is a network or FUSE one. `mounts`: text of /proc/mounts."""
    if mounts is None:
        try:
            mounts = Path("/proc/mounts").read_text("utf-8", "surrogateescape")
        except OSError:
            return None  # no /proc, as on macOS: nothing to ask
    place, best, kind = os.path.realpath(path), "", ""
    for line in mounts.splitlines():
        _, mounted, name, *_ = [*line.split(" "), "", "", ""]
        point = _unescaped(mounted).rstrip("/")
        # Of two mounts on one point the later one is what is seen.
        if (place == point or place.startswith(point + "/")) and len(point) >= len(best):
            best, kind = point, name
    return kind if kind in _NETWORK or kind.startswith("fuse.") else None


def network_sentence(path: Path, kind: str) -> str:
    return f"{path} is on a {kind} file system, where SQLite loses data; for several hosts kiribi will use PostgreSQL"


def _named(path: Path, origin: str) -> Path:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist" if not path.exists() else "is no file"
        raise KiribiError(Code.CONFIG, f"{path} ({origin}) {what}", hint="kiribi init writes a jobs.toml")
    return Path(os.path.abspath(path))  # noqa: PTH100  (see above)


def _database_named(flag: str | None, env: Mapping[str, str], config: Config) -> tuple[str, str]:
    if flag:
        return flag, "--db"
    if env.get("KIRIBI_DB"):
        return env["KIRIBI_DB"], "KIRIBI_DB"
    if config.path is not None:
        if config.db:
            return config.db, f"db in {config.path}"
        return str(config.path.parent / ".kiribi" / "kiribi.db"), f"beside {config.path}"
    state = _xdg(env, "XDG_STATE_HOME", ".local/state")
    if state is None:
        sentence = "no database: there is no jobs.toml, and HOME is not set"
        raise KiribiError(Code.STORE, sentence, hint="name one: --db FILE")
    return str(state / "kiribi.db"), "XDG_STATE_HOME" if env.get("XDG_STATE_HOME") else "~/.local/state"


def _xdg(env: Mapping[str, str], variable: str, fallback: str) -> Path | None:
    # A relative path in an XDG variable is to be ignored, says the specification.
    named, home = env.get(variable, ""), env.get("HOME", "")
    if named.startswith("/"):
        return Path(named) / "kiribi"
    return Path(home) / fallback / "kiribi" if home.startswith("/") else None


def _url_refused(url: str, origin: str) -> KiribiError:
    scheme = url.partition(":")[0]
    if scheme in ("postgresql", "postgres"):
        sentence = f'{scheme}:// ({origin}) needs the extra "postgres", which this version does not have yet'
        return KiribiError(Code.USAGE, sentence, hint="name a file: --db .kiribi/kiribi.db")
    return KiribiError(Code.USAGE, f"{scheme}:// ({origin}) is no database kiribi knows", hint="name a file")


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
