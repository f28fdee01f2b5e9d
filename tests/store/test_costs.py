"""What enqueueing costs, counted: statements, not milliseconds."""

import pytest

from kiribi_cli.store import connect
from tests.store.hand import job


def statements(store, act):
    """Every execution of a statement while `act` runs, as text."""
    seen = []
    store._db.connection.set_trace_callback(seen.append)
    act()
    store._db.connection.set_trace_callback(None)
    # What statements do inside themselves is told as a comment.
    return [text for text in seen if not text.startswith("--")]


@pytest.mark.parametrize("value", [None, b"", b"\0hash"])
def test_the_driver_knows_how_to_bind_what_a_row_is_made_of_without_asking_the_value(value):
    # It raises for what it would have to ask: a detour through two attributes, for each value of each row.
    assert connect.driver.adapt(value) == value


def test_jobs_that_differ_in_their_payload_only_take_as_many_statements_as_one(store):
    one, many = (
        statements(store, lambda n=n: store.insert_alike(job(), [f'{{"n":{i}}}' for i in range(n)], now=1000))
        for n in (1, 500)
    )

    assert len(one) == len(many) <= 6


def test_other_jobs_take_a_statement_each_and_one_for_the_event_of_each_run_of_them(store):
    names = ["Import", "Import", "Mailer", "Mailer", "Import"]
    seen = statements(store, lambda: store.insert([job(name) for name in names * 20], now=1000))

    assert sum("INTO jobs" in text for text in seen) == 100
    assert sum("INTO events" in text for text in seen) == 41
    assert len(seen) - 141 <= 4


def test_one_job_takes_five_statements_its_transaction_included(store):
    assert len(statements(store, lambda: store.insert([job()], now=1000))) == 5
