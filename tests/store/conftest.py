"""The conformance suite: every test takes `store` and runs on each backend. A new backend is one more entry in BACKENDS."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kiribi_cli.store.sqlite import SqliteStore
from tests.invariants import check_databases
from tests.store.hand import Hand

Opener = Callable[[], Any]


def _sqlite(folder: Path) -> Opener:
    return lambda: SqliteStore.open(folder / "kiribi.db", create=True)


BACKENDS: dict[str, Callable[[Path], Opener]] = {"sqlite": _sqlite}


@pytest.fixture(params=sorted(BACKENDS))
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Open the same database once more: another connection, as another process would have."""
    opened = []
    opener = BACKENDS[request.param](tmp_path)

    def open_another() -> Any:
        opened.append(opener())
        return opened[-1]

    yield open_another
    for store in opened:
        store.close()
    if request.node.get_closest_marker("damages") is None:
        check_databases([tmp_path / "kiribi.db"])


@pytest.fixture
def store(open_store: Opener) -> Any:
    return open_store()


@pytest.fixture
def hand(store: Any) -> Hand:
    return Hand(store)
