"""From what a person asks for to rows: which definition with which changes, checked before anything is written."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from json import loads
from typing import TYPE_CHECKING, Any, Literal

from kiribi_cli.actions.request import Request, changed, checked_name, given_key, usage, when_of
from kiribi_cli.config.model import Config
from kiribi_cli.core import payload as payloads
from kiribi_cli.core.definition import Definition
from kiribi_cli.core.job import Job, NewJob, Status
from kiribi_cli.core.options import with_command
from kiribi_cli.core.params import Judge, declared_types, judge_for, merge
from kiribi_cli.core.placeholders import MissingValueError, fill, fill_argv
from kiribi_cli.core.plan import filled_key, is_met, label, new_job, plan_of, with_key
from kiribi_cli.core.records import dataclass
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.store.base import Inserted, Store, UniqueTaken, Worker

if TYPE_CHECKING:
    from kiribi_cli.core.plan import Need, Plan

# Makes a row of the text of a payload, its value, and a key that was given.
Maker = Callable[[str | None, Any, str | None], NewJob]

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# A key this long says nothing to a reader any more; its hash tells jobs apart just as well.
_KEY_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, from where: `by` is user@host; `parent` the job inside which the request was made."""

    kind: Literal["cli", "batch", "run"]
    by: str
    parent: int | None
    cwd: str
    environ: Mapping[str, str]
    zone: tzinfo


@dataclass(frozen=True, slots=True)
class Recipe:
    """A request without its payload, read and checked once: makes any number of jobs."""

    definition: Definition
    plan: "Plan"
    judge: Judge
    # A key from the command line, literal; else the definition's, filled in per job.
    key: str | None
    when: Callable[[int], int | None]
    caller: Caller

    def job(self, payload: str | bytes | None, *, now: int) -> NewJob:
        """Check a payload and make its row; raises KiribiError(PAYLOAD)."""
        return self.maker(now)(*self.parsed(payload), self.key)

    def parsed(self, payload: str | bytes | None) -> tuple[str | None, Any]:
        """Give text and value of a payload that is valid JSON of a size that is allowed, or raise."""
        if payload is None:
            return None, None
        value = payloads.parse(payload, self.definition.payload_max)
        return payload.decode() if isinstance(payload, bytes) else payload, value

    def maker(self, now: int) -> Maker:
        """Give what makes the rows of one moment: what they share is worked out once, each row is a copy."""
        judged, plan, row = self._judged, self.plan, self.bare(now)
        unique = plan["unique"] is not None

        def make(payload: str | None, parsed: Any, key: str | None) -> NewJob:
            text, value = judged(payload, parsed)
            job = row.copy()
            job["payload"] = text
            return with_key(job, plan, self._filled(value) if key is None else key) if unique else job

        return make

    def bare(self, now: int) -> NewJob:
        """The row of one moment, without a payload and a key."""
        return new_job(
            self.plan,
            None,
            None,
            now=now,
            run_at=self.when(now),
            origin_kind=self.caller.kind,
            origin_by=self.caller.by,
            parent=self.caller.parent,
        )

    def text(self, line: bytes) -> str:
        """Check a payload and give the text to store; raises KiribiError(PAYLOAD)."""
        text, _ = self._judged(*self.parsed(line.strip(payloads.SPACE)))
        return "null" if text is None else text

    def block_texts(self) -> Callable[[Sequence[bytes]], list[str] | None]:
        """Give what does the same for many payloads at once, or answers None: then one needs a look by itself."""
        from kiribi_cli.core.block import block_check_for

        check, needs = block_check_for(self.definition), self.plan["needs"]

        def texts_of(lines: Sequence[bytes]) -> list[str] | None:
            seen = check(lines)
            return seen[0] if seen and all(is_met(need, value) for need in needs for value in seen[1]) else None

        return texts_of

    def _judged(self, payload: str | None, parsed: Any) -> tuple[str | None, Any]:
        text, value = self.judge(payload, parsed)
        for need in self.plan["needs"]:
            if not is_met(need, value):
                _check_need(self.definition.name, need, value)
        return text, value

    def _filled(self, value: Any) -> str:
        unique = self.definition.unique
        if unique is None or unique.key is None:
            return _canonical(value)
        if self.plan["unique"] and (key := filled_key(self.plan["unique"][0], value)) is not None:
            return key
        try:
            return fill(unique.key, {"payload": value})
        except MissingValueError as missing:
            raise _no_value(self.definition.name, missing.reason) from None


