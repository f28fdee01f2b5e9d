"""Change a job that has not started: by options, or as a text in an editor. Checked as any enqueue is."""

import json
from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Any

from kiribi_cli.actions.duplicate import options_like, request_like
from kiribi_cli.actions.enqueue import Caller, Recipes, payload_text
from kiribi_cli.actions.request import Request
from kiribi_cli.config.model import Config
from kiribi_cli.core.durations import spell
from kiribi_cli.core.job import Job
from kiribi_cli.core.options import options_from, options_text
from kiribi_cli.core.records import dataclass, field, replace
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.store.base import Edit


@dataclass(frozen=True, slots=True)
class Said:
    """What is to change. `tags` None leaves them, () takes them away; `payload` None leaves it."""

    request: Request = field(default_factory=Request)
    payload: str | bytes | None = None
    words: tuple[str, ...] = ()
    tags: tuple[str, ...] | None = None


def edit_of(job: Job, said: Said, config: Config, caller: Caller, *, read: Callable[[str], str], now: int) -> Edit:
    """Turn what was said into new values; raises what `enqueue` would raise for the same words."""
    request = replace(said.request, tags=said.tags or ())
    recipe = Recipes(config, caller).of(request_like(job, request, config))
    repaid = said.payload is not None or bool(said.words)
    before = job.payload if said.payload is None else said.payload
    text = payload_text(recipe.definition, before, said.words, read) if repaid else job.payload
    row = recipe.job(text, now=now)
    moved = request.at is not None or request.delay is not None
    rekeyed = repaid and job.unique_key is not None and row.get("unique_key") != job.unique_key
    frozen = request.timeout is not None
    return Edit(
        payload=row["payload"] if repaid else None,
        options=(options_text(options_like(job, request, recipe)) or "{}") if frozen else None,
        queue=request.queue,
        priority=request.priority,
        max_attempts=request.max_attempts,
        run_at=row["run_at"] if moved else None,
        expires_at=_expires(job, request, recipe.definition.expires_ms, row["run_at"] if moved else job.run_at),
        tags=None if said.tags is None else tuple(dict.fromkeys(said.tags)),
        unique_key=row.get("unique_key") if rekeyed else None,
        unique_hash=row.get("unique_hash") if rekeyed else None,
    )


def check_editable(job: Job) -> None:
    """Raise CONFLICT for a job that runs or has ended."""
    if job.finished_at is not None:
        sentence = f"job {job.id} is {job.status} already"
        raise KiribiError(Code.CONFLICT, sentence, hint=f"a new one like it: kiribi duplicate {job.id} --edit")
    if job.attempt_id is not None:
        raise KiribiError(Code.CONFLICT, f"job {job.id} has started", hint=f"kiribi cancel {job.id} ends it")


def draft(job: Job, *, zone: tzinfo) -> dict[str, Any]:
    """Give the values that can be edited, as a table of TOML."""
    value = None if job.payload is None else json.loads(job.payload)
    payload = "" if job.payload is None else json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    timeout = options_from(job.options).timeout_ms
    return {
        "payload": payload,
        "queue": job.queue,
        "priority": job.priority,
        "max_attempts": job.max_attempts,
        "at": datetime.fromtimestamp(job.run_at / 1000, zone).isoformat(sep=" ", timespec="seconds"),
        "timeout": "none" if timeout is None else spell(timeout),
        "expires": "none" if job.expires_at is None else spell(max(0, job.expires_at - job.run_at)),
        "tags": list(job.tags),
    }


def draft_text(draft: dict[str, Any]) -> str:
    """Write the table for an editor: the payload as it is, in literal quotes, where TOML lets it."""
    from tomli_w import dumps

    payload = draft["payload"]
    if "'''" in payload or "\x7f" in payload:
        return dumps(draft, multiline_strings=True)
    rest = {key: value for key, value in draft.items() if key != "payload"}
    return f"payload = '''\n{payload}'''\n{dumps(rest)}"


def said_in(text: str, before: dict[str, Any]) -> Said:
    """Read an edited draft and say what is different from before; raises USAGE for what is no such table."""
    import tomllib

    try:
        after = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise KiribiError(Code.USAGE, f"what you wrote is not TOML: {error}", hint="nothing was changed") from None
    if unknown := sorted(after.keys() - before.keys()):
        known = ", ".join(before)
        raise KiribiError(Code.USAGE, f'"{unknown[0]}" cannot be edited', hint=f"keys are {known}; nothing was changed")
    changed = {key: value for key, value in after.items() if value != before[key]}
    for key, value in changed.items():
        _check_type(key, value, before[key])
    return Said(
        request=Request(
            queue=changed.get("queue"),
            priority=changed.get("priority"),
            max_attempts=changed.get("max_attempts"),
            at=changed.get("at"),
            timeout=changed.get("timeout"),
            expires=changed.get("expires"),
        ),
        payload=changed.get("payload"),
        tags=None if "tags" not in changed else tuple(changed["tags"]),
    )


def _expires(job: Job, request: Request, expires_ms: int | None, run_at: int) -> int | None:
    if request.expires is not None:
        return 0 if expires_ms is None else run_at + expires_ms
    # A job that is moved keeps the length of its patience.
    return None if job.expires_at is None or run_at == job.run_at else run_at + job.expires_at - job.run_at


def _check_type(key: str, value: Any, before: Any) -> None:
    right = isinstance(value, type(before)) and not isinstance(value, bool)
    if isinstance(before, list):
        right = isinstance(value, list) and all(isinstance(each, str) for each in value)
    if not right:
        noun = {str: "a string", int: "an integer", list: "an array of strings"}[type(before)]
        raise KiribiError(Code.USAGE, f"{key} must be {noun}", hint="nothing was changed")
