"""A database that somebody keeps writing to: who that is, for how long it is waited for, and what is not done twice."""

import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kiribi_cli.actions import enqueue_hot
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.store import connect
from kiribi_cli.store.sqlite import SqliteStore
from kiribi_cli.store.writer import writer
from tests.conftest import eventually
from tests.store.hand import job

# Begins to write, says so, and goes on until its stdin is closed.
HOLDER = """
import sys
from kiribi_cli.store.connect import driver
connection = driver.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def store(tmp_path: Path):
    opened = SqliteStore.open(tmp_path / "kiribi.db", create=True)
    yield opened
    opened.close()


@pytest.fixture
def holder(store):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", HOLDER, store.path], **pipes)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_where_nobody_writes_there_is_no_writer(store):
    store.insert([job()], now=1)

    assert writer(store.path) is None
    assert writer("/nowhere/kiribi.db") is None


def test_who_waits_in_vain_is_told_who_writes_and_as_what_it_was_started(store, holder):
    store.hurry(0.2)
    with pytest.raises(KiribiError) as raised:
        store.insert([job()], now=1)

    assert (raised.value.code, raised.value.final) == (Code.STORE, False)
    assert f"is busy: process {holder.pid} has been writing to it for 0.2 s" in raised.value.message
    assert "it is: " in raised.value.hint
    assert sys.executable in raised.value.hint


def test_a_writer_that_is_stopped_is_told_as_such_with_what_wakes_it_up(store, holder):
    os.kill(holder.pid, signal.SIGSTOP)
    eventually(lambda: writer(store.path).is_stopped)
    store.hurry(0.1)
    with pytest.raises(KiribiError) as raised:
        store.insert([job()], now=1)

    assert "which is stopped (Ctrl-Z, or kill -STOP)" in raised.value.message
    assert raised.value.hint == f"kill -CONT {holder.pid} lets it go on"


def test_the_quick_way_of_enqueue_that_has_waited_in_vain_does_not_wait_again_in_the_slow_way(
    store, holder, monkeypatch
):
    monkeypatch.setattr(connect, "begin", functools.partial(connect.begin, patience_s=0.1))
    with pytest.raises(KiribiError) as raised:
        enqueue_hot._stored(store.path, job(), "full")

    assert f"is busy: process {holder.pid}" in raised.value.message
