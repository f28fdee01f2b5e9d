"""What a definition wants of a payload: typed parameters or a JSON Schema, defaults, and KEY=VALUE from the shell.

Every problem is told at once. Types are strict: "5" is no integer, true is no number.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from kiribi_cli.core import payload as payloads
from kiribi_cli.core.definition import Definition, Param
from kiribi_cli.errors import Code, KiribiError

Trouble = tuple[str, str]  # where in the payload, what is wrong with it
Check = Callable[[str | bytes | None], tuple[str | None, Any]]
# The same for a payload that has been parsed: its text and its value.
Judge = Callable[[str | None, Any], tuple[str | None, Any]]

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float),
    "boolean": (bool,), "array": (list,), "object": (dict,),
}  # fmt: skip
_NOUNS = {
    "string": "a string", "integer": "an integer", "number": "a number", "boolean": "true or false",
    "array": "a list", "object": "an object",
}  # fmt: skip


def check_for(definition: Definition) -> Check:
    """Build the check of a definition's payloads once, for any number of them.

    It takes the text as given (None: no payload) and returns the text to store, which differs only by written-in
    defaults, and its value. It raises KiribiError(PAYLOAD) with all problems and stores nothing.
    """
    judge, limit = judge_for(definition), definition.payload_max

    def check(text: str | bytes | None) -> tuple[str | None, Any]:
        if text is None:
            return judge(None, None)
        value = payloads.parse(text, limit)
        return judge(text.decode() if isinstance(text, bytes) else text, value)

    return check


def judge_for(definition: Definition) -> Judge:
    """Build what a definition says to a payload that is valid JSON and not too big; see check_for."""
    validate = compile_schema(definition.payload_schema) if definition.payload_schema is not None else None
    params, name, limit = definition.params, definition.name, definition.payload_max

    quick = None if params is None else quick_for(params)

    def judge(text: str | None, value: Any) -> tuple[str | None, Any]:
        if params is None or quick is None:
            if validate and (troubles := validate(value)):
                raise not_valid(name, troubles)
            payloads.check_arguments(value)
            return text, value
        # Names of params cannot collide as variables: config/params.py has seen to it.
        filled = quick(text, value) if text is not None else None
        if filled is None:
            full = apply_params(params, value, name=name)
            filled = _with_defaults(text, value, full)
            value = full if filled is not None else None
        if filled is not text and filled is not None and len(filled.encode()) > limit:
            raise payloads.refusal(f"too big with its defaults: more than {limit:,} bytes", name)
        return filled, value

    return judge


def quick_for(params: Sequence[Param]) -> Callable[[str, Any], str | None]:
    """Build what takes most payloads in a microsecond: text with defaults, or None for all that wants a closer look."""
    names = frozenset(param.name for param in params)
    rows = tuple((param.name, _plain_types(param), _absent(param), param.default) for param in params)

    def fill(text: str, value: Any) -> str | None:
        if type(value) is not dict or not value.keys() <= names:
            return None
        missing = []
        for name, types, absent, default in rows:
            given = value.get(name)
            if type(given) in types:
                continue
            if given is not None or absent is None or (absent and name in value):
                return None
            if absent:
                missing.append((name, absent, default))
        return _appended(text, value, missing) if missing else text

    return fill


def _plain_types(param: Param) -> tuple[type, ...]:
    # A type stands for the whole rule; of a parameter with more rules no value is plain.
    rules = (param.choices, param.min, param.max, param.pattern, param.items)
    return _TYPES[param.type] if rules == (None, None, None, None, None) else ()


def _absent(param: Param) -> str | None:
    """Give what stands in for a parameter: its default as a member, nothing, or None where it must be there."""
    if param.has_default:
        return f"{payloads.dump(param.name)}:{payloads.dump(param.default)}"
    return None if param.required else ""


def _appended(text: str, value: dict[str, Any], missing: Sequence[tuple[str, str, Any]]) -> str:
    closing = text.rindex("}")
    comma = "," if value else ""
    value.update({name: default for name, _, default in missing})
    return f"{text[:closing]}{comma}{','.join(member for _, member, _ in missing)}{text[closing:]}"


def apply_params(params: Sequence[Param], value: Any, *, name: str = "") -> dict[str, Any]:
    """Return the payload with defaults filled in, behind what was given; raise with all problems at once.

    >>> apply_params((Param("user", "integer"), Param("size", "integer", has_default=True, default=8)), {"user": 42})
    {'user': 42, 'size': 8}
    """
    filled, troubles = filled_and_troubles(params, value)
    if troubles:
        raise not_valid(name, troubles)
    return filled


def filled_and_troubles(params: Sequence[Param], value: Any) -> tuple[dict[str, Any], list[Trouble]]:
    """As `apply_params`, but hand the problems back."""
    if value is not None and not isinstance(value, dict):
        return {}, [("", f"must be an object, got {_got(value)}")]
    filled = dict(value or {})
    troubles: list[Trouble] = []
    known = {param.name for param in params}
    for param in params:
        given = filled.get(param.name)
        if given is not None:
            troubles += [(param.name, trouble) for trouble in value_troubles(param, given)]
        elif param.has_default:
            filled[param.name] = param.default
        elif param.required:
            troubles.append((param.name, "is required"))
    troubles += [(payloads.shown(key), "is not a parameter" + _near(key, known)) for key in filled if key not in known]
    return filled, troubles


def value_troubles(param: Param, value: Any) -> list[str]:
    """Say what is wrong with a value that is there."""
    if not is_type(value, param.type):
        return [f"must be {_NOUNS[param.type]}, got {_got(value)}"]
    troubles = []
    if param.choices is not None and not any(_same(value, choice) for choice in param.choices):
        troubles.append(f"must be one of {', '.join(payloads.dump(c) for c in param.choices)}, got {_got(value)}")
    if isinstance(value, (str, list)):
        troubles += _bounds(param, len(value), " characters" if isinstance(value, str) else " items")
    elif isinstance(value, (int, float)):
        troubles += _bounds(param, value, "")
    if param.pattern is not None and isinstance(value, str) and not _pattern(param.pattern).search(value):
        troubles.append(f"must match {param.pattern}, got {_got(value)}")
    if param.items is not None and isinstance(value, list):
        wrong = next((i for i, item in enumerate(value) if not is_type(item, param.items)), None)
        if wrong is not None:
            troubles.append(f"[{wrong}] must be {_NOUNS[param.items]}, got {_got(value[wrong])}")
    return troubles


def is_type(value: Any, type_name: str) -> bool:
    """Tell whether a JSON value is of a type, strictly: booleans are no integers."""
    return isinstance(value, _TYPES[type_name]) and (type_name == "boolean" or not isinstance(value, bool))


def convert(text: str, type_name: str | None) -> Any:
    """Turn the VALUE of KEY=VALUE into its declared type; what does not fit stays a string, for the check to refuse.

    >>> convert("42", "integer"), convert("42", "string"), convert("x", "integer"), convert("true", "boolean")
    (42, '42', 'x', True)
    """
    if type_name not in _TYPES or type_name == "string":
        return text
    try:
        value = payloads.parse(text)
    except KiribiError:
        return text
    return value if is_type(value, type_name) else text


def merge(
    text: str | None, words: Iterable[str], types: Mapping[str, str], read: Callable[[str], str], *, max_bytes: int
) -> str | None:
    """Put KEY=VALUE, KEY:=JSON, KEY=@FILE and KEY:=@FILE over a payload text and return the new text.

    `types` names the declared type of each key (see `declared_types`), `read` returns the text of a file.

    >>> merge('{"a": 1}', ["b=2", "c:=[3]"], {"b": "integer"}, read=str, max_bytes=99)
    '{"a": 1,"b":2,"c":[3]}'
    """
    members: dict[str, str] = {}
    for word in words:
        key, member = _assignment(word, types, read, max_bytes)
        if key in members:
            raise KiribiError(Code.USAGE, f'"{payloads.shown(key)}" is given twice')
        members[key] = member
    if not members:
        return text
    if not isinstance(payloads.parse(text, max_bytes) if text is not None else {}, dict):
        raise KiribiError(Code.PAYLOAD, "KEY=VALUE needs a payload that is an object")
    return payloads.set_members("{}" if text is None else text, members)


def declared_types(definition: Definition) -> dict[str, str]:
    """Name the type of each top-level key that `params` or the schema's `properties` declare."""
    if definition.params is not None:
        return {param.name: param.type for param in definition.params}
    properties = (definition.payload_schema or {}).get("properties")
    if not isinstance(properties, dict):
        return {}
    kinds = {key: rules.get("type") for key, rules in properties.items() if isinstance(rules, dict)}
    return {key: kind for key, kind in kinds.items() if isinstance(kind, str)}


