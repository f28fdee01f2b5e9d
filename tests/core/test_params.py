"""What definitions want of payloads: strict types, defaults, all problems at once, KEY=VALUE."""

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiribi_cli.core.definition import Definition, Param
from kiribi_cli.core.params import (
    apply_params,
    check_for,
    compile_schema,
    convert,
    declared_types,
    filled_and_troubles,
    merge,
)
from kiribi_cli.errors import Code, KiribiError

SIZE = Param("size", "integer", required=False, has_default=True, default=8)
USER = Param("user", "integer")


def _define(*params: Param, **settings: Any) -> Definition:
    return Definition("MyJob", "command", command=("true",), params=params, **settings)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("string", ["", "x"], [1, True, [], {}]),
        ("integer", [0, -5], [1.0, "5", True]),
        ("number", [0, 1.5], ["5", False]),
        ("boolean", [True, False], [0, "true"]),
        ("array", [[], [1, "a"]], [{}, "[]"]),
        ("object", [{}, {"a": 1}], [[], "{}"]),
    ],
)
def test_types_are_strict(kind: Any, good: list[Any], bad: list[Any]) -> None:
    param = Param("x", kind)

    for value in good:
        assert apply_params([param], {"x": value}) == {"x": value}
    for value in bad:
        with pytest.raises(KiribiError, match="1 problem"):
            apply_params([param], {"x": value})


@pytest.mark.parametrize(
    ("param", "value", "trouble"),
    [
        (Param("x", "integer", min=1), 0, "must be at least 1, got 0"),
        (Param("x", "number", max=0.5), 0.6, "must be at most 0.5, got 0.6"),
        (Param("x", "string", min=2), "é", "must have at least 2 characters, got 1"),
        (Param("x", "array", max=1), [1, 2], "must have at most 1 items, got 2"),
        (Param("x", "array", items="string"), ["a", 1], "[1] must be a string, got 1"),
        (Param("x", "string", pattern="^[a-z]+$"), "A", 'must match ^[a-z]+$, got "A"'),
        (Param("x", "string", choices=("a", "b")), "c", 'must be one of "a", "b", got "c"'),
        (Param("x", "integer"), None, "is required"),
    ],
)
def test_a_value_out_of_its_rules_is_told(param: Param, value: Any, trouble: str) -> None:
    with pytest.raises(KiribiError) as refused:
        apply_params([param], {"x": value})

    assert refused.value.details == (f"x  {trouble}",)


def test_all_problems_come_at_once_in_columns() -> None:
    with pytest.raises(KiribiError) as refused:
        apply_params([USER], {"user": "x", "colour": 1}, name="MyJob")

    assert refused.value.code is Code.PAYLOAD
    assert refused.value.message == "the payload of MyJob is not valid (2 problems)"
    assert refused.value.details == ('user    must be an integer, got "x"', "colour  is not a parameter")
    assert refused.value.hint == "kiribi def show MyJob"


@pytest.mark.parametrize("value", [[], "x", 1, True])
def test_with_params_the_payload_must_be_an_object(value: Any) -> None:
    with pytest.raises(KiribiError) as refused:
        apply_params([], value)

    assert refused.value.details == (f"must be an object, got {json.dumps(value)}",)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (None, '{"size":8}'),
        ("null", '{"size":8}'),
        ("{}", '{"size":8}'),
        ('{"size": null}', '{"size": 8}'),
        ('{"size" : 1}', '{"size" : 1}'),
        (b'{"size": 2}\n', '{"size": 2}\n'),
        ('{ "note": 1.0 }', '{ "note": 1.0 ,"size":8}'),
    ],
)
def test_defaults_are_written_in_and_the_rest_stays_byte_for_byte(given: str | bytes | None, stored: str) -> None:
    check = check_for(_define(SIZE, Param("note", "number", required=False)))
    text, value = check(given)

    assert text == stored
    assert value == json.loads(stored)


def test_without_defaults_no_payload_stays_no_payload() -> None:
    assert check_for(_define(Param("x", "string", required=False)))(None) == (None, None)
    assert check_for(_define())('{"x": 1}'.replace('"x": 1', "")) == ("{}", {})


def test_a_payload_too_big_with_its_defaults_is_refused() -> None:
    check = check_for(_define(Param("x", "string", has_default=True, default="y" * 50), payload_max=20))

    with pytest.raises(KiribiError, match="too big with its defaults"):
        check("{}")


def test_defaults_of_one_payload_are_not_those_of_the_next() -> None:
    check = check_for(_define(Param("l", "array", has_default=True, default=["a"])))

    assert [check("{}")[0] for _ in range(2)] == ['{"l":["a"]}'] * 2


