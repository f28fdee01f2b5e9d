"""From a definition and a claimed job to a Launch: argv, environment, folder, program. Starts nothing."""

import json
import os
import signal
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from kiribi_cli.clock import monotonic
from kiribi_cli.core.definition import Definition
from kiribi_cli.core.outcome import Ended, NeverStarted
from kiribi_cli.core.params import check_for
from kiribi_cli.core.placeholders import MissingValueError, fill_argv
from kiribi_cli.core.records import replace
from kiribi_cli.errors import KiribiError
from kiribi_cli.runner.environment import CannotPrepareError, compose, look_up, of_attempt, reserved, shared_by_attempts
from kiribi_cli.runner.launch import Base, Launch, Place, Work

_KNOWN_MAX = 512
_KNOWN_S = 1.0


def prepare(definition: Definition, work: Work, place: Place) -> Launch | Ended:
    """Make the Launch of an attempt, or the Ended (NeverStarted) that says why there is none."""
    try:
        if work.unchecked:
            work = work._replace(payload=_checked(definition, work.payload, place))
        return _launch(definition, work, place)
    except (CannotPrepareError, MissingValueError) as error:
        return Ended(work.attempt_id, NeverStarted(str(error)))


def find_program(name: str, *, cwd: str, path: str) -> str:
    """Find the file to execute: with a slash relative to `cwd`, else on `path`. Raises CannotPrepareError."""
    if "/" in name:
        plain = name.removeprefix("./").lstrip("/") if name.startswith("./") else name
        return _runnable(os.path.join(cwd, plain), name)  # noqa: PTH118  (per attempt; pathlib costs ten times as much)
    there = ""
    for folder in path.split(os.pathsep):
        candidate = os.path.join(cwd, folder, name)  # noqa: PTH118  (as above)
        if not os.path.isfile(candidate):  # noqa: PTH113  (as above)
            continue
        if os.access(candidate, os.X_OK):
            return candidate
        there = there or candidate
    if there:
        raise CannotPrepareError(
            f"{there} is not executable, and there is no other {name!r} on the job's PATH ({path})"
        )
    raise CannotPrepareError(f"{name!r} was not found on the job's PATH ({path})")


def _launch(definition: Definition, work: Work, place: Place) -> Launch:
    extra = {name: value for name, value in work.env.items() if not reserved(name)} if work.env else {}
    base = _base(definition, work, place)
    _see_folder(base.cwd, place)
    stdin = _stdin(definition, work)
    if definition.kind == "python":
        # Children are pooled by environment: a job that brings its own gets a child of its own.
        base = _kept(replace(base, env=tuple((dict(base.env) | extra).items())), place) if extra else base
        argv: tuple[str, ...] = ("python", definition.python)
        return Launch(
            work.attempt_id, work.job_id, base, "", argv, shared_by_attempts(work), work.payload, stdin,
            work.timeout_ms, work.earlier,
        )  # fmt: skip
    payload = None if work.payload is None else json.loads(work.payload)
    argv = _argv(definition, work, payload)
    program = _program(argv[0], base.cwd, _path(base, extra), place)
    return Launch(
        work.attempt_id, work.job_id, base, program, argv, extra | of_attempt(work, payload), work.payload, stdin,
        work.timeout_ms, work.earlier,
    )  # fmt: skip


def _see_folder(path: str, place: Place) -> None:
    """Raise CannotPrepareError where there is no such folder; an answer is good for a second, as in _program."""
    now = monotonic()
    key = ("folder", path)
    if now < place.known.get(key, 0.0):
        return
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  (pathlib costs ten times as much)
    except OSError as error:
        how = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be entered: {error.strerror}"
        raise CannotPrepareError(f"the folder {path} {how}") from error
    if not stat.S_ISDIR(mode):
        raise CannotPrepareError(f"{path} is to be the working folder, but is none")
    place.known[key] = now + _KNOWN_S


def _checked(definition: Definition, payload: str | None, place: Place) -> str | None:
    """Check a payload that came by SQL as any other door does at once, and put in the defaults of params."""
    known = place.known.get(("check", definition.name))
    if known is None or known[0] is not definition:
        known = place.known[("check", definition.name)] = (definition, check_for(definition))
    try:
        checked: str | None = known[1](payload)[0]
    except KiribiError as error:
        details = (" ".join(line.split()) for line in error.details)
        raise CannotPrepareError("; ".join((error.message, *details))) from error
    return checked


