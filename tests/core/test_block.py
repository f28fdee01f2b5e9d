"""A look at many payloads lets nothing pass that a look at each would refuse, and sees the same in them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiribi_cli.core import block, payload
from kiribi_cli.core.definition import Definition, Param
from kiribi_cli.core.params import check_for

SCALAR = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
FLAT = st.dictionaries(st.text(max_size=3), SCALAR | st.text(max_size=5), max_size=4)
# What lines could be made of that lean on each other.
PIECE = st.sampled_from(
    ["{", "}", "}", '"', '"a"', ":", ",", "1", " ", "\r", "]", "[", "\\", '{"a":1}', '{"a":1', '"b":2}', '{"a":1,"a":2}',
     "null", "NaN", "-", "1e999", "9" * 19, "9" * 18, "\\u0000", "\\ud800", "\x00", "é", "\ufeff", "{}", '{y"}', ',"x}']
)  # fmt: skip
LINE = st.lists(PIECE, min_size=1, max_size=5).map("".join)


@given(lines=st.lists(FLAT.map(json.dumps) | FLAT.map(lambda v: json.dumps(v, ensure_ascii=False)) | LINE, min_size=1))
def test_what_passes_in_one_look_passes_line_by_line_with_the_same_values(lines):
    encoded = [line.encode("utf-8", "surrogatepass") for line in lines]
    seen = block.flat_objects(encoded, 1000)
    if seen is None:
        return

    texts, values = seen
    assert texts == lines
    assert [repr(payload.parse(line)) for line in encoded] == list(map(repr, values))


@given(
    values=st.lists(st.dictionaries(st.sampled_from("abcd"), SCALAR | st.sampled_from(["", "é", "12:30"])), min_size=1)
)
def test_plain_objects_are_seen_in_one_look(values):
    lines = [json.dumps(value, ensure_ascii=False).encode() for value in values]
    long = any(b"0" * 19 in line.translate(block._DIGITS_AS_0) for line in lines)

    assert long or block.flat_objects(lines, 1000) is not None


@pytest.mark.parametrize(
    "lines",
    [
        # Each joins with its neighbours to as many objects as there are lines.
        ['{"a":1', '{"b":2},{"c":3}'],
        ['{"a":1},"x}', '{y","z}', '{"b":1}'],
        ['{"a":1},5,"x}', '{y"}'],
        ['{"a}', '{b":1},{"c":1}'],
        ['{"a":"}', '{b"}'],
        ['{"a":1}],"}'],
        ['{"a":1}', '{"a":1}]'],
        ['{"a":1}', "", '{"a":1}'],
        ['{"a":1},', '{"a":1}'],
        [' {"a":1}', '{"a":1}'],
        ['{"a":1} '],
        ['{"a":1}\r', '{"a":1}'],
        # Refused wherever they stand (semantics.md, 3).
        ['{"a":1,"a":2}'],
        ['{"a":NaN}'],
        ['{"a":-Infinity}'],
        ['{"a":1e999}'],
        ['{"a":9223372036854775808}'],
        ['{"a":"\\ud800"}'],
        ['{"a":"\\uD800"}'],
        ['{"a":"\\u0000"}'],
        ['{"a":"\x00"}'],
        ['{"a":"' + "x" * 1000 + '"}'],
        # Valid, but not flat.
        ['{"a":{}}'],
        ['{"a":[]}'],
        ["1"],
    ],
)
def test_whatever_is_not_plain_wants_a_closer_look(lines):
    encoded = [line.encode() for line in lines]

    assert block.flat_objects([b'{"z": 0}', *encoded], 1000) is None
    assert block.flat_objects(encoded, 1000) is None


@pytest.mark.parametrize("line", [b'{"a":"\xff"}', b'{"a":"\xed\xa0\x80"}'])
def test_bytes_that_are_no_text_want_a_closer_look(line):
    assert block.flat_objects([line], 1000) is None


ANY = Definition("Any", "command", command=("true",), payload_max=40)
PARAMS = (
    Param("a", "integer"),
    Param("b", "string", required=False),
    Param("c", "string", has_default=True, default="é" * 5),
)
TYPED = Definition("Typed", "command", command=("true",), params=PARAMS, payload_max=400)
TIGHT = Definition("Tight", "command", command=("true",), params=PARAMS, payload_max=20)


@given(
    definition=st.sampled_from([ANY, TYPED, TIGHT]),
    lines=st.lists(st.dictionaries(st.sampled_from(["a", "b", "c", "d", "A"]), SCALAR | st.just("x")), min_size=1),
)
def test_many_are_checked_to_the_same_end_as_each(definition, lines):
    encoded = [json.dumps(line).encode() for line in lines]
    seen = block.block_check_for(definition)(encoded)
    if seen is None:
        return

    each = [check_for(definition)(line) for line in encoded]
    assert seen == ([text for text, _ in each], [value for _, value in each])


def test_defaults_are_written_in_for_many():
    seen = block.block_check_for(TYPED)([b'{"a": 1}', b'{"a":2,"c":"","b":"x"}'])

    assert seen == (
        ['{"a": 1,"c":"ééééé"}', '{"a":2,"c":"","b":"x"}'],
        [{"a": 1, "c": "ééééé"}, {"a": 2, "c": "", "b": "x"}],
    )


@pytest.mark.parametrize(
    ("definition", "line"),
    [
        (ANY, b'{"a-b": 1, "a_b": 2}'),
        (TYPED, b'{"a": "x"}'),
        (TYPED, b'{"b": "x"}'),
        (TIGHT, b'{"a": 1}'),
        (TYPED, b'{"a": 1, "z": 1}'),
    ],
)
def test_what_a_definition_may_refuse_wants_a_closer_look(definition, line):
    assert block.block_check_for(definition)([line]) is None
