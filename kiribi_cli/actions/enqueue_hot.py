"""The common forms of `kiribi enqueue`, read by hand: loads neither Typer nor TOML nor json, and no dataclass.

Whatever is rare, wrong or wants help is answered with None before anything is written; then the Typer command does
it from the beginning. Both make their rows in core/plan.py, and a property test holds them equal.
"""

import os

from kiribi_cli import clock
from kiribi_cli.actions.origin import parent_job, user_at_host
from kiribi_cli.config import cache, nearby
from kiribi_cli.core import payload as payloads
from kiribi_cli.core.options import with_command
from kiribi_cli.core.plan import filled_key, is_met, label, new_job

TYPE_CHECKING = False  # typing costs 3 ms
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, TypedDict

    from kiribi_cli.core.job import NewJob
    from kiribi_cli.core.plan import Plan

    class Words(TypedDict, total=False):
        """A command line, taken apart. What was not given is not there."""

        payload: str
        queue: str
        priority: str
        unique: str
        config: str
        db: str
        silent: bool
        job: str
        members: dict[str, str]
        command: list[str]


_VALUES = {
    "-p": "payload", "--payload": "payload", "--queue": "queue", "--priority": "priority", "--unique": "unique",
    "-c": "config", "--config": "config", "--db": "db",
}  # fmt: skip

# What an ad-hoc command takes over where there is no jobs.toml; test_enqueue_hot.py compares.
WITHOUT_FILE: "Plan" = {
    "job": "", "kind": "command", "adhoc": 1, "queue": "default", "priority": 0, "tags": None, "max_attempts": 1,
    "options": None, "expires_ms": None, "unique": None, "needs": (), "payload_max": 1_048_576, "checked": False,
}  # fmt: skip


# Until the process ends.
_kept: "list[Any]" = []


class _NotPlainError(Exception):
    """Only the Typer command can tell what to do."""


def enqueue(argv: "Sequence[str]") -> int | None:
    """Enqueue and print the id. Answers the exit status, or None if the Typer command has to do it."""
    try:
        words = take_apart(argv)
        if not _streams_are_plain(words):
            return None
        row, db, durability = prepared(words, os.environ, os.getcwd(), clock.now_ms())
    except Exception:  # noqa: BLE001  (nothing is written yet: the Typer command meets it again, and says what it is)
        return None
    job_id = _stored(db, row, durability)
    if job_id is None:
        return None
    return 0 if words.get("silent") else _print(job_id)


def take_apart(argv: "Sequence[str]") -> "Words":
    """Read a command line; raises for every form that is not common.

    >>> take_apart(["enqueue", "-q", "MyJob", "user=42"])
    {'job': 'MyJob', 'members': {'user': '42'}}
    """
    words: Words = {}
    left = list(argv)
    left.reverse()
    named = False
    while left:
        word = left.pop()
        if word == "--":
            left.reverse()
            words["command"] = left
            break
        if word[:1] == "-":
            _take_option(word, left, words)
        elif not named:
            named = True
            if word != "enqueue":
                raise _NotPlainError
        elif "job" not in words:
            words["job"] = word
        else:
            _take_member(word, words)
    if not named or ("job" in words) == ("command" in words) or not (words.get("job") or words["command"][0]):
        raise _NotPlainError
    if "members" in words and "payload" in words:
        raise _NotPlainError
    return words


def _take_option(word: str, left: list[str], words: "Words") -> None:
    if word in ("-q", "--quiet"):
        return
    if word in ("-s", "--silent"):
        words["silent"] = True
        return
    value: str | None = None
    if word[:2] == "--" and "=" in word:
        word, _, value = word.partition("=")
    name = _VALUES[word]
    if value is None:
        value = left.pop()
    if name in words or not value or value[0] in "-@":
        raise _NotPlainError
    words[name] = value  # type: ignore[literal-required]


def _take_member(word: str, words: "Words") -> None:
    key, equals, value = word.partition("=")
    members = words.setdefault("members", {})
    if not equals or not key or key[-1] == ":" or value[:1] == "@" or key in members:
        raise _NotPlainError
    members[key] = value


def _streams_are_plain(words: "Words") -> bool:
    """Whether only the id is to be printed, and descriptors 0, 1, 2 are open: else the database becomes one."""
    for descriptor in (0, 1, 2):
        os.fstat(descriptor)
    env = os.environ
    if env.get("KIRIBI_FORMAT", "") not in ("", "tsv", "table") or env.get("KIRIBI_VERBOSE"):
        return False
    return bool(words.get("silent")) or not os.isatty(2)


def prepared(words: "Words", env: "Mapping[str, str]", cwd: str, now: int) -> "tuple[NewJob, str, str]":
    """The row, the database it goes to, and its durability; raises for whatever only the Typer command can tell."""
    config = nearby.find_config(words.get("config"), env, cwd)
    kept = cache.load(config) if config is not None else None
    if config is not None and kept is None:
        raise _NotPlainError
    db = nearby.find_database(words.get("db"), env, config, kept["db"] if kept else None, cwd)
    return row_of(words, kept, env, cwd, db, now), db, kept["durability"] if kept else "full"


