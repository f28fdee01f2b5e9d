"""Workers: registering, living, dying, being asked to stop, being woken."""

import os
import select
import shutil
import subprocess
import sys

import pytest

from kiribi_cli.core.settle import Complete
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.store.base import NewWorker
from tests.store.hand import Hand, job


def rings(bell):
    return bool(select.select([bell], [], [], 0)[0])


def test_a_registered_worker_is_listed_with_what_it_said(store):
    hand = Hand(store, "web1:1")
    store.heartbeat(hand.id, state="draining", now=7000, low_disk=True, config_error="line 3")

    (worker,) = store.workers()
    assert (worker.name, worker.pid, worker.state, worker.heartbeat_at) == ("web1:1", os.getpid(), "draining", 7000)
    assert (worker.low_disk, worker.config_error, worker.alive, worker.queues) == (True, "line 3", True, None)
    assert [(event.type, event.by) for event in store.events()] == [("worker.started", "web1:1")]


def test_the_queues_of_a_worker_are_kept(store):
    worker = NewWorker("w", "h", 1, "p", "1", "worker", 4, {"mail": 2, "default": None}, "/x/jobs.toml")
    with_lock = store.liveness(worker)
    store.register(worker, now=1)

    assert store.workers()[0].queues == {"mail": 2, "default": None}
    assert store.workers()[0].config_path == "/x/jobs.toml"
    with_lock.close()


def test_a_worker_is_dead_when_its_lock_is_free_and_not_before(store, open_store):
    one, other = Hand(store, "one"), Hand(open_store(), "other")
    alive = store.dead_workers()
    one.die()

    assert alive == []
    assert [worker.id for worker in store.dead_workers()] == [one.id]
    assert [worker.alive for worker in store.workers()] == [False, True]
    other.die()


def test_a_worker_that_is_killed_is_dead_at_once(store, tmp_path):
    code = (
        "import sys; from kiribi_cli.store.sqlite import SqliteStore; from kiribi_cli.store.base import NewWorker;"
        "s = SqliteStore.open(sys.argv[1], create=False); w = NewWorker('k', 'h', 1, 'p', '1', 'worker', 1, None, None);"
        "lock = s.liveness(w); print(s.register(w, now=1), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, store.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"1\n"
        alive = store.dead_workers()
        process.kill()
        process.wait()

    assert alive == []
    assert [worker.name for worker in store.dead_workers()] == ["k"]


def test_a_new_worker_of_the_same_name_does_not_make_the_dead_one_look_alive(store, open_store):
    Hand(store, "w").die()
    worker = NewWorker("w", os.uname().nodename, os.getpid(), "another process", "1", "worker", 4, None, None)
    other = open_store()
    lock = other.liveness(worker)
    second = other.register(worker, now=2)

    assert [(worker.id == second, worker.alive) for worker in store.workers()] == [(False, False), (True, True)]
    lock.close()


def test_the_same_worker_cannot_be_alive_twice(store, hand: Hand):
    with pytest.raises(KiribiError) as raised:
        store.liveness(hand.worker)

    assert raised.value.code is Code.CONFLICT


def test_a_stopped_worker_is_not_dead_and_is_listed_only_on_request(store, hand: Hand):
    store.deregister(hand.id, now=5000)
    hand.die()

    assert store.dead_workers() == []
    assert store.workers() == []
    assert [worker.state for worker in store.workers(stopped_since=5000)] == ["stopped"]
    assert store.workers(stopped_since=5001) == []
    assert [event.type for event in store.events()][-1] == "worker.stopped"


def test_a_lost_worker_is_recorded_once(store, hand: Hand):
    hand.die()
    store.deregister(hand.id, now=5000, lost=True)
    store.deregister(hand.id, now=6000, lost=True)

    assert [event.type for event in store.events()] == ["worker.started", "worker.lost"]
    assert store.workers(stopped_since=0)[0].state == "lost"


def test_a_job_that_is_taken_over_is_shown_with_the_worker_that_has_it_now(store, hand: Hand, open_store):
    store.insert([job()], now=1000)
    hand.claim_one()
    rescuer = Hand(open_store(), "rescuer")
    rescuer.store.take_over(rescuer.store.held_by(hand.id), by=rescuer.id, now=2000)

    assert store.job(1, now=2000).worker == "rescuer"


def test_a_worker_that_holds_jobs_cannot_be_deregistered(store, hand: Hand):
    store.insert([job()], now=1000)
    claim = hand.claim_one()
    with pytest.raises(RuntimeError, match="still holds"):
        store.deregister(hand.id, now=2000)
    hand.end(claim, Complete())
    store.deregister(hand.id, now=2000)

    assert store.workers() == []


def test_a_worker_that_was_declared_lost_can_neither_claim_nor_settle(store, hand: Hand):
    store.insert([job()], now=1000)
    store.deregister(hand.id, now=1000, lost=True)

    with pytest.raises(KiribiError) as raised:
        hand.claim()
    assert raised.value.code is Code.STORE


def test_a_worker_is_asked_to_stop_and_now_beats_drain(store, hand: Hand):
    before = store.stop_requested(hand.id)
    store.ask_to_stop([hand.id], "drain", now=2000)
    drain = store.stop_requested(hand.id)
    store.ask_to_stop([hand.id], "now", now=2000)
    store.ask_to_stop([hand.id], "drain", now=2000)

    assert (before, drain, store.stop_requested(hand.id)) == (None, "drain", "now")


@pytest.mark.parametrize(
    "act",
    [
        lambda store: store.insert([job()], now=1),
        lambda store: store.cancel([1], by="ann", now=1),
        lambda store: store.retry([1], by="ann", now=1),
        lambda store: store.ask_to_stop([1], "now", now=1),
    ],
)
def test_a_bell_rings_for_what_a_worker_waits_for(store, open_store, act):
    bell = store.listen(1)
    before = rings(bell)
    act(open_store())

    assert not before
    assert rings(bell)
    bell.clear()
    assert not rings(bell)
    bell.close()


def test_a_bell_that_rang_a_thousand_times_is_silenced_at_once(store, open_store):
    bell, other = store.listen(1), open_store()
    for _ in range(1000):
        other.insert([job()], now=1)
    bell.clear()

    assert not rings(bell)
    other.insert([job()], now=1)
    assert rings(bell)
    bell.close()


def test_all_bells_ring_and_those_of_the_dead_are_removed(store, open_store, tmp_path):
    one, other, dead = store.listen(1), store.listen(2), store.listen(3)
    # As the kernel leaves it behind when a process dies.
    dead._socket.close()
    open_store().insert([job()], now=1)

    assert rings(one)
    assert rings(other)
    assert sorted(path.name for path in (tmp_path / "run").glob("*.bell")) == ["worker-1.bell", "worker-2.bell"]
    one.close()
    other.close()
    assert list((tmp_path / "run").glob("*.bell")) == []


def test_a_lock_whose_file_was_removed_is_taken_again_and_where_that_cannot_be_the_reason_is_told(store, tmp_path):
    hand = Hand(store)
    before = hand.lock.renew()
    shutil.rmtree(tmp_path / "run")
    (tmp_path / "run").write_text("in the way")
    with pytest.raises(KiribiError, match=r"cannot write into .*run") as raised:
        hand.lock.renew()
    (tmp_path / "run").unlink()
    again = hand.lock.renew()

    assert (before, again, raised.value.code, raised.value.final) == (False, True, Code.STORE, False)
    assert store.dead_workers() == []
    hand.die()
    assert [worker.id for worker in store.dead_workers()] == [hand.id]
