"""Payloads are taken as the json module takes them, less what not every reader understands alike."""

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiribi_cli.core import payload
from kiribi_cli.errors import Code, KiribiError

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        TEXTS,
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=20,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=4)
LAYOUTS = st.sampled_from([{}, {"indent": 1}, {"ensure_ascii": False}, {"separators": (",", ":")}])


@given(VALUES, LAYOUTS)
def test_what_json_writes_is_read_as_the_same_value(value: Any, layout: dict[str, Any]) -> None:
    text = json.dumps(value, **layout)

    assert payload.parse(text) == value
    assert payload.parse(f" \n{text}\t\r".encode()) == value


@given(st.one_of(st.text(max_size=30), st.text('{}[]",:0123456789.eE-+ntrufals\\ ', max_size=20)))
def test_what_json_refuses_is_refused_and_nothing_else_but_for_named_reasons(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(KiribiError):
            payload.parse(text)
        return
    try:
        found = payload.parse(text)
    except KiribiError as error:
        reason = error.message
    else:
        assert found == expected
        return
    assert any(word in reason for word in ("twice", "surrogate", "NUL", "64-bit", "hold", "is not JSON", "UTF-8"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"), (" \n", "empty"), ("{", "not JSON"), ('{"a":1}}', "follows"), ("[1,]", "line 1 column 4"),
        ("{'a': 1}", "not JSON"), ("NaN", "NaN"), ("[1, Infinity]", "Infinity"), ("-Infinity", "Infinity"),
        ("[1e999]", "1e999"), ('{"a": 1, "b": {"c": 1, "c": 2}}', '"c" is there twice'),
        ('{"a": 1, "\\u0061": 2}', '"a" is there twice'), ('["\\ud800"]', "surrogate"), ('{"\\udfff": 1}', "surrogate"),
        ('"\\uD83D x"', "surrogate"), ('"\\u0000"', "NUL"), ('{"a\\u0000": 1}', "NUL"), ('"a\0b"', "not JSON"),
        ("\0", "not JSON"), ('"\udc80"', "UTF-8"), (b'"\xff"', "UTF-8"), (b'"\xed\xa0\x80"', "UTF-8"),
        ("9223372036854775808", "64-bit"), ("-9223372036854775809", "64-bit"), ("1" * 5000, "64-bit"),
        ("[" * 65 + "]" * 65, "deeper than 64"), ('{"a":' * 65 + "1" + "}" * 65, "deeper than 64"),
        ("[" * 100_000, "deeper than 64"), ("[" * 100_000 + "]" * 100_000, "deeper than 64"),
        ("\ufeff{}", "byte order mark"), ("01", "follows"), ("+1", "not JSON"), ("1.", "follows"), (".5", "not JSON"),
        ("\u00a0{}", "not JSON"), ('"a\nb"', "not JSON"), ("// x\n1", "not JSON"),
    ],
)  # fmt: skip
def test_bad_payloads_are_refused_with_the_reason(text: str | bytes, reason: str) -> None:
    with pytest.raises(KiribiError) as refused:
        payload.parse(text)

    assert refused.value.code is Code.PAYLOAD
    assert reason in refused.value.message
    assert len(refused.value.message) < 250
    refused.value.message.encode()


@pytest.mark.parametrize(
    "text",
    [
        "9223372036854775807", "-9223372036854775808", "[" * 64 + "]" * 64, '"\\ud83d\\ude00"', '"\\\\ud800"',
        '"' + "[" * 100 + '"', "1.7976931348623157e308", '"\\u0001"', '"\\\\u0000"', "-0", "1E5",
    ],
)  # fmt: skip
def test_what_is_at_the_edge_is_taken(text: str) -> None:
    assert payload.parse(text) == json.loads(text)


@pytest.mark.parametrize("text", ['"' + "a" * 98 + '"', '"' + "é" * 49 + '"'])
def test_the_size_is_counted_in_bytes_of_utf8(text: str) -> None:
    assert payload.parse(text, 100) == json.loads(text)
    for form in (text, text.encode()):
        with pytest.raises(KiribiError, match="too big"):
            payload.parse(form, 99)


def test_a_deep_error_in_an_interpreter_without_json_is_an_error_all_the_same() -> None:
    code = (
        "from kiribi_cli.core import payload\nfrom kiribi_cli.errors import KiribiError\nimport sys\n"
        "print([name for name in ('json', 're', 'typing', 'dataclasses') if name in sys.modules])\n"
        "try: payload.parse('{')\nexcept KiribiError as error: print(error.message)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)

    assert "the payload is not JSON: Expecting property name" in done.stdout


WORD = st.sampled_from(["payload", "pay", '"payload"', 'payload": ', "é", ""])


@settings(max_examples=300)
@given(
    value=st.dictionaries(WORD, st.recursive(WORD, lambda inner: st.dictionaries(WORD, inner)), min_size=1),
    layout=LAYOUTS,
    data=st.data(),
)
def test_the_text_of_a_member_is_what_stands_there(
    value: dict[str, Any], layout: dict[str, Any], data: st.DataObject
) -> None:
    key = data.draw(st.sampled_from(sorted(value)))
    text = json.dumps(value, **layout)
    # Keys may be spelled with escapes.
    text = data.draw(st.sampled_from([text, text.replace("payload", "payl\\u006fad", 1)]))

    assert json.loads(payload.member(text, payload.parse(text), key)) == value[key]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"payload": {"a": 1.00} }', '{"a": 1.00}'),
        ('{"payload" : [1,  2] , "job": "x"}', "[1,  2]"),
        ('{"job": "payload", "payload":\t" } "\n}', '" } "'),
        ('{"job": {"payload": 1}, "payl\\u006fad": 2}', "2"),
        ('{"a": "\\"payload\\": 5", "payload": 6}', "6"),
    ],
)
def test_a_member_is_found_however_it_is_written(text: str, found: str) -> None:
    assert payload.member(text, payload.parse(text), "payload") == found


