"""Older databases come to the schema of today; nothing is lost on the way, and nobody else is disturbed."""

import sqlite3
from pathlib import Path

import pytest

from kiribi_cli.errors import KiribiError
from kiribi_cli.store import connect, migrate
from kiribi_cli.store.database import Database
from kiribi_cli.store.insert import insert_jobs
from kiribi_cli.store.migrate import Step, plan
from kiribi_cli.store.sqlite import SqliteStore
from tests.data import databases
from tests.store.hand import Hand, job

FIRST = databases.schema(1)
STEPS = (Step(2, "add a note", "ALTER TABLE jobs ADD COLUMN note TEXT;\nCREATE INDEX notes ON jobs (note);"),)


def shape(connection):
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name").fetchall()
    return [(kind, name, table, " ".join((sql or "").split())) for kind, name, table, sql in rows]


def from_script(*scripts):
    connection = connect.driver.connect(":memory:", isolation_level=None)
    for script in scripts:
        migrate.run_script(connection, script)
    return shape(connection)


@pytest.fixture
def old(tmp_path):
    path = str(tmp_path / "kiribi.db")
    Path(path).touch()
    connection = connect.connect(path)
    connection.execute("PRAGMA journal_mode=WAL").fetchall()
    migrate.run_script(connection, FIRST)
    connection.execute(f"PRAGMA application_id={connect.APPLICATION_ID}")
    connection.execute("PRAGMA user_version=1")
    insert_jobs(connection, [job(), job()], 1)
    yield connection
    connection.close()


def test_the_first_schema_and_all_migrations_give_exactly_the_schema_of_today(tmp_path):
    today = (Path(migrate.__file__).parent / "sql" / "schema.sql").read_text()

    assert from_script(FIRST, *(step.script for step in migrate.steps())) == from_script(today)


def test_the_migrations_lead_from_the_first_version_to_this_one():
    assert [step.version for step in plan(1, migrate.steps())] == list(range(2, connect.SCHEMA_VERSION + 1))


def test_a_plan_has_every_step_or_is_refused():
    two, three = Step(2, "", ""), Step(3, "", "")

    assert plan(1, (two, three), 3) == (two, three)
    assert plan(2, (two, three), 3) == (three,)
    assert plan(3, (two, three), 3) == ()
    with pytest.raises(ValueError, match="no way from schema 1 to 3"):
        plan(1, (three,), 3)


def test_migrating_keeps_the_jobs_and_a_backup_beside_it(tmp_path, old):
    path = str(tmp_path / "kiribi.db")
    kept = migrate.upgrade(old, path, STEPS, 2)

    assert old.execute("SELECT count(*), count(note) FROM jobs").fetchone() == (2, 0)
    assert migrate.version_of(old) == 2
    assert kept == path + ".v1-backup"
    assert Path(kept).stat().st_mode & 0o777 == 0o600
    backup = SqliteStore.open(kept, create=False)
    assert backup.job(2, now=1) is not None
    backup.close()


def test_a_migration_that_fails_changes_nothing(tmp_path, old):
    broken = (Step(2, "broken", STEPS[0].script + "\nCREATE TABLE jobs (x);"),)
    before = shape(old)
    with pytest.raises(sqlite3.Error if connect.driver is sqlite3 else connect.driver.Error):
        migrate.upgrade(old, str(tmp_path / "kiribi.db"), broken, 2)

    assert shape(old) == before
    assert migrate.version_of(old) == 1


def test_migrating_twice_is_migrating_once(tmp_path, old):
    path = str(tmp_path / "kiribi.db")
    migrate.upgrade(old, path, STEPS, 2)

    assert migrate.upgrade(old, path, STEPS, 2) is None


def test_nothing_is_migrated_under_a_living_worker(tmp_path, old):
    store = SqliteStore(Database(old, str(tmp_path / "kiribi.db")))
    hand = Hand(store, "web1:1")
    with pytest.raises(KiribiError, match="worker web1:1 of the older kiribi is still running"):
        migrate.upgrade(old, store.path, STEPS, 2)
    hand.die()

    assert migrate.version_of(old) == 1
    assert migrate.upgrade(old, store.path, STEPS, 2)


def test_a_trigger_in_a_migration_is_one_statement():
    script = """
    CREATE TABLE a (x); CREATE TABLE b (x);
    CREATE TRIGGER t AFTER INSERT ON a BEGIN
      INSERT INTO b VALUES (new.x);
      INSERT INTO b VALUES (new.x + 1);
    END;
    -- a comment; with a semicolon
    INSERT INTO a VALUES (1);
    """
    connection = connect.driver.connect(":memory:", isolation_level=None)
    migrate.run_script(connection, script)

    assert connection.execute("SELECT count(*) FROM b").fetchone() == (2,)
