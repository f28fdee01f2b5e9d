"""Look at definitions: what there is, how each has been doing, and how one is enqueued."""

import json
import shlex
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from kiribi_cli.actions.settings import Origins, Setting, definition_settings
from kiribi_cli.config.model import Config
from kiribi_cli.config.publish import all_published
from kiribi_cli.core.definition import Definition, Param
from kiribi_cli.core.job import Job
from kiribi_cli.core.placeholders import find
from kiribi_cli.core.published import Published
from kiribi_cli.core.records import dataclass
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.store.base import Store

WEEK_MS = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Standing:
    """A definition and how it does. `ok`: completed among all that ended in the last 7 days, None for none."""

    definition: Definition
    last: Job | None
    ok: float | None


def definitions(
    config: Config, store: Store | None, *, glob: str = "*", hidden: bool = False, now: int
) -> Iterator[Standing]:
    """List definitions in the order of the file. Without a database nothing has run yet."""
    for definition in config.definitions.values():
        if fnmatchcase(definition.name, glob) and (hidden or not definition.hidden):
            yield _standing(definition, store, now)


def _standing(definition: Definition, store: Store | None, now: int) -> Standing:
    if store is None:
        return Standing(definition, None, None)
    latest = store.latest(definition.name)
    hours = store.hours("job", since=now - WEEK_MS, until=now + 1, key=definition.name)
    completed, failed = sum(hour.completed for hour in hours), sum(hour.failed for hour in hours)
    ok = completed / (completed + failed) if completed + failed else None
    return Standing(definition, store.job(latest, now=now) if latest is not None else None, ok)


@dataclass(frozen=True, slots=True)
class Page:
    """Everything about one definition."""

    definition: Definition
    place: str
    settings: tuple[Setting, ...]
    example: str


def page(config: Config, definition: Definition) -> Page:
    place = Origins(config).of("jobs", definition.name) or ""
    return Page(definition, place, tuple(definition_settings(config, definition)), example(definition))


def to_publish(config: Config) -> tuple[str, list[Published]]:
    """Give what the view `enqueue` is to know, and of which file. Raises CONFIG without a jobs.toml."""
    if config.path is None:
        raise KiribiError(Code.CONFIG, "there is no jobs.toml here or above", hint="kiribi init writes one")
    return str(config.path), all_published(config)


def param_object(param: Param) -> dict[str, Any]:
    """Describe a parameter for programs; `default` is null where there is none, and `has_default` says which."""
    return {
        "name": param.name,
        "type": param.type,
        "required": param.required and not param.has_default,
        "has_default": param.has_default,
        "default": param.default,
        "choices": None if param.choices is None else list(param.choices),
        "min": param.min,
        "max": param.max,
        "pattern": param.pattern,
        "items": param.items,
        "help": param.help,
    }


def example(definition: Definition) -> str:
    """Write a command line that enqueues it, with all that it needs.

    >>> example(Definition("Copy", "command", command=("cp", "--", "{payload.src}", "/srv")))
    'kiribi enqueue Copy src=VALUE'
    >>> example(Definition("Resize", "shell", shell="", params=(Param("width", "integer", min=10),)))
    'kiribi enqueue Resize width=10'
    """
    words = ["kiribi", "enqueue", definition.name]
    if definition.params is not None:
        words += [_assignment(param) for param in definition.params if param.required and not param.has_default]
    else:
        needs = (placeholder for element in definition.command[1:] for placeholder in find(element))
        paths = (each.path for each in needs if each.namespace == "payload" and each.path)
        words += [f"{key}=VALUE" for key in dict.fromkeys(str(path[0]) for path in paths)]
    return " ".join(words)


def _assignment(param: Param) -> str:
    value = param.choices[0] if param.choices else _sample(param)
    if isinstance(value, str):
        return shlex.quote(f"{param.name}={value}")
    if isinstance(value, list | dict):
        return shlex.quote(f"{param.name}:={json.dumps(value)}")
    return f"{param.name}={json.dumps(value)}"


def _sample(param: Param) -> Any:
    match param.type:
        case "integer":
            return int(param.min) if param.min is not None else 1
        case "number":
            return param.min if param.min is not None else 1.5
        case "boolean":
            return True
        case "array":
            return ["VALUE"] if param.items in (None, "string") else []
        case "object":
            return {}
        case "string":
            return "VALUE"