def test_without_params_anything_goes_but_colliding_variables() -> None:
    check = check_for(Definition("A", "command", command=("true",)))

    assert check("[1, 2]") == ("[1, 2]", [1, 2])
    with pytest.raises(KiribiError, match="KIRIBI_ARG_A"):
        check('{"a": 1, "A": 2}')


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("5", "integer", 5), ("5.0", "integer", "5.0"), ("5", "number", 5), ("1e3", "number", 1000.0),
        ("true", "boolean", True), ("yes", "boolean", "yes"), ("[1]", "array", [1]), ("{}", "array", "{}"),
        ("5", "string", "5"), ("5", None, "5"), ("9" * 30, "integer", "9" * 30), ("NaN", "number", "NaN"),
    ],
)  # fmt: skip
def test_key_value_is_converted_to_the_declared_type_or_left_to_be_refused(
    text: str, kind: str | None, value: Any
) -> None:
    assert convert(text, kind) == value


def _merge(text: str | None, *words: str, types: dict[str, str] | None = None) -> Any:
    return merge(text, words, types or {}, {"f.txt": "line\n", "f.json": " [1.0]\n"}.__getitem__, max_bytes=100)


@pytest.mark.parametrize(
    ("text", "words", "merged"),
    [
        (None, ["a=1"], '{"a":"1"}'),
        (None, ["n=1"], '{"n":1}'),
        ('{"a": 1.0}', ["b=x=y"], '{"a": 1.0,"b":"x=y"}'),
        ('{"a": 1}', ["a:=[1.0]"], '{"a": [1.0]}'),
        (None, ["a=@f.txt"], '{"a":"line\\n"}'),
        (None, ["a:=@f.json"], '{"a":[1.0]}'),
        (None, ["url=http://x:=1"], '{"url":"http://x:=1"}'),
        (None, ["a="], '{"a":""}'),
        (None, [], None),
        ("[1]", [], "[1]"),
    ],
)
def test_words_are_merged_over_the_payload(text: str | None, words: list[str], merged: str | None) -> None:
    assert _merge(text, *words, types={"n": "integer"}) == merged


@pytest.mark.parametrize(
    ("text", "words", "code"),
    [
        (None, ["a"], Code.USAGE), (None, ["=a"], Code.USAGE), (None, [":=1"], Code.USAGE),
        (None, ["a=1", "a=2"], Code.USAGE), (None, ["a:=x"], Code.PAYLOAD), (None, ["a:="], Code.PAYLOAD),
        ("[1]", ["a=1"], Code.PAYLOAD), ("{", ["a=1"], Code.PAYLOAD), (None, ['a:={"b":1,"b":2}'], Code.PAYLOAD),
    ],
)  # fmt: skip
def test_words_that_cannot_be_merged_are_refused(text: str | None, words: list[str], code: Code) -> None:
    with pytest.raises(KiribiError) as refused:
        _merge(text, *words)

    assert refused.value.code is code


def test_types_come_from_params_or_the_schema() -> None:
    schema = {"properties": {"a": {"type": "integer"}, "b": {"type": ["integer", "null"]}, "c": True}}

    assert declared_types(_define(USER)) == {"user": "integer"}
    assert declared_types(Definition("A", "command", payload_schema=schema)) == {"a": "integer"}


def test_a_schema_tells_all_problems_with_their_places() -> None:
    schema = {"type": "object", "properties": {"a": {"items": {"type": "integer"}}}, "required": ["b"]}
    check = check_for(Definition("A", "command", payload_schema=schema))

    assert check('{"b": 1}') == ('{"b": 1}', {"b": 1})
    with pytest.raises(KiribiError) as refused:
        check('{"a": [1, "x"]}')
    assert refused.value.details == ("     'b' is a required property", "a.1  'x' is not of type 'integer'")


def test_a_schema_never_goes_to_the_network() -> None:
    validate = compile_schema({"$ref": "http://127.0.0.1:9/schema.json"})

    with pytest.raises(KiribiError, match="refers to what is not in it") as refused:
        validate(1)
    assert refused.value.code is Code.CONFIG


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)

    with pytest.raises(KiribiError) as refused:
        compile_schema({})
    assert refused.value.code is Code.USAGE
    assert refused.value.hint == "pip install 'kiribi-cli[schema]'"


PARAMS = (
    Param("n", "integer"),
    Param("s", "string", required=False),
    Param("d", "array", required=False, has_default=True, default=[1]),
    Param("m", "number", required=False, has_default=True, default=0.5, max=1),
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(0, 2), st.floats(0, 2), st.sampled_from(["", "x"]), st.just([])
)


@given(st.dictionaries(st.sampled_from(["n", "s", "d", "m", "x"]), SCALARS, max_size=6))
def test_the_quick_look_comes_to_the_same_as_the_close_one(value: dict[str, Any]) -> None:
    check = check_for(_define(*PARAMS))
    filled, troubles = filled_and_troubles(PARAMS, value)
    text = json.dumps(value)

    if troubles:
        with pytest.raises(KiribiError) as refused:
            check(text)
        assert len(refused.value.details) == len(troubles)
    else:
        stored, seen = check(text)
        assert stored is not None
        assert json.loads(stored) == seen
        assert {key: item for key, item in seen.items() if item is not None} == {
            key: item for key, item in filled.items() if item is not None
        }