def row_of(
    words: "Words", kept: "cache.Compiled | None", env: "Mapping[str, str]", cwd: str, db: str, now: int
) -> "NewJob":
    """Make the row as the Typer command would. `kept`: of jobs.toml, None where there is none."""
    plan = _plan(words, kept, cwd)
    if "queue" in words:
        _move(plan, words["queue"], kept)
    if "priority" in words:
        plan["priority"] = _priority(words["priority"])
    text, value = _payload(words, plan)
    if not all(is_met(need, value) for need in plan["needs"]):
        raise _NotPlainError
    origin, parent = user_at_host(), parent_job(env, db)
    key = _key(words, plan, value)
    return new_job(plan, text, key, now=now, run_at=None, origin_kind="cli", origin_by=origin, parent=parent)


def _plan(words: "Words", kept: "cache.Compiled | None", cwd: str) -> "Plan":
    command = words.get("command")
    if command is not None:
        plan = (kept["adhoc"] if kept else WITHOUT_FILE).copy()
        plan["job"] = label(command[0])
        plan["options"] = with_command(plan["options"], command, cwd)
        return plan
    if kept is None or (plan := kept["jobs"][words["job"]].copy())["checked"]:
        raise _NotPlainError
    return plan


def _move(plan: "Plan", queue: str, kept: "cache.Compiled | None") -> None:
    """Change the queue, as long as neither the old nor the new one has defaults of its own."""
    if kept is not None:
        if kept["queues"][queue] or kept["queues"][plan["queue"]]:
            raise _NotPlainError
    elif not queue.isascii() or not queue[0].isalpha() or len(queue) > 64 or not _only_word(queue):
        raise _NotPlainError
    plan["queue"] = queue


def _only_word(text: str) -> bool:
    return text.replace("-", "").replace("_", "").isalnum()


def _priority(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) < 5 and int(word) <= 1000):
        raise _NotPlainError
    return int(word)


def _payload(words: "Words", plan: "Plan") -> "tuple[str | None, Any]":
    text: str | None = None
    if "members" in words:
        text = "{" + ",".join(f"{_json(key)}:{_json(value)}" for key, value in words["members"].items()) + "}"
    elif "payload" in words:
        text = words["payload"]
    if text is None:
        return None, None
    value = payloads.parse(text, plan["payload_max"])
    payloads.check_arguments(value)
    return text, value


def _json(text: str) -> str:
    from _json import encode_basestring

    return str(encode_basestring(text))


def _key(words: "Words", plan: "Plan", value: "Any") -> str | None:
    if "unique" in words:
        words["unique"].encode()
        if plan["unique"] is None:
            plan["unique"] = (None, "unfinished", "skip")
        return words["unique"]
    if plan["unique"] is None:
        return None
    key = filled_key(plan["unique"][0], value)
    if key is None:
        raise _NotPlainError
    return key


def _stored(db: str, row: "NewJob", durability: str) -> int | None:
    """Store the row and wake the workers; None when nothing was stored and the Typer command can say why."""
    from kiribi_cli.store import bell, connect
    from kiribi_cli.store.insert import insert_jobs

    connection = None
    try:
        connection = connect.connect(db, durability=durability, checkpoint_pages=0)
        connect.begin(connection, connect.run_dir(db))
        _check_current(connect.is_current(connection))
        ((job_id, deduplicated),) = insert_jobs(connection, [row], row["created_at"])
    except Exception as error:
        if connection is not None:
            connect.let_go(db, connection)
        if connect.is_busy(error):
            # It would only wait as long again.
            raise _told(error, db) from error
        return None
    try:
        connect.commit(connection)
    except connect.driver.Error as error:
        # Whether it is on disk is not certain, so it must not be done a second time.
        raise _told(error, db) from error
    if not deduplicated:
        bell.ring(connect.run_dir(db))
    connect.keep_wal_short(db, connection, durability=durability)
    # Not closed: the last one to close checkpoints, which one in forty does for less.
    _kept.append(connection)
    return job_id


def _told(error: Exception, db: str) -> Exception:
    from kiribi_cli.store import connect, trouble

    return trouble.raised(error, db) if isinstance(error, connect.driver.Error) else error


def _check_current(current: bool) -> None:  # noqa: FBT001  (the answer to a question)
    if not current:
        raise _NotPlainError


def _print(job_id: int) -> int:
    left = b"%d\n" % job_id
    try:
        while left:
            left = left[os.write(1, left) :]
    except BrokenPipeError:
        return 141
    except OSError as error:
        os.write(2, f"Error: job {job_id} is stored, but its id could not be written: {error.strerror}\n".encode())
        return 1
    return 0
