"""The view `enqueue`: a job made with SQL alone is the job that `kiribi enqueue` would have made, or there is none.

Every promise is kept by the oldest SQLite that people have (Python's own module, 3.40 in Debian 12) and by ours.
"""

import json
import sqlite3
from contextlib import closing, contextmanager
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kiribi_cli.actions.enqueue import Caller, Recipes
from kiribi_cli.actions.request import Request
from kiribi_cli.config.publish import all_published
from kiribi_cli.config.read import read
from kiribi_cli.core import payload as payloads
from kiribi_cli.core.job import Status
from kiribi_cli.core.options import options_from
from kiribi_cli.core.unique import PLAIN_MAX
from kiribi_cli.errors import KiribiError
from kiribi_cli.store import connect
from kiribi_cli.store.base import UniqueTaken
from kiribi_cli.store.insert import insert_jobs
from kiribi_cli.store.sqlite import SqliteStore
from tests.data import databases
from tests.store.hand import Hand, statuses

JOBS = """
[defaults]
backoff = "3s"
[queues]
plain = {}
mail = { priority = 7, max_attempts = 9, timeout = "1m", expires = "2h", backoff = "1s" }
[jobs.Plain]
command = ["true"]
tags = ["a", "b"]
payload_max = "2kB"
[jobs.Mailer]
shell = "true"
queue = "mail"
max_attempts = 4
[jobs.Keyed]
command = ["true"]
unique = "to {payload.to}/{payload.rows.0.id}: {{payload.x}}"
[jobs.Strict]
command = ["true"]
unique = { key = "{payload}", on_conflict = "error", while = "pending" }
[jobs.Hourly]
command = ["true"]
unique = { key = "{payload.n}", while = "1h" }
[jobs.Whole]
command = ["true"]
unique = true
[jobs.Typed]
python = "math:prod"
params = { name = "string", times = { type = "integer", default = 1 } }
"""
CALLER = Caller("cli", "ann@host", None, "/", {}, UTC)
DRIVERS = [sqlite3] if connect.driver is sqlite3 else [sqlite3, connect.driver]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "jobs.toml"
    path.write_text(JOBS)
    return read(path)


@pytest.fixture(params=DRIVERS, ids=lambda driver: driver.sqlite_version)
def driver(request):
    return request.param


@pytest.fixture
def store(store, config):
    store.publish(str(config.path), all_published(config))
    return store


@pytest.fixture
def sql(store, driver):
    """A program of somebody else's, in another language for all we know."""
    with closing(driver.connect(store.path, isolation_level=None)) as connection:
        yield connection


def put(connection, job="Plain", payload=None, **columns):
    """Insert into the view and answer the id, or 0 if there is no new job."""
    before = connection.execute("SELECT coalesce(max(id), 0) FROM v_jobs").fetchone()[0]
    values = {"job": job, "payload": payload, **columns}
    names = ", ".join(values)
    connection.execute(f"INSERT INTO enqueue ({names}) VALUES ({', '.join('?' * len(values))})", [*values.values()])
    after = connection.execute("SELECT coalesce(max(id), 0) FROM v_jobs").fetchone()[0]
    return after if after > before else 0


def made(config, job, payload, *, queue=None, priority=None, unique_key=None, now=1_000_000):
    """The row that `kiribi enqueue` would make."""
    request = Request(job=job, queue=queue, priority=priority, unique=unique_key)
    return Recipes(config, CALLER).of(request).job(payload, now=now)


def row_of(connection, id_):
    """A job as stored, but for what differs between two doors and two moments."""
    cursor = connection.execute("SELECT * FROM jobs WHERE id = ?", [id_])
    row = dict(zip((column[0] for column in cursor.description), cursor.fetchone(), strict=True))
    created = row.pop("created_at")
    row["run_at"] -= created
    row["expires_at"] = row["expires_at"] and row["expires_at"] - created
    if (row["unique_until"] or "").isdigit():
        row["unique_until"] = int(row["unique_until"]) - created
    options = options_from(row.pop("options"))
    for name in ("id", "origin_kind", "origin_by"):
        del row[name]
    return row | {"timeout_ms": options.timeout_ms, "backoff": options.backoff}


