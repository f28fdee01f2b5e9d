"""Databases of every schema version there was, as kiribi of that time left them: SQL text, because a diff can be read.

Each folder also has the jobs.toml and the logs that were there, and what the kiribi of that time showed of it all.
"""

import contextlib
import shutil
import sqlite3
from pathlib import Path

DATA = Path(__file__).parent
VERSIONS = tuple(sorted(int(folder.name[1:]) for folder in DATA.glob("v[0-9]*")))


def put(version: int, folder: Path) -> Path:
    """Put database, logs and jobs.toml of a version into a folder, as they were; answer the path of the database."""
    data, state = DATA / f"v{version}", folder / ".kiribi"
    state.mkdir(mode=0o700)
    shutil.copytree(data / "logs", state / "logs")
    for log in (state / "logs").iterdir():
        log.chmod(0o600)
    (state / "logs").chmod(0o700)
    shutil.copy(data / "jobs.toml", folder / "jobs.toml")
    path = state / "kiribi.db"
    path.touch(mode=0o600)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # Durable without being asked to be: nobody cuts the power here.
        connection.execute("PRAGMA synchronous=OFF")
        connection.executescript((data / "kiribi.sql").read_text("ascii"))
        connection.execute("PRAGMA journal_mode=WAL").fetchall()
    return path


def version_of(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def schema(version: int) -> str:
    """Give the statements that make an empty database of a version."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript((DATA / f"v{version}" / "kiribi.sql").read_text("ascii"))
        rows = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")
        return "".join(f"{sql};\n" for (sql,) in rows)
