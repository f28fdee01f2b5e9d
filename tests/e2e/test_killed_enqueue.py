"""SIGKILL at each system call of `kiribi enqueue` on its files: no printed id is lost, nothing is half, nothing is twice."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from kiribi_cli.store.base import Filter
from kiribi_cli.store.sqlite import SqliteStore
from tests.e2e.kills import ENDS, Killed, chosen, thinned
from tests.faults import strace

pytestmark = pytest.mark.needs("strace")
JOBS = '[jobs.Any]\ncommand = ["true"]\n'


def look(state: Path, ids: Sequence[int] = ()) -> tuple[list[str], set[int], list[int]]:
    """What is broken, which of `ids` are lost, and all jobs that are there."""
    if not (state / "kiribi.db").exists():
        return [], set(ids), []
    store = SqliteStore.open(state / "kiribi.db", create=True)
    try:
        there = sorted(job.id for job in store.find(Filter(), now=1))
        return list(store.verify()), set(ids) - set(there), there
    finally:
        store.close()


# Of the many calls that make a database, a third; of the few of a plain enqueue, each.
SOME, ALL = ([40, pytest.param(each, marks=pytest.mark.slow)] for each in (3, 1))


@pytest.mark.parametrize("each", SOME)
def test_a_first_enqueue_killed_at_any_call_loses_nothing_and_can_be_repeated(in_memory, tmp_path, each):
    in_memory.define(JOBS)
    killed = Killed(in_memory, tmp_path, in_memory.folder / ".kiribi", "enqueue", "Any", "--unique", "k")
    for place, call in enumerate(chosen(thinned(killed.calls()), each=each)):
        done = killed.at(*call)
        assert look(killed.state, [int(id_) for id_ in done.stdout.split()])[:2] == ([], set()), call
        assert done.stdout in ("", "1\n"), call
        if place % 8 == 0 or each > 1:
            assert killed.again() == "1", call
            assert look(killed.state) == ([], set(), [1]), call


@pytest.mark.parametrize("each", ALL)
def test_an_enqueue_into_a_database_killed_at_any_call_loses_nothing_and_repeated_gives_the_same_id(
    in_memory, tmp_path, each
):
    for _ in range(2):
        in_memory.ok("enqueue", "--", "true")
    state = in_memory.home / ".local" / "state" / "kiribi"
    killed = Killed(in_memory, tmp_path, state, "enqueue", "--unique", "k", "--", "true")
    for call in chosen(killed.calls(), each=each):
        done = killed.at(*call)
        broken, lost, there = look(state, [1, 2, *(int(id_) for id_ in done.stdout.split())])
        assert (broken, lost) == ([], set()), call
        assert there in ([1, 2], [1, 2, 3]), call
        assert killed.again() == "3", call
        assert look(state) == ([], set(), [1, 2, 3]), call


@pytest.mark.parametrize("each", SOME)
def test_a_batch_killed_at_any_call_has_stored_whole_transactions_and_all_ids_it_printed(in_memory, tmp_path, each):
    in_memory.define(JOBS)
    in_memory.ok("enqueue", "Any")
    command = ("enqueue", "Any", "--batch", "-", "--batch-size", "2")
    killed = Killed(in_memory, tmp_path, in_memory.folder / ".kiribi", *command, stdin="{}\n" * 4)
    for call in chosen(thinned(killed.calls()), each=each):
        done = killed.at(*call)
        broken, lost, there = look(killed.state, [1, *(int(id_) for id_ in done.stdout.split())])
        assert (broken, lost) == ([], set()), call
        assert there in ([1], [1, 2, 3], [1, 2, 3, 4, 5]), call


def test_enqueues_killed_beside_a_worker_leave_it_at_work_and_whole_jobs_only(kiribi, tmp_path, eventually):
    kiribi.worker("-s")
    state = kiribi.home / ".local" / "state" / "kiribi"
    files = [state / f"kiribi.db{end}" for end in ENDS]
    # The last one is the bell: stored, but the worker is not told.
    points = [("fcntl", n, files) for n in range(1, 12, 2)] + [("pwrite64", n, files) for n in (1, 4, 9)]
    printed, killed = [], 0
    for call, nth, paths in [*points, ("fsync", 1, files), ("sendto", 1, [])]:
        under = strace(tmp_path / "trace", f"{call}:signal=KILL:when={nth}", paths=paths)
        done = kiribi("enqueue", "--", "true", under=under)
        printed += [int(id_) for id_ in done.stdout.split()]
        killed += done.returncode == -9
    printed.append(int(kiribi.ok("enqueue", "--", "true")))
    eventually(lambda: not kiribi.json("ls", "--status", "active"))
    broken, lost, there = look(state, printed)
    attempts = {id_: kiribi.json("show", id_)["attempts"] for id_ in there}

    assert (broken, lost) == ([], set())
    assert attempts == dict.fromkeys(there, 1)
    # What was committed before the kill ran without being rung for.
    assert len(there) > len(printed)
    # How many calls there are depends on what the worker does meanwhile.
    assert killed >= 5
