"""One open database: statements by name, transactions, and the answer when the file is gone or wrong."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from operator import itemgetter
from typing import Any

from kiribi_cli.errors import KiribiError
from kiribi_cli.store import bell, connect, trouble
from kiribi_cli.store.connect import driver
from kiribi_cli.store.statements import statement

Row = tuple[Any, ...]
# Connections that must not be closed as long as we live: even being forgotten would close them.
_left_alone: list[driver.Connection] = []


class Database:
    """A connection and what belongs to it. Every statement is named (sql/FILE.sql), every value a parameter."""

    def __init__(self, connection: driver.Connection, path: str, *, durability: str = "full") -> None:
        self.connection = connection
        self.path = path
        self.durability = durability
        self.run_dir = connect.run_dir(path)
        # How long statements wait for other writers.
        self.patience_s = connect.BUSY_S
        self._identity = connect.identity(path)

    def rows(self, name: str, /, **values: Any) -> list[Row]:
        """Read all rows: so no statement keeps a lock or an old snapshot."""
        try:
            return self._patiently(statement(name), values).fetchall()
        except UnicodeEncodeError:
            # Bytes from a command line that are no text: nothing of that name can be in here.
            return []
        except trouble.ERRORS as error:
            raise self._raised(error) from error

    def row(self, name: str, /, **values: Any) -> Row | None:
        rows = self.rows(name, **values)
        return rows[0] if rows else None

    def value(self, name: str, /, **values: Any) -> Any:
        row = self.row(name, **values)
        return row[0] if row else None

    def pragma(self, name: str) -> Any:
        try:
            return self._patiently(f"PRAGMA {name}").fetchone()[0]
        except trouble.ERRORS as error:
            raise self._raised(error) from error

    def run(self, name: str, /, **values: Any) -> int:
        """Execute a writing statement within a transaction; answer how many rows it changed."""
        try:
            return self.connection.execute(statement(name), values).rowcount
        except UnicodeEncodeError:
            from kiribi_cli.core.printable import storable

            # A path, or a sentence that names one: better spelled out than a worker that dies of it.
            spelled = {key: storable(value) if isinstance(value, str) else value for key, value in values.items()}
            return self.connection.execute(statement(name), spelled).rowcount

    def run_many(self, name: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Execute a writing statement once for each row."""
        sql, values_of = by_position(name)
        return self.connection.executemany(sql, map(values_of, rows)).rowcount

    def run_tuples(self, name: str, rows: Iterable[Row]) -> int:
        """As `run_many`; the values stand in the order in which the statement first names them."""
        return self.connection.executemany(by_position(name)[0], rows).rowcount

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write: all or nothing, durable at the end."""
        self.check_identity()
        try:
            connect.begin(self.connection, self.run_dir, patience_s=self.patience_s)
            try:
                yield
                self.connection.execute("COMMIT")
            finally:
                # Still open: something was raised. SQLite itself rolls back when the disk is full.
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
        except trouble.ERRORS as error:
            raise self._raised(error) from error
        if not connect.SAFE:
            connect.checkpoint_defensively(self.path, self.connection, durability=self.durability)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read several statements of one moment. Keep it short: the WAL cannot be reused meanwhile."""
        try:
            self._patiently("BEGIN")
            try:
                yield
            finally:
                if self.connection.in_transaction:
                    self.connection.execute("COMMIT")
        except trouble.ERRORS as error:
            raise self._raised(error) from error

    def _patiently(self, sql: str, values: Any = ()) -> driver.Cursor:
        return connect.patiently(self.connection, sql, values, patience_s=self.patience_s)

    def _raised(self, error: Exception) -> KiribiError:
        return trouble.raised(error, self.path, patience_s=self.patience_s)

    def check_identity(self) -> None:
        """Refuse to write into a file that nobody will find any more."""
        try:
            found = os.stat(self.path)  # noqa: PTH116  (for every turn of every worker)
        except OSError:
            found = None
        # One of no bytes was emptied: SQLite takes it for busy, and would later write half of it anew.
        if found is None or (found.st_dev, found.st_ino) != self._identity or not found.st_size:
            raise trouble.replaced(self.path)

    def ring(self) -> None:
        bell.ring(self.run_dir)

    def close(self) -> None:
        """Close; but leave a file alone that is not ours any more: SQLite would write to it, and delete its WAL."""
        try:
            self.check_identity()
        except KiribiError:
            _left_alone.append(self.connection)
            return
        self.connection.close()


@cache
def by_position(name: str) -> tuple[str, Callable[[Mapping[str, Any]], Row]]:
    """Number the parameters of a statement: binding twenty of them by name costs as much as the row itself."""
    names: list[str] = []

    def place(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"?{names.index(match[1]) + 1}"

    sql = re.sub(r":([a-z_]+)", place, statement(name))
    if len(names) == 1:
        return sql, lambda row: (row[names[0]],)
    return sql, itemgetter(*names)
