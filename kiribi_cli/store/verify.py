"""Whether the database is sound: the invariants of semantics.md, as they must hold after every commit.

Everything is read in one transaction, so a database in use is looked at as of one moment.
"""

from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path

from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.store import migrate, trouble
from kiribi_cli.store.audit import Counted, audit
from kiribi_cli.store.connect import driver
from kiribi_cli.store.database import Database
from kiribi_cli.store.sums import sums

# Of one kind; a thousand sentences say no more.
MOST = 100

# What must be so, as statements that find what is not, and how to say it.
_RULES = (
    ("running_without_attempt", "job {} is running, but has no live attempt"),
    ("same_claim", "attempt {} is the claim of several jobs: {}"),
    ("broken_status", "job {} is {}, and its other columns contradict that"),
    ("cancelled_but_waits", "job {} was cancelled while it ran, and is {}"),
    ("lane_of_nobody", "job {} waits for a kiribi run ({}) that is over"),
    ("strange_lane", "job {} stands in the lane {!r}, where nobody looks for a {}"),
    ("broken_hold", "job {} ({}) holds a unique key that it should have let go"),
    ("lost_hold", "job {} ({}) does not hold its unique key"),
    ("double_hold", "jobs {} hold the same unique key"),
    ("worker_unknown", "job {} is running on worker {}, which is not registered"),
    ("ids_ahead", "{} go up to {}, but ids are given away from {}: one would be used twice"),
    ("broken_json", "job {} holds text that is not the JSON it should be (payload, tags, options, result)"),
    ("broken_details", "the details of event {} are not JSON"),
    ("broken_definitions", "the published definition {} contradicts itself"),
    ("strange_run", "event {} does not hold as many attempts as it says"),
)


def verify(db: Database) -> Iterator[str]:
    """Read everything and say what is broken; silent when all is well. Not checked further where it cannot be read."""
    try:
        with db.snapshot():
            yield from islice(_whole(db), MOST)
            lacking = list(_schema(db))
            yield from lacking
            if any(sentence.startswith("the table") for sentence in lacking):
                return
            for name, sentence in _RULES:
                for row in db.rows(f"house.{name}"):
                    yield sentence.format(*row)
            yield from _order(db)
            counted = Counted(complete=bool(db.value("house.complete_history")))
            yield from _at_most(audit(db, counted))
            yield from _at_most(sums(db, counted))
    except trouble.ERRORS as error:
        told = trouble.explain(error, db.path)
        yield told.message if told else f"SQLite: {error}"
    except KiribiError as error:
        if error.code is not Code.STORE:
            raise
        yield error.message


def _whole(db: Database) -> Iterator[str]:
    for (line,) in db.connection.execute(f"PRAGMA integrity_check({MOST:d})").fetchall():
        if line != "ok":
            yield f"SQLite: {line}"


def _order(db: Database) -> Iterator[str]:
    for before, begin, seq in db.rows("house.events_order"):
        if begin > before:
            yield f"events {before + 1} to {begin} are missing"
        else:
            yield f"event {seq} overlaps the one before it"


def _schema(db: Database) -> Iterator[str]:
    """Compare with what this version makes. Tables, views and indexes of somebody else do no harm; triggers may."""
    ours, found = _made(), _objects(db.connection)
    for key, (table, sql) in ours.items():
        kind, name = key
        if key not in found:
            yield f"the {kind} {name} is missing"
        elif found[key][1] != sql:
            yield f"the {kind} {name} is not what this kiribi makes of it (on {table})"
    tables = {name for kind, name in ours if kind in ("table", "view")}
    for key, (table, _) in found.items():
        if key[0] == "trigger" and key not in ours and table in tables:
            yield f"the trigger {key[1]} on {table} is not of kiribi: what it does, nobody knows"


@cache
def _made() -> dict[tuple[str, str], tuple[str, str]]:
    connection = driver.connect(":memory:", isolation_level=None)
    try:
        script = Path(migrate.__file__).parent / "sql" / "schema.sql"
        migrate.run_script(connection, script.read_text("utf-8"))
        return _objects(connection)
    finally:
        connection.close()


def _objects(connection: driver.Connection) -> dict[tuple[str, str], tuple[str, str]]:
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    return {(kind, name): (table, " ".join(sql.split())) for kind, name, table, sql in rows}


def _at_most(sentences: Iterator[str]) -> Iterator[str]:
    yield from islice(sentences, MOST)
    if next(sentences, None) is not None:
        yield f"… and more: only the first {MOST} of these are listed"