def _assignment(word: str, types: Mapping[str, str], read: Callable[[str], str], max_bytes: int) -> tuple[str, str]:
    key, equals, given = word.partition("=")
    as_json = key.endswith(":")
    key = key.removesuffix(":") if as_json else key
    if not equals or not key:
        hint = "KEY=VALUE, KEY:=JSON, KEY=@FILE or KEY:=@FILE"
        raise KiribiError(Code.USAGE, f'"{payloads.shown(word)}" is not KEY=VALUE', hint=hint)
    text = read(given[1:]) if given.startswith("@") else given
    if not as_json:
        return key, payloads.dump(convert(text, types.get(key)))
    try:
        payloads.parse(text, max_bytes)
    except KiribiError as error:
        reason = error.message.removeprefix("the payload is ")
        raise KiribiError(Code.PAYLOAD, f'"{payloads.shown(key)}" is {reason}') from None
    return key, text.strip()


def _with_defaults(text: str | None, value: Any, filled: dict[str, Any]) -> str | None:
    before = value or {}
    added = {key: payloads.dump(new) for key, new in filled.items() if new is not None and before.get(key) is None}
    return payloads.set_members("{}" if text is None or value is None else text, added) if added else text


def not_valid(name: str, troubles: Sequence[Trouble]) -> KiribiError:
    """Build the error that lists every problem of a payload (cli.md, 5)."""
    width = max(len(where) for where, _ in troubles)
    lines = tuple(f"{where:{width}}  {what}" if width else what for where, what in troubles)
    count = f"{len(lines)} problem{'s' if len(lines) > 1 else ''}"
    hint = f"kiribi def show {name}" if name else None
    of = f" of {name}" if name else ""
    return KiribiError(Code.PAYLOAD, f"the payload{of} is not valid ({count})", hint=hint, details=lines)


