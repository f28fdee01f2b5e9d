"""What enqueueing costs, counted: statements, not milliseconds."""

import pytest

from kiribi_cli.store import connect


@pytest.mark.parametrize("value", [None, b"", b"\0hash"])
def test_the_driver_knows_how_to_bind_what_a_row_is_made_of_without_asking_the_value(value):
    # It raises for what it would have to ask: a detour through two attributes, for each value of each row.
    assert connect.driver.adapt(value) == value
