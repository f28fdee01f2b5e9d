"""Waiting for jobs to end, or to start: the ids are fixed when it begins; what is enqueued later is not waited for."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal

from kiribi_cli import clock
from kiribi_cli.core.job import FINISHED, Job, Status
from kiribi_cli.core.records import dataclass, field
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.store.base import Store

POLL = 0.05
# With many jobs a look costs more than a poll; then it is done so seldom that waiting stays cheap.
SHARE = 10
BATCH = 500
SIGNALS = 128
TIMED_OUT = 124


@dataclass(slots=True)
class Waited:
    """How the jobs stand. `ended` in the order in which their ends were seen, `running` how many run now."""

    ids: tuple[int, ...]
    ended: dict[int, Job] = field(default_factory=dict)
    started: dict[int, Job] = field(default_factory=dict)
    running: int = 0
    timed_out: bool = False
    elapsed_ms: int = 0

    @property
    def counts(self) -> Counter[str]:
        return Counter(str(job.status) for job in self.ended.values())

    @property
    def failed(self) -> list[Job]:
        """Those that ended otherwise than completed."""
        return [
            self.ended[one] for one in self.ids if one in self.ended and self.ended[one].status is not Status.COMPLETED
        ]

    def exit_status(self) -> int:
        """0 when all completed, 124 when time ran out, else 1."""
        return TIMED_OUT if self.timed_out else int(bool(self.failed))

    def job_exit_status(self) -> int:
        """The first exit code that is not 0, in the order given; 124 when time ran out."""
        if self.timed_out:
            return TIMED_OUT
        codes = (exit_code_of(self.ended[one]) for one in self.ids if one in self.ended)
        return next((code for code in codes if code), 0)

    def view(self) -> dict[str, Any]:
        """The JSON of cli.md, `wait`."""
        counts = self.counts
        status = "timed_out" if self.timed_out else "failed" if self.failed else "completed"
        return {
            "status": status,
            "total": len(self.ids),
            **{word: counts[word] for word in ("completed", "failed", "cancelled", "skipped")},
            "timed_out": self.timed_out,
            "elapsed_ms": self.elapsed_ms,
            "failed_ids": [job.id for job in self.failed],
        }


def exit_code_of(job: Job) -> int:
    """Exit as the job did: its code, 128+n for a signal, 124 if it timed out; else 0 if completed, 1 if not."""
    if job.error is not None and job.error.kind == "timed_out":
        return TIMED_OUT
    if job.signal is not None:
        from signal import Signals

        # Real-time signals have no name: "signal 40".
        number = job.signal.rpartition(" ")[2]
        return SIGNALS + (int(number) if number.isdecimal() else Signals[number].value)
    if job.exit_code is not None and (job.exit_code or job.status is Status.COMPLETED):
        return job.exit_code
    return int(job.status is not Status.COMPLETED)


def wait(
    store: Store, ids: Sequence[int], *, until: float | None = None, any_: bool = False, fail_fast: bool = False,
    for_: Literal["started", "finished"] = "finished", told: Callable[[Waited], None] = lambda _: None,
) -> Waited:  # fmt: skip
    """Wait until all have ended (or started; or any has; or, with `fail_fast`, one failed), or `until` has come.

    `until`: a time of clock.monotonic(). `told` hears how things stand whenever they changed. Raises NOT_FOUND for a
    job that is deleted meanwhile: nobody can say any more how it ended.
    """
    begun = clock.monotonic()
    waited = Waited(tuple(dict.fromkeys(ids)))
    while True:
        looked = clock.monotonic()
        _look(store, waited)
        waited.elapsed_ms = round((clock.monotonic() - begun) * 1000)
        told(waited)
        if _over(waited, any_=any_, fail_fast=fail_fast, for_=for_):
            return waited
        _sleep_until_changed(store, until, most=1.0, least=(clock.monotonic() - looked) * SHARE)
        if until is not None and clock.monotonic() >= until:
            _look(store, waited)
            waited.timed_out = not _over(waited, any_=any_, fail_fast=fail_fast, for_=for_)
            waited.elapsed_ms = round((clock.monotonic() - begun) * 1000)
            return waited


def _look(store: Store, waited: Waited) -> None:
    open_ids = [one for one in waited.ids if one not in waited.ended]
    waited.running = 0
    for start in range(0, len(open_ids), BATCH):
        part = open_ids[start : start + BATCH]
        jobs = {job.id: job for job in store.jobs(part, now=clock.now_ms())}
        if gone := [one for one in part if one not in jobs]:
            raise KiribiError(Code.NOT_FOUND, f"job {gone[0]} was deleted while it was waited for")
        for job in jobs.values():
            waited.running += job.status is Status.RUNNING
            if job.first_started_at is not None:
                waited.started[job.id] = job
            if job.status in FINISHED:
                waited.ended[job.id] = job


def _over(waited: Waited, *, any_: bool, fail_fast: bool, for_: Literal["started", "finished"]) -> bool:
    if fail_fast and waited.failed:
        return True
    there = waited.ended if for_ == "finished" else {**waited.started, **waited.ended}
    return len(there) == len(waited.ids) or (any_ and bool(there))


def _sleep_until_changed(store: Store, until: float | None, *, most: float, least: float) -> None:
    """Sleep in short naps until something was committed; at most `most`, since a job can also become due by itself."""
    begun = clock.monotonic()
    while (passed := clock.monotonic() - begun) < most or passed < least:
        if until is not None and clock.monotonic() >= until:
            return
        clock.sleep(POLL if until is None else max(0.001, min(POLL, until - clock.monotonic())))
        if passed >= least and store.changed():
            return
