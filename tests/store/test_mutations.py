"""That the machine can fail: each fault of plants.py, planted alone, is found by it, within its quick budget."""

from collections.abc import Iterator

import pytest
from hypothesis import Phase

from kiribi_cli.store import connect
from tests.store.plants import PLANTS, Plant, planted, spoil
from tests.store.test_machine import Opener, live, sqlite_places

# Many short runs: those of one run are like each other. Always the same ones, so that what is found today is tomorrow.
RUNS = 30
EXAMPLES = 12
# Faults of the plant itself, and not what the machine has found.
NONE_OF_THESE = (connect.driver.ProgrammingError, NameError, TypeError, AttributeError)


@pytest.mark.slow
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_the_machine_finds_what_is_planted(tmp_path, plant: Plant):
    places = sqlite_places(tmp_path)
    next(places)
    connection = connect.driver.connect(tmp_path / "empty.db", isolation_level=None)
    spoil(connection, plant)
    connection.close()

    # What should have been refused and was not is told by an exception of pytest, which is none of Exception.
    with planted(plant), pytest.raises((Exception, pytest.fail.Exception)) as found:
        _live_many_lives(places)
    assert not isinstance(found.value, NONE_OF_THESE)


def _live_many_lives(places: Iterator[Opener]) -> None:
    for number in range(RUNS):
        live(places, EXAMPLES, number=number, database=None, phases=[Phase.generate], report_multiple_bugs=False)
