"""Finding jobs: ids as people write them, lists, and everything about one job."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kiribi_cli.core.job import Attempt, Event, Job
from kiribi_cli.core.records import dataclass
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.store.base import Store

if TYPE_CHECKING:
    from kiribi_cli.actions.views import Masks
    from kiribi_cli.config.outline import Outline

_NTH = re.compile(r"@-([1-9][0-9]{0,8})")
HIGHEST_ID = 2**63 - 1


def read_id(store: Store, word: str) -> int:
    """Read `42`, `@last`, `@last:NAME` or `@-2`; raises USAGE for other words, NOT_FOUND where there is no such job."""
    if word.isascii() and word.isdigit() and 0 < (number := int(word[:20])) <= HIGHEST_ID:
        return number
    if word == "@last":
        return _nth(store, word, None, 1)
    if word.startswith("@last:") and word != "@last:":
        return _nth(store, word, word.removeprefix("@last:"), 1)
    if match := _NTH.fullmatch(word):
        return _nth(store, word, None, int(match[1]))
    raise KiribiError(
        Code.USAGE, f'"{word}" is not an id', hint="write 42, @last, @last:NAME, @-2, or - to read ids from stdin"
    )


def _nth(store: Store, word: str, name: str | None, nth: int) -> int:
    found = store.latest(name, nth)
    if found is not None:
        return found
    if name is not None:
        raise not_known("job", name, store.names(), f"no job of the name {name} in the history")
    raise KiribiError(Code.NOT_FOUND, f"there is no job {word}", hint="kiribi ls shows what there is")


def not_known(noun: str, name: str, known: Sequence[str], sentence: str) -> KiribiError:
    """Make the error for a name that nobody knows, with the nearest known one."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1)
    suggestion = f'. Did you mean "{near[0]}"?' if near else ""
    listing = {"job": "kiribi def ls lists the definitions", "queue": "kiribi def ls shows the queues in use"}
    return KiribiError(Code.NOT_FOUND, sentence + suggestion, hint=listing.get(noun))


def must_exist(store: Store, ids: Sequence[int], *, now: int) -> list[int]:
    """Return the ids; raise NOT_FOUND naming every one that is not there."""
    found_jobs(store, ids, now=now)
    return list(ids)


def found_jobs(store: Store, ids: Sequence[int], *, now: int) -> list[Job]:
    """Read jobs in the order of their ids given; raises NOT_FOUND naming every one that is not there."""
    by_id = {job.id: job for job in store.jobs(ids, now=now)}
    missing = [str(job_id) for job_id in ids if job_id not in by_id]
    if missing:
        noun = "job" if len(missing) == 1 else "jobs"
        hint = "it may have been deleted by sweep or rm; kiribi ls shows what there is"
        raise KiribiError(Code.NOT_FOUND, f"there is no {noun} {', '.join(missing)}", hint=hint)
    return [by_id[job_id] for job_id in ids]


def masks_of(known: "Outline | None", *, reveal: bool = False) -> "Masks":
    """Which keys are masked; None for a broken jobs.toml: all."""
    from kiribi_cli.actions.views import MASK_ALL, Masks

    if reveal:
        return Masks((), {}, off=True)
    if known is None:
        return MASK_ALL
    return Masks(known.redact, {name: definition.redact for name, definition in known.jobs.items()})


@dataclass(frozen=True, slots=True)
class Story:
    """Everything about one job, at one moment."""

    job: Job
    attempts: tuple[Attempt, ...]
    events: tuple[Event, ...]
    view: dict[str, Any]


def story(
    store: Store, job: Job, *, now: int, masks: "Masks", logs: Path, known: "Outline | None", problem: str | None
) -> Story:
    """Gather everything about a job. `known`: of jobs.toml; `problem`: what is wrong with it, if it is broken."""
    from kiribi_cli.actions.views import detail_view
    from kiribi_cli.actions.why import why_view

    attempts = tuple(store.attempts(job.id))
    why = why_view(store, job, attempts, now=now, known=known, problem=problem)
    view = detail_view(job, attempts, now=now, masks=masks, logs=logs, why=why)
    return Story(job, attempts, tuple(store.events(job_id=job.id)), view)
