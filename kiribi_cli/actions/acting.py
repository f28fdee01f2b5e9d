"""Acting on many jobs: which ones is settled first, then only those are touched, and every refusal is told by id."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from kiribi_cli.core.job import FINISHED, UNFINISHED, Status
from kiribi_cli.core.records import dataclass, field, replace
from kiribi_cli.errors import Code
from kiribi_cli.store.base import Acted, Filter, Refusal, Store

# So many jobs per transaction: enqueuers and workers get a turn in between.
BATCH = 500

RETRYABLE = (Status.FAILED, Status.CANCELLED, Status.SKIPPED)
# What an act means when a filter names no status.
MEANT: dict[str, tuple[Status, ...]] = {
    "retry": RETRYABLE,
    "cancel": UNFINISHED,
    "rm": FINISHED,
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """The jobs an act is about, fixed: what comes to match later is not among them. `missing`: ids nobody knows."""

    ids: tuple[int, ...]
    names: Counter[str] = field(default_factory=Counter)
    missing: tuple[int, ...] = ()
    by_filter: bool = False


@dataclass(frozen=True, slots=True)
class Action:
    """What an act did, or with `dry_run` would do (`action` in cli.md, 3)."""

    action: str
    dry_run: bool
    matched: int
    changed: tuple[int, ...]
    refused: tuple[tuple[int, str, str], ...] = ()

    def as_object(self) -> dict[str, Any]:
        return {
            "action": self.action,
            "dry_run": self.dry_run,
            "matched": self.matched,
            "changed": 0 if self.dry_run else len(self.changed),
            "ids": list(self.changed),
            "refused": [{"id": job, "code": code, "message": sentence} for job, code, sentence in self.refused],
        }

    @property
    def exit_status(self) -> int:
        """0; 1 if an act failed for some of several ids; for all of them the code of the first."""
        if not self.refused:
            return 0
        return Code.FAILED.value if self.changed else Code[self.refused[0][1].upper()].value


def choose_ids(store: Store, ids: Sequence[int], *, now: int) -> Chosen:
    """Take the named jobs, each once, in the order given."""
    wanted = tuple(dict.fromkeys(ids))
    known = {job.id: job.job for job in store.jobs(wanted, now=now)}
    return Chosen(
        ids=tuple(job for job in wanted if job in known),
        names=Counter(known.values()),
        missing=tuple(job for job in wanted if job not in known),
    )


def choose_matching(
    store: Store, which: Filter, act: str, *, now: int, force: bool = False, limit: int | None = None
) -> Chosen:
    """Take the jobs that match now, oldest first. Without a status in the filter: those that the act is meant for."""
    if not which.statuses:
        which = replace(which, statuses=_meant(act, force=force))
    ids: list[int] = []
    names: Counter[str] = Counter()
    for job in store.find(which, now=now, descending=False, limit=limit):
        ids.append(job.id)
        names[job.job] += 1
    return Chosen(tuple(ids), names, by_filter=True)


def _meant(act: str, *, force: bool) -> tuple[Status, ...]:
    if not force:
        return MEANT[act]
    return (*RETRYABLE, Status.COMPLETED) if act == "retry" else (*UNFINISHED, *FINISHED)


def act_on(action: str, chosen: Chosen, act: Callable[[Sequence[int]], Acted]) -> Action:
    """Apply `act` in small transactions, and gather what it changed and refused."""
    changed: list[int] = []
    refused: list[tuple[int, Refusal, str]] = []
    for part in batches(chosen.ids):
        acted = act(part)
        changed += acted.changed
        refused += acted.refused
    unknown = tuple((job, "not_found", f"no job {job}") for job in chosen.missing)
    return Action(action, dry_run=False, matched=len(chosen.ids), changed=tuple(changed), refused=(*unknown, *refused))


def would_act(action: str, chosen: Chosen) -> Action:
    """Say what would be tried, and change nothing."""
    unknown = tuple((job, "not_found", f"no job {job}") for job in chosen.missing)
    return Action(action, dry_run=True, matched=len(chosen.ids), changed=chosen.ids, refused=unknown)


def batches(ids: Sequence[int], size: int = BATCH) -> Iterator[tuple[int, ...]]:
    """Cut into parts of at most `size`.

    >>> list(batches((1, 2, 3), 2))
    [(1, 2), (3,)]
    """
    rest = iter(ids)
    while part := tuple(islice(rest, size)):
        yield part