class Recipes:
    """Reads requests against jobs.toml, one after the other, and keeps what is costly about a definition."""

    def __init__(self, config: Config, caller: Caller) -> None:
        self._config = config
        self._caller = caller
        self._judges: dict[str, Judge] = {}

    def of(self, request: Request) -> Recipe:
        """Read a request; raises KiribiError for everything in it that cannot be."""
        definition = changed(_settled(request, self._config, self._caller), request)
        plan = plan_of(definition)
        if request.command:
            env = _environment(request.env, self._caller.environ)
            plan["options"] = with_command(plan["options"], request.command, _folder(request, self._caller), env)
        elif request.env or request.cwd or request.name:
            option = "--env" if request.env else "--cwd" if request.cwd else "--name"
            raise usage(f"{option} is for commands after --; {request.job} is a definition", "set it in jobs.toml")
        when = when_of(request, self._caller.zone)
        return Recipe(definition, plan, self._judge(definition), given_key(request), when, self._caller)

    def _judge(self, definition: Definition) -> Judge:
        if definition.adhoc:
            return judge_for(definition)
        if (judge := self._judges.get(definition.name)) is None:
            judge = self._judges[definition.name] = judge_for(definition)
        return judge


def payload_text(
    definition: Definition, given: str | bytes | None, words: tuple[str, ...], read: Callable[[str], str]
) -> str | bytes | None:
    """Put KEY=VALUE words over the payload that was given. `read` returns the text of a file that a word names."""
    if not words:
        return given
    text = given.decode("utf-8", "surrogateescape") if isinstance(given, bytes) else given
    return merge(text, words, declared_types(definition), read, max_bytes=definition.payload_max)


def find_definition(config: Config, name: str) -> Definition:
    """Look a definition up; raises NOT_FOUND with the nearest name, CONFIG if there is no jobs.toml at all."""
    if (definition := config.definitions.get(name)) is not None:
        return definition
    from difflib import get_close_matches

    shown = payloads.shown(name)
    hint = f"to enqueue a command put -- before it: kiribi enqueue -- {shown}"
    if config.path is None:
        sentence = f'no job definition "{shown}": there is no jobs.toml here or above'
        raise KiribiError(Code.CONFIG, sentence, hint=f"kiribi init writes one; {hint}")
    near = get_close_matches(name, list(config.definitions), n=1)
    suggestion = f'. Did you mean "{near[0]}"?' if near else ""
    sentence = f'no job definition "{shown}" in {config.path}{suggestion}'
    raise KiribiError(Code.NOT_FOUND, sentence, hint=f"kiribi def ls lists them; {hint}")


def _settled(request: Request, config: Config, caller: Caller) -> Definition:
    """The definition in its queue: the queue is settled first, because its defaults count."""
    if request.command:
        if not request.command[0]:
            raise usage("the command is empty", "kiribi enqueue -- sleep 10")
        name = label(request.command[0]) if request.name is None else checked_name(request.name)
        definition = config.adhoc(name, request.command, request.cwd or caller.cwd)
    else:
        definition = find_definition(config, request.job or "")
    if request.queue is None:
        return definition
    _check_queue(config, request.queue)
    return config.effective(definition, request.queue)


