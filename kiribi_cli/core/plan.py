"""From a definition to the row of a new job. A plan is a definition boiled down to what its jobs take over.

Plans are plain values that `marshal` can keep: both ways into `kiribi enqueue` go through `new_job`, one with a plan
made from the Definition, one with a plan from the cache. Loads nothing at import.
"""

from kiribi_cli.core.options import options_text, quoted

TYPE_CHECKING = False  # typing costs 3 ms
if TYPE_CHECKING:
    from typing import Any, TypedDict

    from kiribi_cli.core.definition import Definition, Unique
    from kiribi_cli.core.job import NewJob

    Path = tuple[str, ...]
    # Text, and paths into the payload, in turn; None stands for the whole payload and whatever else is not plain.
    Parts = tuple[str | Path, ...] | None
    # What a placeholder in the command needs of the payload: a path, and whether it is spread over arguments.
    Need = tuple[Path, bool]

    class Plan(TypedDict):
        """What the jobs of a definition take over, ready to be stored."""

        job: str
        kind: str
        adhoc: int
        queue: str
        priority: int
        tags: str | None
        max_attempts: int
        # core/options.py; without command and cwd of an ad-hoc job.
        options: str | None
        expires_ms: int | None
        # The key, until when, and what a conflict means.
        unique: tuple[Parts, str | int, str] | None
        needs: tuple[Need, ...]
        payload_max: int
        # Whether params or a schema want to see the payload: then only core/params.py can check it.
        checked: bool


def plan_of(definition: "Definition") -> "Plan":
    """Boil a definition down.

    >>> from kiribi_cli.core.definition import Definition
    >>> plan_of(Definition("Copy", "command", command=("cp", "{payload.from}", "/srv")))["needs"]
    ((('from',), False),)
    """
    from kiribi_cli.core.job import Options

    return {
        "job": definition.name,
        "kind": definition.kind,
        "adhoc": int(definition.adhoc),
        "queue": definition.queue,
        "priority": definition.priority,
        "tags": tags_text(definition.tags),
        "max_attempts": definition.max_attempts,
        "options": options_text(Options(definition.timeout_ms, definition.backoff)),
        "expires_ms": definition.expires_ms,
        "unique": None if definition.unique is None else _unique_plan(definition.unique),
        "needs": () if definition.adhoc else _needs(definition.command),
        "payload_max": definition.payload_max,
        "checked": definition.params is not None or definition.payload_schema is not None,
    }


def new_job(
    plan: "Plan",
    payload: str | None,
    key: str | None,
    *,
    now: int,
    run_at: int | None,
    origin_kind: str,
    origin_by: str,
    parent: int | None,
) -> "NewJob":
    """Make the row. `payload` is the checked text, `key` the unique key with every placeholder filled in."""
    job: NewJob = {
        "job": plan["job"],
        "kind": plan["kind"],
        "adhoc": plan["adhoc"],
        "queue": plan["queue"],
        "priority": plan["priority"],
        "tags": plan["tags"],
        "payload": payload,
        "options": plan["options"],
        "max_attempts": plan["max_attempts"],
        "created_at": now,
        # What was due in the past is due now, and stands in line with what comes now.
        "run_at": now if run_at is None or run_at < now else run_at,
        "parent": parent,
        "origin_kind": origin_kind,
        "origin_by": origin_by,
    }
    if plan["expires_ms"] is not None:
        job["expires_at"] = job["run_at"] + plan["expires_ms"]
    return job if key is None else with_key(job, plan, key)


def with_key(job: "NewJob", plan: "Plan", key: str) -> "NewJob":
    """Make the row the holder of a unique key; the plan must be unique."""
    if plan["unique"] is not None:
        from kiribi_cli.core.unique import unique_hash

        _, job["unique_until"], job["on_conflict"] = plan["unique"]
        job["unique_key"] = key
        # One name for all ad-hoc jobs: theirs are labels.
        job["unique_hash"] = unique_hash("" if plan["adhoc"] else plan["job"], key)
    return job


def tags_text(tags: "tuple[str, ...]") -> str | None:
    """Write tags as the `tags` column holds them.

    >>> tags_text(("nightly", "images")), tags_text(())
    ('["nightly","images"]', None)
    """
    return f"[{','.join(map(quoted, tags))}]" if tags else None


def label(program: str) -> str:
    """Name an ad-hoc job after its program: the last element of the path, as text that any reader can take.

    >>> label("/usr/bin/rsync"), label("./")
    ('rsync', './')
    """
    name = program.rpartition("/")[2] or program
    return name[:200].encode("utf-8", "backslashreplace").decode()


def lookup(value: "Any", path: "Path") -> "Any":
    """Follow a path into a payload; None where it leads nowhere, or for anything core/placeholders.py should judge.

    >>> lookup({"rows": {"id": 7}}, ("rows", "id"))
    7
    """
    for step in path:
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


def is_met(need: "Need", value: "Any") -> bool:
    """Tell whether a payload certainly has what a placeholder needs; what is left, core/placeholders.py judges.

    >>> is_met((("a",), False), {"a": 1}), is_met((("a",), True), {"a": 1}), is_met((("a",), True), {"a": ["x"]})
    (True, False, True)
    """
    path, spread = need
    found = lookup(value, path)
    if not spread:
        return found is not None
    return isinstance(found, list) and not any(each is None or isinstance(each, (list, dict)) for each in found)


def filled_key(parts: "Parts", value: "Any") -> str | None:
    """Fill in a unique key as core/placeholders.py does; None for what is not plain and has to be done there.

    >>> filled_key((("a",), "-", ("b",)), {"a": 1, "b": True}), filled_key((("a",),), {"a": 0.5})
    ('1-true', None)
    """
    if parts is None:
        return None
    texts = [part if isinstance(part, str) else _plain(lookup(value, part)) for part in parts]
    return None if None in texts else "".join(texts)  # type: ignore[arg-type]


def _plain(value: "Any") -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int)) else None


def _unique_plan(unique: "Unique") -> "tuple[Parts, str | int, str]":
    if unique.key is None:
        return None, unique.until, unique.on_conflict
    from kiribi_cli.core.placeholders import fill, find

    parts: list[str | Path] = []
    end = 0
    found = find(unique.key)
    if any(each.spread or each.namespace != "payload" for each in found):
        return None, unique.until, unique.on_conflict  # what there is to say about it, core/placeholders.py says
    for placeholder in found:
        # `fill` turns the doubled form into the literal one.
        parts += [fill(unique.key[end : placeholder.start], {}), placeholder.path]
        end = placeholder.end
    return (*parts, fill(unique.key[end:], {})), unique.until, unique.on_conflict


def _needs(command: "tuple[str, ...]") -> "tuple[Need, ...]":
    if not any("{payload" in element for element in command[1:]):
        return ()
    from kiribi_cli.core.placeholders import find

    found = (placeholder for element in command[1:] for placeholder in find(element))
    # Each once, in order.
    return tuple(dict.fromkeys((each.path, each.spread) for each in found if each.namespace == "payload"))