def compile_schema(schema: Mapping[str, Any]) -> Callable[[Any], list[Trouble]]:
    """Build the check of a JSON Schema 2020-12; raise USAGE without the extra `schema`, CONFIG for one that is none."""
    try:
        from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
        from jsonschema.exceptions import SchemaError  # type: ignore[import-untyped]
        from referencing import Registry
    except ImportError:
        hint = "pip install 'kiribi-cli[schema]'"
        raise KiribiError(Code.USAGE, 'payload_schema needs the extra "schema"', hint=hint) from None
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise KiribiError(Code.CONFIG, f"payload_schema is not a JSON Schema: {error.message}") from None
    # An empty registry, because the default one fetches "$ref": "https://..." over the network.
    validator = Draft202012Validator(schema, registry=Registry())

    def validate(value: Any) -> list[Trouble]:
        return _schema_troubles(validator, value)

    return validate


def _schema_troubles(validator: Any, value: Any) -> list[Trouble]:
    from referencing.exceptions import Unresolvable

    try:
        found = sorted(validator.iter_errors(value), key=lambda error: [str(step) for step in error.absolute_path])
    except Unresolvable as error:
        raise KiribiError(Code.CONFIG, f"payload_schema refers to what is not in it: {error}") from None
    return [(".".join(str(step) for step in error.absolute_path), payloads.shown(error.message)) for error in found]


def _bounds(param: Param, measure: float, unit: str) -> list[str]:
    verb = "have" if unit else "be"
    if param.min is not None and measure < param.min:
        return [f"must {verb} at least {_plain(param.min)}{unit}, got {_plain(measure)}"]
    if param.max is not None and measure > param.max:
        return [f"must {verb} at most {_plain(param.max)}{unit}, got {_plain(measure)}"]
    return []


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _same(one: Any, other: Any) -> bool:
    # In Python True == 1, in JSON they differ.
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _got(value: Any) -> str:
    return payloads.shown(payloads.dump(value))


@lru_cache(maxsize=256)
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _near(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word, list(known), n=1)
    return f'. Did you mean "{near[0]}"?' if near else ""
