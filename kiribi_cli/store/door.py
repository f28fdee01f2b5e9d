"""Tells the view `enqueue` (sql/schema.sql) which definitions there are, so that a job can be made with SQL alone."""

import json
from collections.abc import Sequence

from kiribi_cli.core.printable import storable
from kiribi_cli.core.published import Published
from kiribi_cli.store.database import Database


def publish(db: Database, config_path: str, rows: Sequence[Published]) -> bool:
    """Make these the definitions of one jobs.toml; answer whether anything was new.

    A name belongs to the file that published it last; what this file published before and names no more is gone.
    """
    names = json.dumps(sorted({row["job"] for row in rows}))
    # A path need not be UTF-8, a text in the database must be.
    config_path = storable(config_path)
    if _is_there(db, config_path, rows, names):
        return False
    with db.transaction():
        db.run("door.withdraw", config_path=config_path, jobs=names)
        db.run_many("door.publish", [{**row, "config_path": config_path} for row in rows])
    return True


def _is_there(db: Database, config_path: str, rows: Sequence[Published], names: str) -> bool:
    there = set(db.rows("door.published", config_path=config_path))
    if there != {tuple(row.values()) for row in rows}:
        return False
    return db.row("door.published_elsewhere", config_path=config_path, jobs=names) is None
