"""Workers that live but are silent: what they hold is taken over, and when they wake up they change nothing.

Here a silent worker is one whose loop nobody steps; its hands go on, as those of a worker whose brain was stopped.
"""

import re
from contextlib import closing
from itertools import pairwise

import pytest

from kiribi_cli import clock
from kiribi_cli.core.job import Status
from kiribi_cli.runner.process import look
from kiribi_cli.store.base import DeclaredLost, Worker
from kiribi_cli.store.connect import driver
from kiribi_cli.store.liveness import Liveness
from kiribi_cli.store.sqlite import SqliteStore
from kiribi_cli.worker.recover import recover, watched
from kiribi_cli.worker.setup import identify
from kiribi_cli.worker.silence import Silence, is_judged

DEFINITIONS = """
[worker]
lease = "10s"
[defaults]
backoff = "1ms"
kill_after = "200ms"
[jobs.Once]
shell = 'echo $$ >> starts; test -e seen || { touch seen; exec sleep 976; }'
[jobs.Tough]
shell = 'echo $$ >> starts; while test ! -e go; do sleep 0.01; done; exit 42'
on_worker_death = "adopt"
max_attempts = 1
[jobs.Brief]
shell = 'echo $$ >> starts'
"""


class Time:
    """A clock that runs ahead of the real one, as far as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        monotonic = clock.monotonic
        monkeypatch.setattr(clock, "monotonic", lambda: monotonic() + self.ahead)

    def passes(self, seconds: float, *lookers) -> None:
        """Let it pass in small steps, in each of which these workers look around."""
        for _ in range(round(seconds)):
            self.ahead += 1.0
            for looker in lookers:
                looker.step(0)


@pytest.fixture
def time(monkeypatch):
    return Time(monkeypatch)


@pytest.fixture
def pair(yard):
    """A worker that runs a job and another one, and the job."""
    yard.define(DEFINITIONS)
    job = yard.enqueue("Once")
    zombie = yard.worker("zombie")
    yard.until(zombie, lambda: (yard.folder / "seen").exists() and yard.store.attempts(job))
    return zombie, yard.worker("looker"), job


def wake(worker) -> None:
    """What Worker.run does with a step in which it learns that it was declared lost."""
    with pytest.raises(DeclaredLost):
        worker.step(0)
    worker.begin_anew()


def dump(yard) -> list[tuple]:
    """All that is known of jobs and their history; not who works now."""
    with closing(driver.connect(yard.store.path)) as connection:
        tables = "jobs", "attempts", "events WHERE type <> 'worker.started'"
        return [row for table in tables for row in connection.execute(f"SELECT * FROM {table}")]


def starts(yard) -> int:
    return len((yard.folder / "starts").read_text().split())


def test_what_a_silent_worker_held_is_ended_and_run_again_by_another(yard, pair, time, eventually):
    zombie, looker, job = pair
    time.passes(12, looker)
    yard.until_finished(looker, job)

    lost, again = yard.store.attempts(job)
    assert (lost.outcome, lost.worker, again.outcome, again.worker) == ("worker_lost", "zombie", "completed", "looker")
    words = r"worker zombie has been silent for \d\ds and is declared lost; taken over: 1 job"
    assert re.search(words, yard.log.getvalue())
    assert eventually(lambda: (left := look(zombie.hands.pid)) is None or left.state == "Z")
    assert [event.by for event in yard.store.events() if event.type == "worker.lost"] == ["zombie"]


def test_a_worker_that_wakes_up_after_it_was_declared_lost_changes_nothing_and_goes_on_as_a_new_one(yard, pair, time):
    zombie, looker, job = pair
    time.passes(12, looker)
    yard.until_finished(looker, job)
    old, before = zombie.worker_id, dump(yard)
    wake(zombie)

    assert dump(yard) == before
    assert re.search(r"zombie was silent for \d\ds and was declared lost; taken over: 1 job", yard.log.getvalue())
    assert "job 1: its claim was lost, what this worker knows is refused" in yard.log.getvalue()
    assert "was removed" not in yard.log.getvalue()
    another = yard.enqueue("Brief")
    yard.until_finished(zombie, another)
    assert zombie.worker_id != old
    assert [worker.name for worker in yard.store.workers()] == ["looker", "zombie"]


def test_a_silent_worker_that_was_asked_to_stop_does_that_when_it_wakes_up_as_another(yard, pair, time):
    zombie, looker, job = pair
    yard.store.ask_to_stop([zombie.worker_id], "drain", now=1)
    time.passes(12, looker)
    yard.until_finished(looker, job)
    wake(zombie)

    assert zombie.stopping.phase == "draining"
    assert zombie.finished()


def test_what_a_silent_worker_had_claimed_ahead_never_starts_in_its_hands(yard, time):
    yard.define(DEFINITIONS)
    zombie = yard.worker("zombie", slots=1)
    zombie.slots._usual_ms = 1.0
    jobs = [yard.enqueue("Once"), yard.enqueue("Brief"), yard.enqueue("Brief")]
    zombie.flight.may_claim = True
    yard.until(zombie, lambda: len(zombie.slots.busy) == 3)
    looker = yard.worker("looker", slots=1)
    time.passes(12, looker)
    yard.until_finished(looker, *jobs)

    # The first one twice, the others once.
    assert starts(yard) == 4
    assert {attempt.worker for job in jobs[1:] for attempt in yard.store.attempts(job) if attempt.pid} == {"looker"}


def test_a_job_that_is_to_be_adopted_goes_on_without_its_silent_worker(yard, time):
    yard.define(DEFINITIONS)
    job = yard.enqueue("Tough")
    zombie = yard.worker("zombie")
    yard.until(zombie, lambda: (yard.folder / "starts").exists() and yard.store.attempts(job))
    looker = yard.worker("looker")
    time.passes(12, looker)
    (yard.folder / "go").touch()
    yard.until_finished(looker, job)
    wake(zombie)

    assert [(one.outcome, one.exit_code) for one in yard.store.attempts(job)] == [("failed", 42)]
    assert starts(yard) == 1


def test_a_worker_that_shows_life_in_time_keeps_what_it_holds(yard, pair, time):
    zombie, looker, job = pair
    for _ in range(5):
        time.passes(6, looker)
        zombie.step(0)

    assert [one.claim.job_id for one in yard.store.held_by(zombie.worker_id)] == [job]
    assert starts(yard) == 1


def test_a_looker_that_was_stopped_itself_begins_counting_anew(yard, pair, time):
    zombie, looker, job = pair
    time.passes(6, looker)
    time.ahead += 60
    time.passes(6, looker)

    assert [one.claim.job_id for one in yard.store.held_by(zombie.worker_id)] == [job]


def test_a_looker_that_could_not_write_itself_begins_counting_anew(yard, pair, time):
    zombie, looker, job = pair
    writer = driver.connect(yard.store.path, isolation_level=None)
    time.passes(6, looker)
    writer.execute("BEGIN IMMEDIATE")
    time.passes(6, looker)
    writer.execute("ROLLBACK")
    time.passes(6, looker)

    assert "trying again until it works: the database" in yard.log.getvalue()
    assert [one.claim.job_id for one in yard.store.held_by(zombie.worker_id)] == [job]
    writer.close()


def test_a_jump_of_the_wall_clock_makes_nobody_silent(yard, pair, monkeypatch):
    zombie, looker, job = pair
    now_ms = clock.now_ms
    for hours in (48, -48):
        monkeypatch.setattr(clock, "now_ms", lambda hours=hours: now_ms() + hours * 3_600_000)
        for _ in range(20):
            looker.step(0)

    assert [one.claim.job_id for one in yard.store.held_by(zombie.worker_id)] == [job]
    assert starts(yard) == 1


def test_a_worker_that_wakes_up_before_it_is_declared_lost_stays_and_settles_itself(yard, pair, time, monkeypatch):
    zombie, looker, job = pair
    declare_lost = SqliteStore.declare_lost

    def woken_first(store, worker, **values):
        zombie.step(0)
        return declare_lost(store, worker, **values)

    monkeypatch.setattr(SqliteStore, "declare_lost", woken_first)
    time.passes(11, looker)
    yard.until_finished(zombie, job)

    assert [(one.outcome, one.worker) for one in yard.store.attempts(job)] == [
        ("worker_lost", "zombie"),
        ("completed", "zombie"),
    ]
    assert [worker.name for worker in yard.store.workers()] == ["zombie", "looker"]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_when_the_looker_dies_around_the_declaration_the_next_one_ends_what_it_began(
    yard, pair, time, monkeypatch, after
):
    zombie, looker, job = pair
    declare_lost = SqliteStore.declare_lost

    class Died(BaseException):
        pass

    def dies(store, worker, **values):
        monkeypatch.undo()
        if after:
            declare_lost(store, worker, **values)
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(SqliteStore, "declare_lost", dies)
        with pytest.raises(Died):
            time.passes(12, looker)
    _die(yard, looker)
    another = Time(monkeypatch)
    third = yard.worker("third")
    another.passes(12, third)
    yard.until_finished(third, job)
    wake(zombie)

    assert [(one.outcome, one.worker) for one in yard.store.attempts(job)] == [
        ("worker_lost", "zombie"),
        ("completed", "third"),
    ]
    assert starts(yard) == 2


def test_of_two_lookers_one_takes_over(yard, pair, time):
    _, looker, job = pair
    second = yard.worker("second")
    time.passes(14, looker, second)
    yard.until(looker, lambda: second.step(0) or yard.job(job).status is Status.COMPLETED)

    assert [one.outcome for one in yard.store.attempts(job)] == ["worker_lost", "completed"]
    assert [event.type for event in yard.store.events()].count("worker.lost") == 1
    assert starts(yard) == 2


def test_a_worker_that_could_not_show_for_long_that_it_lives_claims_nothing(yard, time):
    yard.define(DEFINITIONS)
    worker = yard.worker()
    job = yard.enqueue("Brief")
    time.ahead += 30
    worker.store.heartbeat, heartbeat = lambda *_, **__: None, worker.store.heartbeat
    worker.duties.beat_at -= 30
    worker.duties._next_beat = clock.monotonic() + 60
    for _ in range(5):
        worker.step(0)
    waited = yard.job(job).status
    worker.store.heartbeat = heartbeat
    worker.duties._next_beat = 0.0
    yard.until_finished(worker, job)

    assert waited is Status.PENDING


def test_recover_watches_a_silent_worker_for_its_lease_and_one_that_shows_life_is_let_be(yard, pair, time):
    _, looker, _ = pair
    workers = {worker.name: worker for worker in yard.store.workers()}

    def passes(seconds: float) -> None:
        time.ahead += seconds
        looker.duties.beat(looker.stopping)

    begun = time.ahead
    found = watched(yard.store, [workers["zombie"], workers["looker"]], yard.config, pause=passes)

    assert [(worker.name, round(seconds)) for worker, seconds in found] == [("zombie", 10)]
    assert time.ahead - begun < 13


def test_recover_by_hand_settles_what_a_silent_worker_held(yard):
    yard.define(DEFINITIONS)
    job = yard.enqueue("Once")
    zombie = yard.worker("zombie")
    yard.until(zombie, lambda: (yard.folder / "seen").exists() and yard.store.attempts(job))
    (silent,) = yard.store.workers()
    who = identify("by hand", "run", slots=0, queues={}, config=yard.config)
    lock = Liveness(yard.store.run_dir, who.name, who.pid, who.process)
    by_hand = yard.store.register(who, now=1)
    settled = recover(
        yard.store, by_hand, zombie.definitions,
        run_dir=zombie.setup.run_dir, db_path=zombie.place.db_path, silent=[(silent, 10.0)],
    )  # fmt: skip
    wake(zombie)
    yard.store.deregister(by_hand, now=1)
    lock.close()

    assert [(one.claim.job_id, one.outcome) for one in settled] == [(job, "worker_lost")]
    assert [one.outcome for one in yard.store.attempts(job)] == ["worker_lost"]


def seen(yard, **values) -> Worker:
    from kiribi_cli.core.records import replace

    (worker,) = yard.store.workers()
    return replace(worker, **values)


def silent_after(worker: Worker, seconds: int, config_path: str | None) -> bool:
    looker = Silence(99, config_path)
    return any([*looker.over([worker], lease_ms=10_000, now=float(at))] for at in range(seconds + 1))


def test_the_lease_of_a_worker_with_another_file_or_a_broken_one_is_a_minute_at_least(yard):
    yard.worker()
    known = seen(yard)

    assert silent_after(known, 10, known.config_path)
    assert not silent_after(known, 59, "/elsewhere/jobs.toml")
    assert silent_after(known, 60, "/elsewhere/jobs.toml")
    assert not silent_after(seen(yard, config_error="line 3"), 59, known.config_path)


def test_a_stopped_kiribi_run_and_workers_that_cannot_be_ended_from_here_are_not_judged(yard):
    yard.worker()

    assert is_judged(seen(yard))
    assert not is_judged(seen(yard, kind="run"))
    assert not is_judged(seen(yard, process='["another boot", "pid:[1]", 5]'))
    assert not is_judged(seen(yard, process=None))


def test_heartbeats_come_in_time_for_a_short_lease_and_a_long_poll(yard, time):
    yard.define('[worker]\nlease = "10s"\npoll = "1m"')
    worker = yard.worker()
    beats = set()
    for _ in range(40):
        # As long as it would have slept.
        time.ahead += min(60.0, worker.patience())
        worker.step(0)
        beats.add(worker.duties.beat_at)

    assert len(beats) > 10
    assert max(later - earlier for earlier, later in pairwise(sorted(beats))) < 6


def _die(yard, worker) -> None:
    """Do to the brain what SIGKILL does: its lock is free, its socket is closed, nothing else is done."""
    place = yard.workers.index(worker)
    del yard.workers[place]
    yard.locks.pop(place).close()
    worker.hands.close()
    worker.bell.close()
