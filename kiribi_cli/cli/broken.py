"""A broken jobs.toml must not hide the history: where its database is can often still be said."""

import tomllib
from pathlib import Path


def database_of_broken(path: Path) -> str | None:
    """The database that a jobs.toml with mistakes names, or the usual one beside it; None if it is not there."""
    usual = path.parent / ".kiribi" / "kiribi.db"
    try:
        named = tomllib.loads(path.read_text("utf-8")).get("db")
    except (OSError, ValueError):
        named = None
    db = path.parent / named if isinstance(named, str) and "://" not in named else usual
    return str(db) if db.is_file() else None
