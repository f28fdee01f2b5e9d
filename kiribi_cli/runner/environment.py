"""The environment of a job: inherited, named by its definition, and the KIRIBI_ variables (jobs-toml.md, 5 and 7.1)."""

import grp
import os
import pwd
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

from kiribi_cli.core.definition import Definition
from kiribi_cli.core.instant import rfc3339
from kiribi_cli.core.placeholders import fill, text_of
from kiribi_cli.runner.launch import Identity, Place, Work

# Longer values come by stdin and file only: one variable cannot be longer than 128 KiB.
DOOR_MAX = 65_536

# Ours alone: a worker that was itself started by a job must not pass that job's values on.
_RESERVED = re.compile(
    r"KIRIBI_(JOB|JOB_ID|QUEUE|ATTEMPT|ATTEMPT_ID|ATTEMPTS_LEFT|MAX_ATTEMPTS|SCHEDULED_FOR|DEADLINE|FLOW_ID|STEP|HOOK"
    r"|CONFIG|DB|PAYLOAD|PAYLOAD_FILE|RESULT_FILE|PROGRESS_FILE|HANDS|ARG_.*)"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class CannotPrepareError(Exception):
    """Why an attempt can never start, as a sentence."""


def compose(definition: Definition, identity: Identity | None, place: Place) -> dict[str, str]:
    """Put together what all attempts share: env_inherit, then env_file, then env, then KIRIBI_CONFIG and KIRIBI_DB."""
    env = dict(_inherited(definition.env_inherit, place))
    if identity is not None:
        env |= {"HOME": identity.home, "USER": identity.name, "LOGNAME": identity.name}
    for name in definition.env_file:
        env |= _file(name, place)
    values = {"env": dict(env)}
    env |= {name: fill(text, values) for name, text in definition.env.items()}
    env = {name: value for name, value in env.items() if not reserved(name)}
    own = {"KIRIBI_CONFIG": place.config_path, "KIRIBI_DB": place.db_path}
    return env | {name: value for name, value in own.items() if value}


def of_attempt(work: Work, payload: Any) -> dict[str, str]:
    """Give the KIRIBI_ variables of one attempt but for the files, which the hands make."""
    env = {
        **shared_by_attempts(work),
        "KIRIBI_JOB_ID": str(work.job_id),
        "KIRIBI_ATTEMPT_ID": str(work.attempt_id),
    }
    if work.payload is not None:
        if len(work.payload.encode("utf-8", "surrogatepass")) <= DOOR_MAX:
            env["KIRIBI_PAYLOAD"] = work.payload
        env |= _arguments(payload)
    return env


def shared_by_attempts(work: Work) -> dict[str, str]:
    """Give the KIRIBI_ variables that tell nothing of the single job; the same object each time, not to be changed."""
    return _shared(work.job, work.queue, work.attempt, work.attempts_left, work.max_attempts, work.scheduled_for)


@lru_cache(maxsize=256)
def _shared(
    job: str, queue: str, attempt: int, attempts_left: int, max_attempts: int, scheduled_for: int | None
) -> dict[str, str]:
    env = {
        "KIRIBI_JOB": job,
        "KIRIBI_QUEUE": queue,
        "KIRIBI_ATTEMPT": str(attempt),
        "KIRIBI_ATTEMPTS_LEFT": str(attempts_left),
        "KIRIBI_MAX_ATTEMPTS": str(max_attempts),
    }
    return env if scheduled_for is None else env | {"KIRIBI_SCHEDULED_FOR": rfc3339(scheduled_for)}


def reserved(name: str) -> bool:
    """Tell whether a variable is set by kiribi alone."""
    return name.startswith("KIRIBI_") and _RESERVED.fullmatch(name) is not None


def argument_name(key: str) -> str:
    """Name the variable of a payload key.

    >>> argument_name("dry-run"), argument_name("größe")
    ('KIRIBI_ARG_DRY_RUN', 'KIRIBI_ARG_GR__E')
    """
    return "KIRIBI_ARG_" + re.sub(r"[^A-Za-z0-9_]", "_", key).upper()


def look_up(user: str | None, group: str | None) -> Identity | None:
    """Find the numbers of a user and group, given by name or id. None when neither is named."""
    if user is None and group is None:
        return None
    try:
        person = _person(user)
        gid = person.pw_gid if group is None else _gid(group)
    except KeyError as error:
        what = "user" if group is None or (user is not None and error.args[0] == user) else "group"
        raise CannotPrepareError(f"there is no {what} {error.args[0]!r} on this machine") from error
    if os.geteuid() != 0 and (person.pw_uid, gid) != (os.geteuid(), os.getegid()):
        raise CannotPrepareError(f"to run as {user or group} needs a worker started as root")
    groups = tuple(os.getgrouplist(person.pw_name, gid)) if os.geteuid() == 0 else tuple(os.getgroups())
    return Identity(person.pw_uid, gid, groups, person.pw_name, person.pw_dir)


def _inherited(patterns: tuple[str, ...], place: Place) -> dict[str, str]:
    if (known := place.known.get(patterns)) is None:
        known = {
            name: value
            for name, value in place.environ.items()
            if not reserved(name) and any(fnmatchcase(name, pattern) for pattern in patterns)
        }
        place.known[patterns] = known
    return dict(known)


def _file(name: str, place: Place) -> dict[str, str]:
    path = Path(place.config_path or "/").parent / name.removeprefix("?")
    try:
        text = path.read_text("utf-8", "surrogateescape")
    except FileNotFoundError as error:
        if name.startswith("?"):
            return {}
        raise CannotPrepareError(f"env_file {path} does not exist") from error
    except OSError as error:
        raise CannotPrepareError(f"env_file {path} cannot be read: {error.strerror}") from error
    return dict(_pairs(text, path))


def _pairs(text: str, path: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = (part.strip() for part in stripped.partition("="))
        if not equals or not _NAME.fullmatch(name):
            raise CannotPrepareError(f"env_file {path}, line {number}, is not KEY=VALUE")
        quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
        yield name, value[1:-1] if quoted else value


def _arguments(payload: Any) -> dict[str, str]:
    if not isinstance(payload, Mapping):
        return {}
    texts = {
        argument_name(key): text_of(value) for key, value in payload.items() if isinstance(value, str | int | float)
    }
    return {name: text for name, text in texts.items() if len(text.encode("utf-8", "surrogatepass")) <= DOOR_MAX}


def _person(user: str | None) -> pwd.struct_passwd:
    if user is None:
        return pwd.getpwuid(os.geteuid())
    try:
        return pwd.getpwnam(user)
    except KeyError:
        if user.isdecimal():
            return pwd.getpwuid(int(user))
        raise KeyError(user) from None


def _gid(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        if group.isdecimal():
            return int(group)
        raise KeyError(group) from None