# -- the same job by both doors

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT | st.sampled_from(["to", "rows", "n"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
KEYED = st.fixed_dictionaries(
    {
        "to": TEXT | st.integers() | st.booleans() | VALUES,
        "rows": st.lists(st.fixed_dictionaries({"id": SCALARS | TEXT})),
    },
    optional={"n": st.integers(-99, 99)},
)
DUMPED = st.builds(
    lambda value, ascii_, indent: json.dumps(value, ensure_ascii=ascii_, indent=indent),
    VALUES | KEYED, st.booleans(), st.none() | st.just(1),
)  # fmt: skip
# What goes wrong, in pieces that meet each other in every order.
PIECES = [
    '"', "\\", "\\\\", "\\u", "\\ud83d", "\\ude00", "\\uD800", "\\uDfff", "\\ud7ff", "\\u0000", "\\u0061", '"a"', '"a":1', "{", "}",
    "[", "]", ",", ":", "1", "-", ".5", "e5", "0", "1e400", "9223372036854775807", "9223372036854775808", "-9223372036854775809",
    "NaN", "Infinity", "null", "true", " ", "\n", "\t", "\x00", "\x1f", "\ufeff", "\ufffd", "😀", "'", "//", "[" * 64, "]" * 64, "x" * 999,
]  # fmt: skip
BROKEN = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
STRINGS = st.lists(st.sampled_from(PIECES), max_size=5).map(lambda some: f'{{"to": "{"".join(some)}", "n": 1}}')


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    job=st.sampled_from(["Plain", "Mailer", "Keyed", "Strict", "Hourly", "Whole", "Nobody"]),
    payload=st.none() | DUMPED | BROKEN | STRINGS,
    queue=st.sampled_from([None, None, "default", "plain", "mail", "hooks", "nowhere"]),
    priority=st.none() | st.integers(-1002, 1002),
    unique_key=st.none() | TEXT,
)
def test_both_doors_make_the_same_job_or_none(both_doors, job, payload, queue, priority, unique_key):
    theirs, ours = both_doors(job, payload, queue=queue, priority=priority, unique_key=unique_key)

    if theirs == ours or (isinstance(theirs, str) and isinstance(ours, str)):
        return
    # What SQL cannot do: it says so, or leaves it to the check before the job starts.
    if isinstance(theirs, str):
        assert theirs == "the unique key cannot be made of this payload here: give unique_key"
        assert not is_plain_key(job, payload)
    else:
        assert isinstance(ours, str), {
            name: (theirs[name], ours[name]) for name in theirs if theirs[name] != ours[name]
        }
        assert "are both $KIRIBI_ARG_" in ours


@pytest.fixture
def both_doors(sql, config):
    """Make a job by each door, in passing; answer their rows, or how they refused."""

    def ask(job, payload, **asked):
        with in_passing(sql):
            try:
                theirs = row_of(sql, put(sql, job, payload, **asked))
            except (sqlite3.IntegrityError, connect.driver.IntegrityError) as error:
                theirs = str(error)
        with in_passing(sql):
            try:
                row = made(config, job, payload, **asked)
                ours = row_of(sql, insert_jobs(sql, [row], row["created_at"])[0][0])
            except KiribiError as error:
                ours = error.message
        return theirs, ours

    return ask


@contextmanager
def in_passing(connection):
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def is_plain_key(job, payload):
    """Whether a key is made of nothing but text, integers, true and false."""
    if job == "Whole":
        return False
    value = payloads.parse(payload)
    parts = {
        "Keyed": lambda: (value["to"], value["rows"][0]["id"]), "Strict": lambda: (value,), "Hourly": lambda: (value["n"],),
    }[job]()  # fmt: skip
    return all(isinstance(part, (str, int)) for part in parts)


def test_the_event_is_the_same_too(store, sql, config):
    put(sql, "Mailer", "{}")
    store.insert([made(config, "Mailer", "{}")], now=1_000_000)
    theirs, ours = store.events()

    assert (theirs.type, theirs.job_id, theirs.job, theirs.to_status) == ("job.enqueued", 1, "Mailer", "pending")
    assert (ours.type, ours.job_id, ours.job, ours.to_status) == ("job.enqueued", 2, "Mailer", "pending")
    assert list(store.events(job_id=1)) == [theirs]
    assert list(store.verify()) == []


def test_it_says_that_it_came_by_sql(store, sql):
    id_ = put(sql)

    assert store.job(id_, now=0).origin_kind == "sql"
    assert options_from(store.job(id_, now=0).options).unchecked


# -- what is refused, and with which sentence


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"job": "Nobody"}, "no such job definition"),
        ({"job": None}, "no such job definition"),
        ({"job": ""}, "no such job definition"),
        ({"job": 5}, "no such job definition"),
        ({"queue": "nowhere"}, "no such queue"),
        ({"queue": ""}, "no such queue"),
        ({"priority": 1001}, "priority must be an integer"),
        ({"priority": -(2**63)}, "priority must be an integer"),
        ({"priority": "5"}, "priority must be an integer"),
        ({"priority": 1.5}, "priority must be an integer"),
        ({"unique_key": ""}, "unique_key must be text"),
        ({"unique_key": 7}, "unique_key must be text"),
        ({"unique_key": "é" * PLAIN_MAX}, "the unique key is too long"),
        ({"payload": 42}, "JSON as text"),
        ({"payload": b"{}"}, "JSON as text"),
        ({"payload": ""}, "the payload is not JSON"),
        ({"payload": "{user: 42}"}, "the payload is not JSON"),
        ({"payload": "NaN"}, "the payload is not JSON"),
        ({"payload": '"' + "x" * 2000 + '"'}, "too big for payload_max"),
        ({"payload": '"' + "é" * 1000 + '"'}, "too big for payload_max"),
        ({"payload": '"\\u0000"'}, "holds NUL"),
        ({"payload": '{"\\udead": 1}'}, "half of a surrogate pair"),
        ({"payload": '{"a": {"b": 1, "\\u0062": 2}}'}, "a key twice"),
        ({"payload": "[-9223372036854775809]"}, "beyond 64 bits"),
        ({"payload": "1e999"}, "beyond 64 bits"),
        ({"payload": "[" * 65 + "]" * 65}, "nested deeper than 64"),
        ({"run_at": "tomorrow"}, "run_at must be text"),
        ({"run_at": "now"}, "run_at must be text"),
        ({"run_at": "12:00"}, "run_at must be text"),
        ({"run_at": "2460000.5"}, "run_at must be text"),
        ({"run_at": "2027-02-30 12:00:00"}, "run_at must be text"),
        ({"run_at": 1_800_000_000}, "run_at must be text"),
        ({"job": "Whole", "payload": "{}"}, "give unique_key"),
        ({"job": "Hourly", "payload": "{}"}, "give unique_key"),
        ({"job": "Hourly"}, "give unique_key"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence_and_nothing_is_written(store, sql, driver, columns, sentence):
    with pytest.raises(driver.IntegrityError, match=sentence):
        put(sql, **columns)

    assert statuses(store) == {}
    assert list(store.events()) == []


def test_of_many_rows_all_are_stored_or_none(store, sql, driver):
    sql.execute("CREATE TEMP TABLE mine (payload)")
    sql.execute("INSERT INTO mine VALUES ('1'), ('2'), ('{')")
    with pytest.raises(driver.IntegrityError, match="not JSON"):
        sql.execute("INSERT INTO enqueue (job, payload) SELECT 'Plain', payload FROM mine")
    after_the_refusal = statuses(store)
    sql.execute("INSERT INTO enqueue (job, payload) SELECT 'Plain', payload FROM mine WHERE payload <> '{'")

    assert after_the_refusal == {}
    assert [store.job(id_, now=0).payload for id_ in sorted(statuses(store))] == ["1", "2"]
    assert [event.job_id for event in store.events()] == sorted(statuses(store))


def test_depth_counts_what_is_nested_and_not_what_stands_side_by_side(sql):
    assert put(sql, payload="[" + ",".join(["[]"] * 200) + "]")
    assert put(sql, payload="[" * 64 + "]" * 64)
    assert put(sql, payload='"' + "[" * 100 + '"')


def test_a_payload_is_kept_byte_for_byte(store, sql):
    text = ' {"b": 1.00, "a" : "\\u00e9\\ud83d\\ude00/\ufffd" }\n'

    assert store.job(put(sql, payload=text), now=0).payload == text


# -- when


@pytest.mark.parametrize(
    ("run_at", "at"),
    [
        ("2100-01-31 02:30:00", "2100-01-31T02:30:00Z"),
        ("2100-01-31T02:30:00Z", "2100-01-31T02:30:00Z"),
        ("2100-01-31T02:30:00.250+01:00", "2100-01-31T01:30:00.250Z"),
        ("2100-01-31 02:30", "2100-01-31T02:30:00Z"),
        ("2100-01-31", "2100-01-31T00:00:00Z"),
    ],
)
def test_a_time_is_read_as_utc_or_with_its_offset(store, sql, run_at, at):
    id_ = put(sql, run_at=run_at)

    assert store.job(id_, now=0).run_at == round(datetime.fromisoformat(at).timestamp() * 1000)
    assert statuses(store, now=0)[id_] == Status.SCHEDULED


def test_what_was_due_in_the_past_is_due_now_and_stands_in_line(store, sql):
    job = store.job(put(sql, run_at="2001-01-01 00:00:00"), now=0)

    assert job.run_at == job.created_at
    assert job.status is Status.PENDING


# -- unique keys


def test_a_key_that_another_door_holds_is_respected_and_the_other_way_round(store, sql, config):
    (ours,) = store.insert([made(config, "Hourly", '{"n": 1}')], now=1)
    store.insert([made(config, "Keyed", '{"to": "x", "rows": [{"id": true}]}', unique_key="k")], now=1)

    assert put(sql, "Keyed", '{"to": "y"}', unique_key="k") == 0
    id_ = put(sql, "Hourly", '{"n": 2}')
    assert store.insert([made(config, "Hourly", '{"n": 2}')], now=1)[0].id == id_
    assert ours.id == 1
    assert len(list(store.events())) == 3
    assert list(store.verify()) == []


def test_a_period_that_is_over_lets_the_key_go(store, sql, config):
    store.insert([made(config, "Hourly", '{"n": 1}', now=1000)], now=1000)

    second = put(sql, "Hourly", '{"n": 1}')
    assert second > 1
    assert put(sql, "Hourly", '{"n": 1}') == 0
    assert list(store.verify()) == []


def test_a_definition_that_wants_an_error_gets_one(store, sql, driver, config):
    put(sql, "Strict", "7")
    with pytest.raises(driver.IntegrityError, match="the unique key is held by another job"):
        put(sql, "Strict", "7")

    assert put(sql, "Strict", "8")
    with pytest.raises(UniqueTaken):
        store.insert([made(config, "Strict", "8")], now=1)


@pytest.mark.parametrize("verb", ["INSERT OR REPLACE", "INSERT OR IGNORE", "REPLACE", "INSERT OR FAIL"])
def test_no_way_to_say_insert_takes_the_place_of_a_holder(store, sql, verb):
    holder = put(sql, "Hourly", '{"n": 1}')
    sql.execute(f"{verb} INTO enqueue (job, payload) VALUES ('Hourly', '{{\"n\": 1}}')")

    assert list(statuses(store)) == [holder]


def test_a_key_is_free_again_when_its_job_has_started(store, sql):
    first = put(sql, "Strict", "1")
    Hand(store).claim(now=10**13, lanes=("Strict",))

    assert put(sql, "Strict", "1") > first


# -- in somebody's own transaction


@pytest.fixture
def app(store, driver, tmp_path):
    """An application with a database of its own, to which ours is attached."""
    with closing(driver.connect(tmp_path / "app.db", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        # A table of the same name must not be mistaken for ours.
        connection.execute("CREATE TABLE jobs (id)")
        connection.execute("CREATE TABLE definitions (job)")
        connection.execute("ATTACH ? AS kiribi", [store.path])
        yield connection


def test_a_transaction_that_is_rolled_back_leaves_no_job(store, app):
    app.execute("BEGIN IMMEDIATE")
    app.execute("INSERT INTO orders DEFAULT VALUES")
    app.execute("INSERT INTO kiribi.enqueue (job, payload, unique_key) VALUES ('Plain', '{}', 'x')")
    app.execute("ROLLBACK")

    assert statuses(store) == {}
    assert store.last_seq() == 0


def test_a_transaction_that_commits_has_both_and_can_tell_the_id(store, app):
    app.execute("BEGIN IMMEDIATE")
    app.execute("INSERT INTO orders DEFAULT VALUES")
    app.execute("INSERT INTO kiribi.enqueue (job, payload) VALUES ('Plain', json_object('order', last_insert_rowid()))")
    (id_,) = app.execute("SELECT max(id) FROM kiribi.v_jobs").fetchone()
    app.execute("COMMIT")

    assert store.job(id_, now=0).payload == '{"order":1}'
    assert app.execute("SELECT count(*) FROM main.jobs").fetchone() == (0,)


def test_a_refusal_leaves_the_rest_of_the_transaction_alone(store, app, driver):
    app.execute("BEGIN IMMEDIATE")
    app.execute("INSERT INTO kiribi.enqueue (job) VALUES ('Plain')")
    with pytest.raises(driver.IntegrityError):
        app.execute("INSERT INTO kiribi.enqueue (job) VALUES ('Nobody')")
    app.execute("COMMIT")

    assert len(statuses(store)) == 1


# -- what is published


def test_reading_the_view_lists_what_can_be_enqueued_with_its_defaults(sql):
    listed = sql.execute("SELECT job, queue, priority FROM enqueue ORDER BY job").fetchall()

    assert [name for name, _, _ in listed] == ["Hourly", "Keyed", "Mailer", "Plain", "Strict", "Typed", "Whole"]
    assert ("Mailer", "mail", 7) in listed


def test_publishing_the_same_again_writes_nothing(store, config):
    before = store._db.connection.total_changes

    assert store.publish(str(config.path), all_published(config)) is False
    assert store._db.connection.total_changes == before


def test_a_definition_that_is_gone_from_its_file_is_gone_from_the_view(store, sql, config, driver):
    left = [row for row in all_published(config) if row["job"] != "Plain"]

    assert store.publish(str(config.path), left) is True
    with pytest.raises(driver.IntegrityError, match="no such job definition"):
        put(sql, "Plain")


def test_a_name_belongs_to_the_file_that_published_it_last_and_other_files_keep_theirs(store, sql, config):
    other = [{**row, "priority": 99} for row in all_published(config) if row["job"] == "Plain"]
    store.publish("/srv/other/jobs.toml", other)

    assert store.job(put(sql, "Plain"), now=0).priority == 99
    assert put(sql, "Mailer")
    assert store.publish(str(config.path), all_published(config)) is True
    assert store.job(put(sql, "Plain"), now=0).priority == 0


def test_a_store_of_todays_makes_the_view_and_one_of_the_first_version_gets_it(tmp_path):
    from pathlib import Path

    from kiribi_cli.store import migrate

    path = str(tmp_path / "old.db")
    Path(path).touch()
    old = connect.connect(path)
    old.execute("PRAGMA journal_mode=WAL").fetchall()
    migrate.run_script(old, databases.schema(1))
    old.execute(f"PRAGMA application_id={connect.APPLICATION_ID}")
    old.execute("PRAGMA user_version=1")
    old.execute(
        "INSERT INTO jobs (job, kind, status, lane, created_at, run_at, unique_key, unique_until, unique_hash, unique_hold)"
        " VALUES ('Hourly', 'command', 'pending', 'Hourly', 1, 1, '7', 'unfinished', x'00', x'00')"
    )
    old.close()
    store = SqliteStore.open(path, create=False)
    job = {"job": "Hourly", "kind": "command", "created_at": 2}
    from kiribi_cli.core.unique import unique_hash

    assert store.insert([{**job, "unique_key": "7", "unique_hash": unique_hash("Hourly", "7")}], now=2)[0].id == 1
    store.close()
