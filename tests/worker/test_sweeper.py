"""The hourly sweep: it begins by itself, and nothing about it stops a worker."""

import sys

import pytest

from kiribi_cli.worker.sweeper import HOURLY_MS, Sweeper

NOW = 1_763_920_800_000


@pytest.fixture
def sweep(tmp_path):
    """A sweeper whose sweep leaves a file behind, and that file."""
    done = tmp_path / "done"
    return Sweeper([sys.executable, "-c", f"open({str(done)!r}, 'w')"], str(tmp_path / "run")), done


def test_a_sweep_begins_an_hour_after_the_last(sweep, eventually):
    sweeper, done = sweep
    sweeper.step(NOW)
    sweeper.step(NOW + HOURLY_MS - 1)
    assert not sweeper.busy()

    sweeper.step(NOW + HOURLY_MS)

    assert eventually(lambda: not sweeper.busy())
    assert done.exists()


def test_a_run_folder_that_was_removed_is_made_again(sweep, tmp_path):
    sweeper, _ = sweep

    sweeper.step(NOW)

    assert (tmp_path / "run" / "swept").exists()


def test_a_folder_that_cannot_be_written_puts_the_sweep_off(sweep, tmp_path, eventually):
    sweeper, done = sweep
    in_the_way = tmp_path / "run"
    in_the_way.write_text("")
    sweeper.step(NOW)

    in_the_way.unlink()
    sweeper.step(NOW)
    sweeper.step(NOW + HOURLY_MS)

    assert eventually(lambda: not sweeper.busy())
    assert done.exists()
