"""Everything in the database as records, and back: the way to another database."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.partial import partial
from kiribi_cli.store import connect, migrate, trouble
from kiribi_cli.store.connect import SCHEMA_VERSION, driver
from kiribi_cli.store.database import Database

FORMAT = "kiribi"
TABLES = ("jobs", "attempts", "events", "workers", "stats", "histograms")
_BLOBS = ("unique_hash", "unique_hold")
_AT_ONCE = 1000


def export(db: Database) -> Iterator[dict[str, Any]]:
    """Stream a head, then every row of every table, as of one moment: from a copy, so that nobody waits for us."""
    try:
        with partial(Path(f"{db.path}.export")) as copy:
            migrate.copy(db.connection, str(copy))
            with closing(connect.connect(str(copy), read_only=True)) as source:
                yield {"kiribi": FORMAT, "schema": SCHEMA_VERSION, "counters": _counters(source)}
                for table in TABLES:
                    yield from _records(source, table)
    except trouble.ERRORS as error:
        raise trouble.raised(error, db.path) from error


def _counters(source: driver.Connection) -> dict[str, int]:
    return dict(source.execute("SELECT name, seq FROM sqlite_sequence ORDER BY name").fetchall())


def _records(source: driver.Connection, table: str) -> Iterator[dict[str, Any]]:
    names = _columns(source, table)
    cursor = source.execute(_selecting(table))
    while rows := cursor.fetchmany(500):
        for row in rows:
            yield {"table": table} | {
                name: value.hex() if isinstance(value, bytes) else value for name, value in zip(names, row, strict=True)
            }


def _columns(connection: driver.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def _selecting(table: str) -> str:
    if table not in TABLES:
        raise ValueError(table)
    return f"SELECT * FROM {table}"  # noqa: S608  (one of six names that stand above)


def import_(db: Database, records: Iterable[dict[str, Any]]) -> int:
    """Store exported records in an empty database, all or nothing; answer how many rows. Else REFUSED."""
    stream = iter(records)
    head = next(stream, None)
    if head is None or head.get("kiribi") != FORMAT:
        raise _unreadable("it does not begin with the head line of `kiribi db export`")
    if head.get("schema") != SCHEMA_VERSION:
        raise _unreadable(f"it is of schema {head.get('schema')}, this kiribi knows {SCHEMA_VERSION}")
    rows = 0
    with db.transaction():
        if db.value("house.anything"):
            raise KiribiError(
                Code.REFUSED,
                f"{db.path} is not empty; import goes into an empty database only",
                hint="--db PATH names a new one",
            )
        while chunk := list(islice(stream, _AT_ONCE)):
            _insert(db, chunk)
            rows += len(chunk)
        _set_counters(db, head.get("counters"))
    return rows


def _insert(db: Database, records: list[dict[str, Any]]) -> None:
    known = {table: _columns(db.connection, table) for table in TABLES}
    for record in records:
        table = record.get("table")
        if not isinstance(table, str) or table not in known or set(record) - {"table"} != set(known[table]):
            raise _unreadable(f"a record is not of a table that this kiribi knows: {str(record)[:100]}")
        values = {name: _read(name, record[name]) for name in known[table]}
        try:
            db.connection.execute(_inserting(table, known[table]), values)
        except (
            driver.IntegrityError,
            driver.InterfaceError,
            driver.ProgrammingError,
            OverflowError,
            UnicodeError,
        ) as error:
            raise _unreadable(f"{error}: {str(record)[:100]}") from error


def _read(name: str, value: Any) -> Any:
    if name not in _BLOBS or value is None:
        return value
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        raise _unreadable(f"{name} is not hexadecimal") from None


def _inserting(table: str, columns: list[str]) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    places = ", ".join(f":{name}" for name in columns)
    return f"INSERT INTO {table} ({names}) VALUES ({places})"  # noqa: S608  (names of our own schema)


def _set_counters(db: Database, counters: Any) -> None:
    """Ids that were given away once must not return, also when the newest rows had been deleted."""
    if not isinstance(counters, dict):
        raise _unreadable("its head line has no counters")
    for table, seq in counters.items():
        if table in TABLES and isinstance(seq, int) and abs(seq) < 2**63:
            db.run("house.add_counter", table=table, seq=seq)
            db.run("house.set_counter", table=table, seq=seq)


def _unreadable(what: str) -> KiribiError:
    return KiribiError(Code.STORE, f"this is no export that can be read: {what}", hint="kiribi db export writes one")
