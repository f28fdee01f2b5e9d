"""The rules that concern more than one key: kinds, exit codes, placeholders, and what this machine lacks."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kiribi_cli.config.forms import Place
from kiribi_cli.config.keys import KINDS
from kiribi_cli.config.problems import SYNONYMS, meant
from kiribi_cli.core import placeholders
from kiribi_cli.core.definition import Definition, Param
from kiribi_cli.core.payload import argument_variable
from kiribi_cli.core.placeholders import Placeholder
from kiribi_cli.core.redact import redacted

JOB_FIELDS = ("id", "name", "queue", "attempt", "max_attempts", "tags")
SCHEDULE_FIELDS = ("name", "at", "day")
_NEAR_MISS = re.compile(r"\{\s*(?:payload|job|schedule|steps|item|env)\b[^{}\n]*\}", re.IGNORECASE)
_CODE_KEYS = ("success_codes", "retry_codes", "fail_codes")


def kind_of(raw: Mapping[str, Any], place: Place) -> str | None:
    """Name the kind of a definition, or report that it has none or several."""
    kinds = [kind for kind in KINDS if kind in raw]
    if len(kinds) == 1:
        return kinds[0]
    # A misspelt kind is reported as the unknown key it is; once is enough.
    if kinds or not any(SYNONYMS.get(key) in KINDS for key in raw):
        listed = " and ".join(kinds) if kinds else "none"
        place.error("kind_count", f"needs exactly one of command, shell and python, has {listed}", at_key=True)
    return None


def kind_keys(kind: str, raw: Mapping[str, Any], place: Place) -> None:
    """Report keys that belong to another kind."""
    owners = {"shell_bin": "shell", "interpreter": "python", "reuse": "python"}
    for key, owner in owners.items():
        if key in raw and kind != owner:
            (place / key).error("bad_kind_key", f'"{key}" belongs to definitions with {owner}, this one has {kind}')
    if kind == "python" and raw.get("result") in ("file", "stdout"):
        message = 'the result of python is what it returns; only result = "none" goes here'
        (place / "result").error("bad_kind_key", message)
    if "params" in raw and "payload_schema" in raw:
        (place / "payload_schema").error("bad_schema", "params and payload_schema cannot stand together")


def codes(definition: Definition, raw: Mapping[str, Any], place: Place) -> None:
    """Report exit codes that stand in two of the three lists in effect."""
    lists = {key: getattr(definition, key) or frozenset() for key in _CODE_KEYS}
    for first, second in (_CODE_KEYS[:2], _CODE_KEYS[::2], _CODE_KEYS[1:]):
        if both := sorted(lists[first] & lists[second]):
            key = next((key for key in (second, first) if key in raw), None)
            message = f"{', '.join(map(str, both))} is in {first} and in {second}"
            (place / key if key else place).error("bad_codes", message)


def templates(definition: Definition, raw: Mapping[str, Any], place: Place) -> None:
    """Check the placeholders of what this definition itself writes, and report text that only looks like one."""
    for index, element in enumerate(definition.command):
        _command_element(definition, index, element, place / "command" / index)
    if definition.shell:
        _shell_text(definition, place / "shell")
    if definition.unique and definition.unique.key is not None and "unique" in raw:
        here = place / "unique" / "key" if isinstance(raw["unique"], dict) else place / "unique"
        for found in placeholders.find(definition.unique.key):
            _check(found, ("payload",), definition.params, here)
        _near_misses(definition.unique.key, here)
    environment(raw, place)
    for key in ("python", "cwd", "description"):
        if isinstance(raw.get(key), str) and placeholders.find(raw[key]):
            (place / key).warning("looks_like_placeholder", f"placeholders are not filled in in {key}")


def environment(raw: Mapping[str, Any], place: Place) -> None:
    """Check the placeholders in the values of an `env` table."""
    values = raw.get("env")
    for name, value in values.items() if isinstance(values, dict) else ():
        if isinstance(value, str):
            for found in placeholders.find(value):
                _check(found, ("env",), None, place / "env" / name)
            _near_misses(value, place / "env" / name)


def _command_element(definition: Definition, index: int, element: str, place: Place) -> None:
    for found in placeholders.find(element):
        if index == 0:
            place.error("bad_placeholder", f"{found}: the program itself cannot come from a placeholder")
            continue
        _check(found, ("payload", "job", "schedule"), definition.params, place, alone=element == str(found))
        if found.namespace == "payload" and _redacted(found, definition.redact):
            place.warning("redacted_in_argv", f"{found} is redacted, but everybody on the machine can see it in ps")
    _near_misses(element, place)


def _check(
    found: Placeholder, allowed: tuple[str, ...], params: tuple[Param, ...] | None, place: Place, *, alone: bool = False
) -> None:
    trouble, suggestion = _trouble(found, allowed, params, alone=alone)
    if trouble:
        place.error("bad_placeholder", f"{found}: {trouble}", suggestion)


def _trouble(
    found: Placeholder, allowed: tuple[str, ...], params: tuple[Param, ...] | None, *, alone: bool
) -> tuple[str | None, str | None]:
    if found.namespace not in allowed:
        return f"only {' and '.join(allowed)} can stand here", None
    if found.spread and not alone:
        return "the form with ... must be a whole element of a command", None
    fields = {"job": JOB_FIELDS, "schedule": SCHEDULE_FIELDS}.get(found.namespace)
    if fields and (len(found.path) != 1 or found.path[0] not in fields):
        near = meant(found.path[0], fields) if found.path else None
        return f"{found.namespace} has the fields {', '.join(fields)}", near
    if found.namespace == "env" and len(found.path) != 1:
        return "write {env.NAME}", None
    return _payload_trouble(found, params)


def _payload_trouble(found: Placeholder, params: tuple[Param, ...] | None) -> tuple[str | None, str | None]:
    if found.namespace != "payload" or params is None or not found.path:
        return None, None
    names = {param.name: param for param in params}
    param = names.get(found.path[0])
    if param is None:
        return f'"{found.path[0]}" is not among the params', meant(found.path[0], names)
    if found.spread and len(found.path) == 1 and param.type != "array":
        return f'"{param.name}" is no array', None
    return None, None


def _shell_text(definition: Definition, place: Place) -> None:
    for found in placeholders.find(definition.shell):
        use = _variable_of(found)
        message = f'"{found}" is not filled in in shell text. Use "{use}", or command = [..., "{found}"]'
        place.error("placeholder_in_shell", message, use)


def _variable_of(found: Placeholder) -> str:
    field = found.path[0] if found.path else ""
    if found.namespace == "payload" and field:
        return f"${argument_variable(field)}"
    known = {
        ("job", "id"): "$KIRIBI_JOB_ID", ("job", "name"): "$KIRIBI_JOB", ("job", "queue"): "$KIRIBI_QUEUE",
        ("job", "attempt"): "$KIRIBI_ATTEMPT", ("job", "max_attempts"): "$KIRIBI_MAX_ATTEMPTS",
        ("schedule", "at"): "$KIRIBI_SCHEDULED_FOR", ("env", field): f"${field}",
    }  # fmt: skip
    return known.get((found.namespace, field), "$KIRIBI_PAYLOAD")


def _near_misses(text: str, place: Place) -> None:
    exact = {(found.start, found.end) for found in placeholders.find(text)}
    for match in _NEAR_MISS.finditer(text):
        doubled = text[: match.start()].endswith("{") and text[match.end() :].startswith("}")
        if match.span() not in exact and not doubled:
            message = f"{match[0]} is plain text; a placeholder is exactly {{payload.name}}"
            place.warning("looks_like_placeholder", message)


def _redacted(found: Placeholder, patterns: tuple[str, ...]) -> bool:
    value: Any = ""
    for key in reversed(found.path):
        value = {key: value}
    return bool(redacted(value, patterns, root=found.namespace) != value)


def option_injection(definition: Definition, place: Place) -> None:
    """Report string placeholders that would be taken for an option if the value begins with `-`."""
    types = {param.name: param.type for param in definition.params or ()}
    for index, element in enumerate(definition.command):
        if element == "--":
            return
        found = placeholders.find(element)[:1]
        if index and found and found[0].start == 0 and found[0].namespace == "payload":
            kind = types.get(found[0].path[0]) if found[0].path else None
            if kind not in ("integer", "number", "boolean"):
                message = f'{found[0]} could be taken for an option; put "--" before it'
                (place / "command" / index).warning("option_injection", message)


def this_machine(definition: Definition, raw: Mapping[str, Any], place: Place) -> None:
    """Report what this machine lacks: files, programs, root. Nothing here keeps a definition from being read."""
    _files(definition, raw, place)
    _program(definition, place)
    if os.geteuid() != 0:
        for key in ("user", "group"):
            if key in raw:
                (place / key).warning("not_root", f"{key} needs a worker started as root")
        if definition.nice < 0 and "nice" in raw:
            (place / "nice").warning("not_root", "a nice below 0 needs a worker started as root")


def _files(definition: Definition, raw: Mapping[str, Any], place: Place) -> None:
    if "env_file" in raw:
        for index, name in enumerate(definition.env_file):
            here = place / "env_file" / index if isinstance(raw["env_file"], list) else place / "env_file"
            if not name.startswith("?") and not Path(name).is_file():
                here.error("missing_file", f"there is no {name}", f"?{name}", here_only=True)
    if "interpreter" in raw and definition.interpreter and not Path(definition.interpreter).is_file():
        from shutil import which

        near = which(str(raw["interpreter"])) if "/" not in str(raw["interpreter"]) else None
        (place / "interpreter").error("missing_file", f"there is no {definition.interpreter}", near, here_only=True)
    if "cwd" in raw and not Path(definition.cwd).is_dir():
        (place / "cwd").warning("missing_file", f"there is no folder {definition.cwd}")


def _program(definition: Definition, place: Place) -> None:
    program = (definition.shell_bin if definition.kind == "shell" else definition.command)[:1]
    if not program or definition.kind == "python" or placeholders.find(program[0]):
        return
    from shutil import which  # with every way to compress a file

    key = place / "command" / 0 if definition.kind == "command" else place
    if "/" in program[0]:
        if not Path(definition.cwd, program[0]).exists():
            key.warning("not_on_path", f"there is no {Path(definition.cwd, program[0])}")
    elif "PATH" not in definition.env and which(program[0]) is None:
        key.warning("not_on_path", f'"{program[0]}" is not on the PATH')