def _check_queue(config: Config, name: str) -> None:
    if not NAME.fullmatch(name):
        raise usage(f'"{payloads.shown(name)}" is no name for a queue', "a letter, then letters, digits, - and _")
    known = {*config.queues, *(definition.queue for definition in config.definitions.values())}
    if config.path is None or name in known:
        return
    from difflib import get_close_matches

    near = get_close_matches(name, list(known), n=1)
    suggestion = f'. Did you mean "{near[0]}"?' if near else ""
    sentence = f'no queue "{name}" in {config.path}{suggestion}'
    raise KiribiError(Code.NOT_FOUND, sentence, hint=f"declare it there: [queues.{name}]")


def _canonical(value: Any) -> str:
    """One text for all payloads that are equal, whatever the order of their keys."""
    from hashlib import sha256
    from json import dumps

    text = dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text if len(text) <= _KEY_SHOWN else f"sha256:{sha256(text.encode()).hexdigest()}"


def _check_need(name: str, need: "Need", value: Any) -> None:
    path, spread = need
    element = "{" + ".".join(("payload", *path)) + ("...}" if spread else "}")
    try:
        fill_argv([element], {"payload": value})
    except MissingValueError as missing:
        raise _no_value(name, missing.reason) from None


def _no_value(name: str, reason: str) -> KiribiError:
    return KiribiError(Code.PAYLOAD, f"the payload of {name}: {reason}", hint=f"kiribi def show {name}")


def _environment(words: tuple[str, ...], environ: Mapping[str, str]) -> dict[str, str] | None:
    env = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not _VARIABLE.fullmatch(name):
            raise usage(f'--env: "{payloads.shown(name)}" is no name for a variable', "--env NAME or --env NAME=VALUE")
        if not equals and name not in environ:
            raise usage(f"--env {name}: there is no such variable here", f"--env {name}=VALUE")
        env[name] = value if equals else environ[name]
    return env or None


def _folder(request: Request, caller: Caller) -> str:
    return os.path.normpath(os.path.join(caller.cwd, request.cwd)) if request.cwd else caller.cwd  # noqa: PTH118


def enqueue(store: Store, row: NewJob, *, now: int) -> Inserted:
    """Store one job, durable on return; raises CONFLICT, naming the holder, where the unique key asks for that."""
    try:
        return store.insert([row], now=now)[0]
    except UniqueTaken as taken:
        sentence = f'the unique key "{payloads.shown(taken.key)}" of {row["job"]} is held by job {taken.holder}'
        raise KiribiError(Code.CONFLICT, sentence, hint=f"kiribi show {taken.holder}") from None


def serving(store: Store, queue: str) -> list[Worker]:
    """The live workers that take jobs from a queue."""
    return [
        worker
        for worker in store.workers()
        if worker.alive and worker.kind == "worker" and worker.state == "running"
        if worker.queues is None or queue in worker.queues
    ]


def no_worker(queue: str) -> KiribiError:
    return KiribiError(
        Code.NO_WORKER, f"no worker serves the queue {queue}; nothing was enqueued", hint="kiribi worker"
    )


def preview(row: NewJob, *, now: int) -> Job:
    """The job that a row would become, with the id 0."""
    return Job(
        id=0, job=row["job"], kind=row["kind"], adhoc=bool(row["adhoc"]),
        status=Status.SCHEDULED if row["run_at"] > now else Status.PENDING,
        queue=row["queue"], priority=row["priority"], tags=tuple(loads(row["tags"] or "[]")),
        attempts=0, max_attempts=row["max_attempts"], snoozes=0, interruptions=0, attempt=0, attempt_id=None,
        unique_key=row.get("unique_key"), created_at=row["created_at"], run_at=row["run_at"], first_started_at=None,
        started_at=None, finished_at=None, expires_at=row.get("expires_at"), cancel_requested_at=None,
        cancel_requested_by=None, duration_ms=None, total_ms=0, exit_code=None, signal=None, error=None, reason=None,
        progress=None, schedule=None, scheduled_for=None, flow=None, step=None, parent=row["parent"],
        origin_kind=row["origin_kind"], origin_by=row["origin_by"], worker=None, payload=row["payload"], result=None,
        options=row["options"],
    )  # fmt: skip
