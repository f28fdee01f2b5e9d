"""Text for jobs.toml: the starter file, one more definition at its end, and its JSON Schema. Never rewrites a file."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kiribi_cli.config import forms, keys
from kiribi_cli.config.model import Config
from kiribi_cli.config.read import check
from kiribi_cli.core.definition import Definition, Param
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.partial import keep_new, partial
from kiribi_cli.private import make_folder, opener

_MINIMAL = """\
{zone}
[jobs]
Hello = "echo hello from kiribi"
"""

_STARTER = """\
#:schema ./jobs.schema.json              # kiribi def schema > jobs.schema.json: editors complete and check
# What can be run, and how. `kiribi check` says what is wrong here, `kiribi def show NAME` what is in effect.
version = 1
{zone}
# db = ".kiribi/kiribi.db"               # the default
# redact = ["*password*", "*token*"]     # shown as *** in every output

[defaults]                               # for every definition below
max_attempts = 3                         # three tries in all
backoff = {{ kind = "exponential", base = "10s", factor = 2, max = "1h", jitter = 0.2 }}
timeout = "1h"                           # per attempt

[queues]
default = {{ concurrency = 4 }}            # running jobs, over all workers

[jobs]                                   # short forms: a string is `shell`, an array is `command`
Hello = "echo hello from kiribi"         # try it: kiribi enqueue Hello; kiribi worker --drain; kiribi logs

# command: no shell, and one element stays one argument. Enqueue it with: kiribi enqueue Greet name=you
[jobs.Greet]
description = "Say hello to somebody"
command = ["echo", "hello {{payload.name}}"]
[jobs.Greet.params]
name = {{ type = "string", default = "world", help = "who is greeted" }}

# shell: values arrive as environment variables, in quotes.
# [jobs.Sync]
# shell = 'rsync -a -- "$KIRIBI_ARG_SRC/" "$KIRIBI_ARG_DST/"'
# params = {{ src = "string", dst = "string" }}
# unique = true                          # the same payload is not enqueued twice while one is unfinished
# retry_codes = [10, 12, 30]             # only these are tried again

# python: a function, in a pooled child interpreter; payload keys become its arguments.
# [jobs.Mail]
# python = "app.jobs:send_mail"
# interpreter = ".venv/bin/python"
# backoff = ["10s", "1m", "10m"]         # after the 1st, 2nd, 3rd failure
"""

GITIGNORE = "*\n"


def starter(*, minimal: bool = False, zone: str | None = None) -> str:
    """Write the jobs.toml of `kiribi init`, with the zone of this machine where it has a name."""
    named = f'timezone = "{zone}"' if zone else '# timezone = "Europe/Berlin"'
    return (_MINIMAL if minimal else _STARTER).format(zone=named)


def machine_zone(env: Mapping[str, str], localtime: Path = Path("/etc/localtime")) -> str | None:
    """Name the zone of this machine: TZ, else where /etc/localtime leads; None if it has no name."""
    from zoneinfo import ZoneInfo

    real = os.path.realpath(localtime)
    for name in (env.get("TZ", "").removeprefix(":"), real.rpartition("/zoneinfo/")[2] if "/zoneinfo/" in real else ""):
        try:
            if name and ZoneInfo(name):
                return name
        except (KeyError, ValueError, OSError):
            continue
    return None


def init(folder: Path, *, minimal: bool, zone: str | None) -> Path:
    """Write jobs.toml and `.kiribi/` with its own .gitignore; the database is the store's. CONFLICT if there is one."""
    path = folder / "jobs.toml"
    try:
        with partial(path) as part:
            if path.exists():
                raise _taken(path)
            state = folder / ".kiribi"
            make_folder(state)
            with open(state / ".gitignore", "w", encoding="utf-8", opener=opener) as file:
                file.write(GITIGNORE)
            with open(part, "x", encoding="utf-8", opener=opener) as file:
                file.write(starter(minimal=minimal, zone=zone))
            # Last, and whole: where it stands, all was done.
            keep_new(part, path)
    except FileExistsError:
        raise _taken(path) from None
    except OSError as error:
        raise KiribiError(Code.CONFIG, f"cannot write {error.filename}: {error.strerror}") from None
    return path


def _taken(path: Path) -> KiribiError:
    return KiribiError(Code.CONFLICT, f"there is a {path} already", hint="kiribi check looks at it")


