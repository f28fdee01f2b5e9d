"""Records behave as the standard dataclasses do, wherever kiribi could notice."""

import dataclasses
import subprocess
import sys
from typing import Any

import pytest

from kiribi_cli.core import records

pytestmark = pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="from 3.14 on records are the standard dataclasses themselves"
)


def defined_by(module: Any) -> Any:
    """The same classes, made by one module or the other."""

    class Made:
        @module.dataclass(frozen=True, slots=True)
        class Point:
            x: int
            y: int = 2
            tags: tuple[str, ...] = ()
            seen: list[int] = module.field(default_factory=list, compare=False, repr=False)

            def moved(self, by: int) -> "Any":
                return module.replace(self, x=self.x + by)

        @module.dataclass(slots=True)
        class Tally:
            rows: list[int] = module.field(default_factory=list)
            total: int = 0

            def __post_init__(self) -> None:
                self.total += 1

        @module.dataclass(frozen=True, slots=True, kw_only=True)
        class Named:
            a: int
            b: int = 0

        @module.dataclass(frozen=True, slots=True)
        class Nothing:
            """A case without data."""

    return Made


@pytest.fixture(params=[dataclasses, records], ids=["standard", "records"])
def made(request: pytest.FixtureRequest) -> Any:
    return defined_by(request.param)


@pytest.fixture(params=[dataclasses, records], ids=["standard", "records"])
def module(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_fields_are_given_by_place_by_name_or_by_default(made):
    point = made.Point(1, tags=("a",))

    assert (point.x, point.y, point.tags, point.seen) == (1, 2, ("a",), [])
    assert made.Point(1).seen is not made.Point(1).seen
    assert made.Named(a=1).b == 0
    assert made.Nothing() == made.Nothing()


@pytest.mark.parametrize(("name", "arguments", "named"), [
    ("Point", (), {}), ("Point", (1, 2, (), [], 5), {}), ("Point", (1,), {"z": 1}), ("Point", (1,), {"x": 1}), ("Named", (1,), {}),
])  # fmt: skip
def test_wrong_arguments_are_refused_also_the_second_time(made, name, arguments, named):
    for _ in range(2):
        with pytest.raises(TypeError):
            getattr(made, name)(*arguments, **named)


def test_what_is_frozen_can_be_hashed_and_not_changed(made):
    point = made.Point(1)

    assert hash(point) == hash(made.Point(1))
    assert len({point, made.Point(1), made.Point(2)}) == 2
    with pytest.raises(AttributeError):
        point.x = 5
    with pytest.raises(AttributeError):
        del point.x
    with pytest.raises((AttributeError, TypeError)):
        point.other = 5
    assert point.x == 1


def test_what_is_not_frozen_can_be_changed_and_not_hashed(made):
    tally = made.Tally()
    tally.total += 1

    assert tally.total == 2
    with pytest.raises(TypeError):
        hash(tally)
    with pytest.raises(AttributeError):
        tally.other = 5


def test_equal_are_those_of_one_class_with_equal_fields(made):
    assert made.Point(1, seen=[1]) == made.Point(1, seen=[2])
    assert made.Point(1) != made.Point(2)
    assert made.Point(1) != (1, 2, (), [])
    assert made.Tally() != made.Point(1)


def test_they_are_shown_alike():
    ours, standard = defined_by(records), defined_by(dataclasses)

    assert repr(ours.Point(1)) == repr(standard.Point(1))
    assert repr(ours.Named(a=1)) == repr(standard.Named(a=1))
    assert repr(ours.Nothing()) == repr(standard.Nothing())
    assert ours.Point.__qualname__ == standard.Point.__qualname__
    assert ours.Nothing.__doc__ == standard.Nothing.__doc__


def test_patterns_take_them_apart(made):
    match made.Point(1, 7):
        case made.Point(x, y):
            assert (x, y) == (1, 7)


def test_copies_with_changes(made, module):
    made = defined_by(module)
    point = made.Point(1, seen=[3])

    assert point.moved(2) == made.Point(3)
    assert module.replace(point, y=9).seen is point.seen
    with pytest.raises(TypeError):
        module.replace(point, z=1)


def test_they_spread_into_dictionaries(module):
    made = defined_by(module)
    point = made.Point(1, tags=("a",), seen=[made.Named(a=1)])

    assert module.asdict(point) == {"x": 1, "y": 2, "tags": ("a",), "seen": [{"a": 1, "b": 0}]}
    assert module.is_dataclass(point)
    assert module.is_dataclass(made.Point)
    assert not module.is_dataclass(1)


def test_inheritance_and_missing_slots_are_refused():
    made = defined_by(records)

    with pytest.raises(TypeError, match="inherit"):
        records.dataclass(slots=True)(type("Below", (made.Point,), {"__annotations__": {"z": int}}))
    with pytest.raises(TypeError, match="slots"):
        records.dataclass(slots=False)


def test_the_standard_module_stays_away():
    """It loads `inspect`, and compiles six functions for every class."""
    program = (
        "import kiribi_cli.store.base, kiribi_cli.config.model, sys; print({'dataclasses', 'inspect'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
