"""The next piece is worked out while the present one is in use; nothing else about it can be seen from outside."""

import sys
from collections.abc import Iterator
from threading import get_ident

import pytest

from kiribi_cli.actions.ahead import ahead


def test_results_come_in_order_from_another_thread() -> None:
    made = list(ahead(lambda n: (n, get_ident()), range(50)))

    assert [n for n, _ in made] == list(range(50))
    assert get_ident() not in {thread for _, thread in made}


def test_only_one_piece_is_taken_ahead() -> None:
    taken: list[int] = []

    def pieces() -> Iterator[int]:
        for n in range(20):
            taken.append(n)
            yield n

    ahead_by = [len(taken) - n for n, _ in enumerate(ahead(str, pieces()), 1)]

    assert ahead_by == [1] * 19 + [0]


def test_a_pause_brings_what_there_is() -> None:
    seen: list[str] = []
    told: list[list[str]] = []

    def pieces() -> Iterator[int | None]:
        yield from (1, 2, None)
        told.append(list(seen))
        yield from (None, 3)

    results = ahead(str, pieces())
    while (made := next(results, None)) is not None:
        seen.append(made)

    assert seen == ["1", "2", "3"]
    assert told == [["1", "2"]]


def test_what_goes_wrong_is_raised_in_the_place_of_its_piece() -> None:
    results = ahead(lambda n: 1 // n, [1, 0, 1])

    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_the_interpreter_is_left_as_it_was() -> None:
    before = sys.getswitchinterval()
    results = ahead(str, [1, 2, 3])
    next(results)
    results.close()  # type: ignore[attr-defined]

    assert sys.getswitchinterval() == before
