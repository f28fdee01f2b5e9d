"""What is written to the database without a ring is noticed all the same."""

import pytest

from kiribi_cli.worker import watch
from kiribi_cli.worker.watch import FIRST_S, GLANCE_S, Watch


@pytest.fixture
def calm(tmp_path, monkeypatch):
    """A watch that has left it to the kernel to tell."""
    monkeypatch.setattr(watch, "CALM_S", 0.0)
    made = Watch(str(tmp_path / "kiribi.db"))
    made.glanced(changed=False)
    yield made
    made.close()


def test_as_long_as_nobody_writes_nobody_glances(calm):
    assert calm.pause() == float("inf")


def test_a_write_brings_the_first_glance_at_once_and_the_next_ones_later_and_later(
    calm, tmp_path, eventually, monkeypatch
):
    monkeypatch.setattr(watch, "CALM_S", 60.0)
    (tmp_path / "kiribi.db-wal").write_bytes(b"frame")

    assert eventually(lambda: calm.pause() < 1)
    assert calm.pause() == FIRST_S
    calm.glanced(changed=False)
    assert calm.pause() == FIRST_S * 2
    for _ in range(10):
        calm.glanced(changed=False)
    assert calm.pause() == GLANCE_S


def test_after_a_write_it_glances_for_a_while_because_the_commit_comes_later(tmp_path):
    made = Watch(str(tmp_path / "kiribi.db"))
    made.glanced(changed=True)

    assert made.pause() == GLANCE_S
    made.close()


def test_where_the_kernel_did_not_tell_of_three_commits_it_is_not_trusted_any_more(calm):
    calm.noticed()
    calm.noticed()
    after_two = calm.pause()
    calm.noticed()
    calm.glanced(changed=True)

    assert after_two == float("inf")
    assert calm.pause() == GLANCE_S


def test_where_there_is_no_dnotify_the_glances_never_end(tmp_path, monkeypatch):
    monkeypatch.delattr("fcntl.F_NOTIFY", raising=False)
    made = Watch(str(tmp_path / "kiribi.db"))
    made.glanced(changed=False)

    assert made.pause() == GLANCE_S
    made.close()


def test_a_commit_that_nobody_rang_for_ends_the_sleep(yard):
    yard.define('worker.poll = "1m"\n[jobs.Touch]\ncommand = ["true"]\n')
    worker = yard.worker()
    yard.until(worker, lambda: worker.patience() > 1)
    yard.store._db.ring = lambda: None
    job = yard.enqueue("Touch")
    worker.step(5.0)

    assert yard.job(job).worker == "w1"
