"""What a plan does in a hurry is what core/placeholders.py does at length, or is left to it."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kiribi_cli.core.definition import Definition, Unique
from kiribi_cli.core.placeholders import MissingValueError, fill, fill_argv
from kiribi_cli.core.plan import filled_key, is_met, plan_of

VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "1"]), inner, max_size=3),
    max_leaves=6,
)
ELEMENT = st.sampled_from(
    ["{payload.a}", "{payload.b...}", "{payload}", "{payload...}", "x{payload.a.b}y", "{payload.b.1}"]
)
KEY = st.lists(
    st.sampled_from(["{payload.a}", "{payload.a.b}", "{payload.b.1}", "{{payload.a}}", "{payload}", "-", "é"]),
    min_size=1,
)


def found(function, *arguments):
    try:
        return function(*arguments)
    except MissingValueError:
        return None


@example(elements=["{payload.b...}"], value={"b": [None]})
@given(elements=st.lists(ELEMENT, min_size=1, max_size=3), value=VALUE)
def test_a_need_that_is_met_can_be_filled_in(elements, value):
    plan = plan_of(Definition("Copy", "command", command=("cp", *elements)))
    if not all(is_met(need, value) for need in plan["needs"]):
        return

    assert found(fill_argv, elements, {"payload": value}) is not None


@given(key=KEY.map("".join), value=VALUE)
def test_a_key_filled_in_a_hurry_is_the_key(key, value):
    plan = plan_of(Definition("Once", "command", command=("true",), unique=Unique(key)))
    quick = filled_key(plan["unique"][0], value)
    if quick is None:
        return

    assert quick == found(fill, key, {"payload": value})


@pytest.mark.parametrize("text", ['{"a": 7}', '{"a": "x"}', '{"a": true}'])
def test_what_keys_are_mostly_made_of_is_filled_in_a_hurry(text):
    plan = plan_of(Definition("Once", "command", command=("true",), unique=Unique("n{payload.a}")))

    assert filled_key(plan["unique"][0], json.loads(text)) is not None
