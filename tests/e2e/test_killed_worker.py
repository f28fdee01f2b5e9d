"""SIGKILL at each write and fsync of a worker's turns: each job runs, none is lost, none is recorded twice."""

from pathlib import Path

import pytest

from kiribi_cli.store.base import Filter
from kiribi_cli.store.sqlite import SqliteStore
from tests.conftest import Kiribi
from tests.faults import strace

pytestmark = pytest.mark.needs("strace")
IDS = (1, 2, 3)
# Each job leaves a line for each time it ran.
JOBS = '[jobs.Told]\nshell = "echo $KIRIBI_JOB_ID >> ran"\nmax_attempts = 9\nbackoff = { kind = "fixed", base = "1ms", jitter = 0.0 }\n'


def killed(kiribi: Kiribi, scratch: Path, call: str, nth: int) -> bool:
    """Run a worker that is killed at its nth call on the database files; false if it came to its end before that."""
    state = kiribi.folder / ".kiribi"
    files = [state, *(state / f"kiribi.db{end}" for end in ("", "-wal", "-shm"))]
    under = strace(scratch / "trace", f"{call}:signal=KILL:when={nth}", paths=files, follow=False)
    return kiribi("worker", "--drain", "-s", "-j", "2", under=under).returncode == -9


@pytest.mark.slow
def test_jobs_survive_a_worker_that_is_killed_again_and_again_at_each_write_of_its_turns(kiribi, tmp_path):
    kiribi.define(JOBS)
    kills = {}
    for call, step in (("pwrite64", 4), ("fsync", 1)):
        nth = 1
        for _ in IDS:
            kiribi.ok("enqueue", "Told")
        while killed(kiribi, tmp_path, call, nth):
            nth += step
        kiribi.drain()
        kills[call] = (nth - 1) // step
    store = SqliteStore.open(kiribi.folder / ".kiribi" / "kiribi.db", create=False)
    jobs = sorted(store.find(Filter(), now=1), key=lambda job: job.id)
    made = {job.id: store.attempts(job.id) for job in jobs}
    store.close()
    ran = (kiribi.folder / "ran").read_text().split()

    assert [(job.id, job.status) for job in jobs] == [(n, "completed") for n in range(1, len(IDS) * 2 + 1)]
    assert sum(kills.values()) > 15
    # At least once each, and recorded as completed once.
    assert {int(word) for word in ran} == set(made)
    assert {id_: [attempt.outcome for attempt in made[id_]].count("completed") for id_ in made} == dict.fromkeys(
        made, 1
    )
    assert all(ran.count(str(id_)) <= len(made[id_]) for id_ in made)
