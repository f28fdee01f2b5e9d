"""Placeholders are filled in once, exactly where the rules say, and nowhere else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiribi_cli.core.placeholders import MissingValueError, fill, fill_argv, fill_value, find, whole

SCALARS = st.none() | st.booleans() | st.integers() | st.text()


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{print $1}",
        "{{.Names}}",
        "{payloads}",
        "{payload.}",
        "{payload.a b}",
        "{ payload }",
        "${payload",
        "{x.y}",
    ],
)
def test_other_braces_are_plain_text(text):
    found = find(text)

    assert found == []
    assert fill(text, {"payload": {"a": 1}}) == text


def test_doubled_braces_give_the_placeholder_literally():
    assert fill("{{payload.x}} {{job}}", {}) == "{payload.x} {job}"


@given(st.text())
def test_a_value_is_never_expanded_again(value):
    assert fill("<{payload.v}>", {"payload": {"v": value}}) == f"<{value}>"
    assert fill_argv(["{payload.v}"], {"payload": {"v": value}}) == [value]


@given(st.text(), st.dictionaries(st.text(), SCALARS))
def test_any_text_is_filled_in_or_refused_with_a_sentence(text, payload):
    try:
        filled = fill(text, {"payload": payload})
    except MissingValueError as missing:
        filled = missing.reason

    assert isinstance(filled, str)


@given(st.lists(st.booleans() | st.integers() | st.text()))
def test_a_spread_gives_one_argument_for_each_item(items):
    argv = fill_argv(["a", "{payload.l...}", "z"], {"payload": {"l": items}})

    assert len(argv) == len(items) + 2
    assert argv[1:-1] == [item if isinstance(item, str) else json.dumps(item) for item in items]


@pytest.mark.parametrize("bad", ["text", 5, {"a": 1}, [[1]], [{}], [None]])
def test_a_spread_takes_lists_of_scalars_only(bad):
    with pytest.raises(MissingValueError, match="list"):
        fill_argv(["{payload.l...}"], {"payload": {"l": bad}})


def test_a_spread_inside_an_element_is_refused():
    with pytest.raises(MissingValueError, match="whole element"):
        fill_argv(["--x={payload.l...}"], {"payload": {"l": [1]}})


@pytest.mark.parametrize("path", ["gone", "null", "list.2", "list.01", "list.-1", "text.0", "deep.gone.more"])
def test_a_missing_or_null_value_is_named(path):
    payload = {"null": None, "list": [1, 2], "text": "abc", "deep": {}}

    with pytest.raises(MissingValueError) as missing:
        fill("{payload." + path + "}", {"payload": payload})

    assert "payload" in missing.value.reason
    assert str(missing.value.placeholder) == "{payload." + path + "}"


def test_objects_and_lists_become_compact_json_in_one_argument():
    argv = fill_argv(["{payload}", "{payload.a}"], {"payload": {"a": [1, {"b": "ü"}]}})

    assert argv == ['{"a":[1,{"b":"ü"}]}', '[1,{"b":"ü"}]']


def test_in_a_payload_one_placeholder_keeps_its_type():
    filled = fill_value({"n": "{payload.n}", "s": "n {payload.n}", "k": 5}, {"payload": {"n": [1]}})

    assert filled == {"n": [1], "s": "n [1]", "k": 5}


def test_whole_tells_a_lone_placeholder_from_a_text_with_one():
    assert whole("{steps.build.result}") is not None
    assert whole("{steps.build.result}\n") is None