def _program(name: str, cwd: str, path: str, place: Place) -> str:
    """As find_program; an answer is good for a second, because short jobs ask for the same one thousands of times."""
    key = ("program", name, cwd, path)
    now = monotonic()
    known = place.known.get(key)
    if known is not None and now < known[0]:
        return known[1]  # type: ignore[no-any-return]
    program = find_program(name, cwd=cwd, path=path)
    place.known[key] = (now + _KNOWN_S, program)
    return program


def _base(definition: Definition, work: Work, place: Place) -> Base:
    known = place.known.get(definition.name)
    # A file of variables may change between two attempts, and is read again for each.
    if known is not None and known[0] is definition and known[1] == work.cwd and not definition.env_file:
        return known[2]  # type: ignore[no-any-return]
    base = _kept(_composed(definition, work, place), place)
    place.known[definition.name] = (definition, work.cwd, base)
    return base


def _composed(definition: Definition, work: Work, place: Place) -> Base:
    identity = look_up(definition.user, definition.group)
    env = compose(definition, identity, place)
    folder = str(Path(place.config_path).parent) if place.config_path else "/"
    cwd = work.cwd or definition.cwd or folder
    base = Base(
        env=tuple(env.items()),
        cwd=cwd,
        umask=definition.umask,
        nice=definition.nice,
        limits=definition.limits,
        identity=identity,
        stop_signal=_signal_number(definition.stop_signal),
        kill_after_ms=definition.kill_after_ms,
        adopt=definition.on_worker_death == "adopt",
        result=definition.result,
        result_max=definition.result_max,
        log_max=definition.log_max,
    )
    if definition.kind != "python":
        return base
    path = env.get("PATH", os.defpath)
    interpreter = find_program(definition.interpreter or place.interpreter, cwd=cwd, path=path)
    return replace(base, python=definition.python, interpreter=interpreter, reuse=definition.reuse)


def _kept(base: Base, place: Place) -> Base:
    """Give the equal Base that was made before, if any: the hands know a Base by its identity."""
    if len(place.known) > _KNOWN_MAX:
        place.known.clear()
    return place.known.setdefault(base, base)  # type: ignore[no-any-return]


def _argv(definition: Definition, work: Work, payload: Any) -> tuple[str, ...]:
    if work.argv is not None:
        return work.argv
    if definition.kind == "shell":
        return (*definition.shell_bin, definition.shell)
    if definition.adhoc or not any("{" in element for element in definition.command):
        return definition.command
    values = {"payload": payload, "job": _job(work), "schedule": _schedule(work)}
    return (definition.command[0], *fill_argv(definition.command[1:], values))


def _job(work: Work) -> dict[str, Any]:
    return {
        "id": work.job_id,
        "name": work.job,
        "queue": work.queue,
        "attempt": work.attempt,
        "max_attempts": work.max_attempts,
        "tags": list(work.tags),
    }


def _schedule(work: Work) -> dict[str, str]:
    from zoneinfo import ZoneInfo

    at_ms = work.run_at if work.scheduled_for is None else work.scheduled_for
    at = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(ZoneInfo(work.timezone))
    return {"name": work.schedule, "at": at.isoformat(), "day": at.date().isoformat()}


def _stdin(definition: Definition, work: Work) -> Literal["payload", "null", "inherit"]:
    if work.stdin == "inherit":
        return "inherit"
    return "payload" if work.payload is not None and definition.stdin == "json" else "null"


def _path(base: Base, extra: dict[str, str]) -> str:
    if "PATH" in extra:
        return extra["PATH"]
    return next((value for name, value in base.env if name == "PATH"), os.defpath)


def _signal_number(name: str) -> int:
    try:
        return int(signal.Signals[name if name.startswith("SIG") else f"SIG{name}"])
    except KeyError as error:
        raise CannotPrepareError(f"there is no signal {name!r} on this machine") from error


def _runnable(path: str, name: str) -> str:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  (per attempt)
    except FileNotFoundError as error:
        if not os.path.islink(path):  # noqa: PTH114  (as above)
            raise CannotPrepareError(f"{name} does not exist") from error
        target = os.readlink(path)  # noqa: PTH115  (as above)
        raise CannotPrepareError(f"{name} is a link to {target}, which does not exist") from error
    except OSError as error:
        raise CannotPrepareError(f"{name} cannot be reached: {error.strerror}") from error
    if stat.S_ISDIR(mode):
        raise CannotPrepareError(f"{name} is a folder")
    if not stat.S_ISREG(mode):
        raise CannotPrepareError(f"{name} is not a file")
    if not os.access(path, os.X_OK):
        raise CannotPrepareError(f"{name} is not executable")
    return path