@given(OBJECTS, LAYOUTS, st.dictionaries(TEXTS, VALUES, max_size=3))
def test_setting_members_changes_these_and_no_other_byte(
    value: dict[str, Any], layout: dict[str, Any], members: dict[str, Any]
) -> None:
    text = json.dumps(value, **layout)
    changed = payload.set_members(text, {key: json.dumps(new) for key, new in members.items()})

    assert json.loads(changed) == {**value, **members}
    assert payload.set_members(text, {}) == text
    if not set(members) & set(value):
        assert changed.startswith(text[: text.rindex("}")])


def test_numbers_and_spaces_of_others_stay_as_written() -> None:
    assert payload.set_members(' {"a" : 1.00 , "b":null}\n', {"b": "2", "c": "3"}) == ' {"a" : 1.00 , "b":2,"c":3}\n'


@pytest.mark.parametrize(
    ("key", "variable"),
    [
        ("user", "USER"),
        ("dry-run", "DRY_RUN"),
        ("a.b c", "A_B_C"),
        ("1", "1"),
        ("straße", "STRA_E"),
        ("é", "_"),
        ("", ""),
    ],
)
def test_the_variable_of_a_key(key: str, variable: str) -> None:
    assert payload.argument_variable(key) == f"KIRIBI_ARG_{variable}"


@pytest.mark.parametrize("text", ['{"a-b": 1, "a_b": 2}', '{"A": true, "a": "x"}', '{"é": 1, "ü": 2}'])
def test_two_keys_of_one_variable_are_refused(text: str) -> None:
    with pytest.raises(KiribiError, match="are both") as refused:
        payload.check_arguments(payload.parse(text))

    assert refused.value.code is Code.PAYLOAD


@pytest.mark.parametrize("text", ['{"a-b": null, "a_b": 2}', '{"a-b": [1], "a_b": {}}', "[1]", "null", "{}"])
def test_what_gets_no_variable_cannot_collide(text: str) -> None:
    value = payload.parse(text)
    payload.check_arguments(value)

    assert value == json.loads(text)
