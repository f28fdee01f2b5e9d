"""Positions agree with tomllib: every key it finds has a place, and the text there is that key."""

import tomllib
from typing import Any

import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from kiribi_cli.config.positions import Position, locate

TRICKY = """\
# a = 1
a."b c".'d.e' = "x # no comment" # comment
multi = '''
[not.a.table]
''' # after
basic = \"\"\"a \\\"\"\" b\"\"\"\"\"
[t . "u"]  # header
v = [ 1, # one
  [2, "]"], { w = 3, x.y = '}' },
]
when = 2026-01-01 10:00:00
[[arr]]
n = 1
[[arr]]
n = 2
[arr.sub]
m = -inf
[[arr.deep]]
k = true
"""


def test_tricky_texts_are_located() -> None:
    found = locate(TRICKY)

    assert found["a", "b c", "d.e"] == Position((2, 1), (2, 17))
    assert found["multi",].value == (3, 9)
    assert found["basic",].key == (6, 1)
    assert found["t", "u"] == Position((7, 1), (7, 1))
    assert found["t", "u", "v", 1, 1].value == (9, 7)
    assert found["t", "u", "v", 2, "x", "y"] == Position((9, 22), (9, 28))
    assert found["t", "u", "when"].value == (11, 8)
    assert [found["arr", i, "n"].key for i in (0, 1)] == [(13, 1), (15, 1)]
    assert found["arr", 1, "sub", "m"].key == (17, 1)
    assert found["arr", 1, "deep", 0, "k"].key == (19, 1)
    assert not [path for path in found if "not" in path]


KEYS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=5)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.one_of(TEXTS, st.integers(-(2**63), 2**63 - 1), st.booleans(), st.floats(allow_nan=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=12,
)


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for step, child in inner for found in ((*path, step), *_paths(child, (*path, step)))]


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_every_key_that_tomllib_finds_has_a_place(table: dict[str, Any]) -> None:
    text = tomli_w.dumps(table)
    parsed = tomllib.loads(text)
    found = locate(text)

    assert set(_paths(parsed)) == set(found)


@given(st.dictionaries(KEYS, st.integers(0, 9), min_size=1, max_size=5))
def test_the_value_stands_where_it_is_said_to_stand(table: dict[str, int]) -> None:
    text = tomli_w.dumps({"t": table})
    lines = text.split("\n")
    found = locate(text)

    for name, value in table.items():
        line, column = found["t", name].value
        assert lines[line - 1][column - 1 :] == str(value)
