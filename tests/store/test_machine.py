"""Whatever happens, the store does what the model says: machine.py does it, model.py says it."""

import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from kiribi_cli.store.sqlite import SqliteStore
from tests.store.machine import Life

Opener = Callable[[], Any]


def sqlite_places(folder: Path) -> Iterator[Opener]:
    """One fresh database after the other: copies of one that is empty. Durability is tested elsewhere, at its price."""
    SqliteStore.open(folder / "empty.db", create=True).close()
    for number in count():
        place = folder / str(number)
        place.mkdir()
        shutil.copy(folder / "empty.db", place / "kiribi.db")

        def open_here(path: Path = place / "kiribi.db") -> Any:
            store = SqliteStore.open(path, create=False)
            store._db.connection.execute("PRAGMA synchronous=OFF")
            return store

        yield open_here


BACKENDS = {"sqlite": sqlite_places}


def live(places: Iterator[Opener], examples: int, *, number: int | None = None, **options: Any) -> None:
    """Live so many lives, each in a place of its own; raises what one of them found. `number`: always the same lives."""

    def life() -> Life:
        return Life(next(places))

    run_state_machine_as_test(
        life if number is None else seed(number)(life),
        settings=settings(
            max_examples=examples, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), **options
        ),
    )  # fmt: skip


@pytest.mark.parametrize("backend", sorted(BACKENDS))
@pytest.mark.parametrize("examples", [60, pytest.param(250, marks=pytest.mark.slow)])
def test_whatever_happens_the_store_does_what_the_model_says(tmp_path, backend, examples):
    live(BACKENDS[backend](tmp_path), examples)
