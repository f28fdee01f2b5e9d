"""The table `params` of a definition: typed parameters, checked so far that any payload can be judged by them."""

import re
from typing import Any

from kiribi_cli.config import forms
from kiribi_cli.config.forms import Form, Key, Place, Wrong
from kiribi_cli.core import payload
from kiribi_cli.core.definition import Param
from kiribi_cli.core.params import is_type, value_troubles
from kiribi_cli.errors import KiribiError

TYPES = ("string", "integer", "number", "boolean", "array", "object")
PARAM_NAME = re.compile("[A-Za-z_][A-Za-z0-9_-]*")
# Which keys make sense for which types; the others go with all.
_ONLY_FOR = {
    "pattern": ("string",),
    "items": ("array",),
    "choices": ("string", "integer", "number"),
    "min": ("string", "integer", "number", "array"),
    "max": ("string", "integer", "number", "array"),
}


def _any_json() -> Form:
    def read(raw: Any, _: Place) -> Any:
        try:
            payload.parse(payload.dump(raw), 2**24)
        except KiribiError as error:
            reason = error.message.removeprefix("the payload is ").removeprefix("not valid: ")
            raise Wrong("bad_params", f"cannot be in a payload: {reason}") from None
        except (TypeError, ValueError):
            raise Wrong("bad_params", f"{forms.noun(raw)} is not JSON") from None
        return raw

    return Form(read)


def _pattern() -> Form:
    def read(raw: Any, _: Place) -> str:
        try:
            re.compile(forms.string(raw))
        except (re.error, RecursionError, OverflowError) as error:
            raise Wrong("bad_params", f"is no regular expression: {error}") from None
        return str(raw)

    return Form(read, {"type": "string", "format": "regex"})


def _bound() -> Form:
    number = forms.number(-(2.0**63), 2.0**63)
    # An integer stays one: 2**60 and 2**60 + 1 are the same float.
    return Form(lambda raw, place: number.read(raw, place) and raw, {"type": "number"})


def _choices() -> Form:
    return forms.array(_any_json(), least=1)


KEYS = {
    "type": Key("type", forms.choice(*TYPES), required=True),
    "required": Key("required", forms.boolean(), "true unless there is a default"),
    "default": Key("default", _any_json()),
    "choices": Key("choices", _choices()),
    "min": Key("min", _bound(), "least value, or length of a string or list"),
    "max": Key("max", _bound()),
    "pattern": Key("pattern", _pattern(), "Python re.search"),
    "items": Key("items", forms.choice(*TYPES), "type of the elements of a list"),
    "help": Key("help", forms.text()),
}


def params_form() -> Form:
    """Give the form of `params`; the value is a tuple of Param."""
    entry = {"anyOf": [{"enum": list(TYPES)}, forms.table_schema(KEYS)]}
    names = {"pattern": f"^{PARAM_NAME.pattern}$"}
    return Form(_read, {"type": "object", "additionalProperties": entry, "propertyNames": names})


def _read(raw: Any, place: Place) -> tuple[Param, ...]:
    if not isinstance(raw, dict):
        raise Wrong("bad_type", f"must be a table, got {forms.noun(raw)}")
    params = []
    variables: dict[str, str] = {}
    for name, rules in raw.items():
        here = place / name
        if not PARAM_NAME.fullmatch(name):
            here.error("bad_params", f'"{name}" is no name for a parameter: letters, digits, _ and -', at_key=True)
            continue
        variable = payload.argument_variable(name)
        if other := variables.get(variable):
            here.error("bad_params", f'"{other}" and "{name}" would both be ${variable}', at_key=True)
        variables[variable] = name
        param = here.attempt(lambda rules, here, name=name: _param(name, rules, here), rules)
        if isinstance(param, Param):
            params.append(param)
    return tuple(params)


def _param(name: str, raw: Any, place: Place) -> Param | None:
    if not isinstance(raw, dict):
        return Param(name, forms.choice(*TYPES).read(raw, place))
    found = len(place.problems)
    values = forms.read_table(raw, place, KEYS)
    if len(place.problems) > found:
        return None
    for key, types in _ONLY_FOR.items():
        if key in raw and values["type"] not in types:
            (place / key).error("bad_params", f'"{key}" does not go with type = "{values["type"]}"')
    has_default = "default" in raw
    rules = {"required": not has_default, **values, "has_default": has_default}
    rules |= {"choices": tuple(values["choices"])} if "choices" in values else {}
    param = Param(name, **rules)
    _check_agreement(param, place)
    return param


def _check_agreement(param: Param, place: Place) -> None:
    for index, choice in enumerate(param.choices or ()):
        if not is_type(choice, param.type):
            (place / "choices" / index).error("bad_params", f"is not of type {param.type}")
    if param.min is not None and param.max is not None and param.min > param.max:
        (place / "min").error("bad_params", "is above max")
    if param.has_default:
        for trouble in value_troubles(param, param.default):
            (place / "default").error("bad_params", trouble)