def add_definition(config: Config, name: str, table: Mapping[str, Any]) -> str:
    """Append [jobs.NAME] to jobs.toml and return the text that was added; only if the file is valid with it.

    `table` is as in the file: {"command": [...], "queue": "mail"}. CONFLICT if the name is taken.
    """
    path = config.path
    if path is None:
        raise KiribiError(Code.CONFIG, "there is no jobs.toml to add to", hint="kiribi init writes one")
    if not forms.NAME.fullmatch(name):
        raise KiribiError(Code.USAGE, forms.bad_name("job", name))
    if name in config.definitions:
        raise KiribiError(Code.CONFLICT, f"{path} has a definition {name} already", hint=f"kiribi def show {name}")
    before = config.sources[0].text
    added = definition_text(name, table, before)
    _check_whole(path, before + added)
    _append(path, added, len(before.encode()))
    return added


def definition_text(name: str, table: Mapping[str, Any], before: str) -> str:
    """Write a [jobs.NAME] table so that it can stand after `before`."""
    from tomli_w import dumps

    gap = "" if not before else "\n" if before.endswith("\n") else "\n\n"
    try:
        text = gap + dumps({"jobs": {name: dict(table)}})
        text.encode()
    except UnicodeEncodeError:
        raise KiribiError(Code.USAGE, "cannot be written as TOML: a word is not UTF-8") from None
    except (TypeError, ValueError) as error:
        raise KiribiError(Code.USAGE, f"cannot be written as TOML: {error}") from None
    return text


def _check_whole(path: Path, text: str) -> None:
    problems = [problem for problem in check(path, text=text) if problem.severity == "error" and not problem.here_only]
    if problems:
        details = tuple(str(problem) for problem in problems)
        raise KiribiError(Code.CONFIG, f"with this, {path} would not be valid", details=details)


def _append(path: Path, text: str, size_before: int) -> None:
    """Append in one write; a half-written table is taken back."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            size = os.fstat(file).st_size
            if size != size_before and size != size_before + _carriage_returns(path):
                raise KiribiError(Code.CONFLICT, f"{path} was changed meanwhile", hint="try again")
            content = text.encode()
            if os.write(file, content) != len(content):
                os.ftruncate(file, size)
                raise KiribiError(Code.CONFIG, f"cannot write {path}: the disk is full")
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        raise KiribiError(Code.CONFIG, f"cannot write {path}: {error.strerror}") from None


def _carriage_returns(path: Path) -> int:
    # Line ends are made plain when a file is read, so its text can be shorter than the file.
    return path.read_bytes().count(b"\r\n")


def file_schema() -> dict[str, Any]:
    """Write the JSON Schema of jobs.toml, for editors. It knows forms, not the rules between keys: `check` does."""
    job = forms.table_schema(keys.DEFINITION)
    named = {"pattern": f"^{forms.NAME.pattern}$"}
    short = [{"type": "string"}, keys.COMMAND.form.schema]
    settings = forms.table_schema(keys.SETTINGS)["properties"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "kiribi jobs.toml",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **settings,
            "version": {"const": 1},
            "defaults": forms.table_schema(keys.COMMON),
            "queues": _named(forms.table_schema(keys.QUEUE), named),
            "jobs": _named({"anyOf": [*short, job]}, named),
        },
    }


def _named(schema: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "propertyNames": names, "additionalProperties": schema}


def payload_schema(definition: Definition) -> dict[str, Any]:
    """Write the JSON Schema of a definition's payload; any JSON where it declares nothing."""
    if definition.payload_schema is not None:
        return definition.payload_schema
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": definition.name}
    if definition.params is None:
        return head
    needed = [param.name for param in definition.params if param.required and not param.has_default]
    properties = {param.name: _param_schema(param) for param in definition.params}
    schema = {**head, "type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": needed} if needed else schema


def _param_schema(param: Param) -> dict[str, Any]:
    optional = not param.required or param.has_default
    schema: dict[str, Any] = {"type": [param.type, "null"] if optional else param.type}
    ends = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems")}
    low, high = ends.get(param.type, ("minimum", "maximum"))
    found = {
        "description": param.help or None,
        "default": param.default if param.has_default else None,
        "enum": None if param.choices is None else [*param.choices, *([None] if optional else [])],
        low: param.min,
        high: param.max,
        "pattern": param.pattern,
        "items": None if param.items is None else {"type": param.items},
    }
    return schema | {key: value for key, value in found.items() if value is not None}
