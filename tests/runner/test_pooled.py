"""A child of the pool, moved by hand: what it may begin, and when it tells."""

import os
import select
import sys
from pathlib import Path

import pytest

from kiribi_cli.core.definition import Definition
from kiribi_cli.runner import pooled
from kiribi_cli.runner.attempt import Attempt, Base
from kiribi_cli.runner.hands import _fields
from kiribi_cli.runner.launch import Place, Work
from kiribi_cli.runner.pooled import start_child
from kiribi_cli.runner.prepare import prepare


@pytest.fixture
def child(tmp_path):
    (tmp_path / "work.py").write_text("def same(n): return n\n")
    rules = Definition(name="Py", kind="python", python="work:same", cwd=str(tmp_path))
    work = Work(1, 1, "Py", "default", 1, 3, 2, 0, payload='{"n": 1}')
    launch = prepare(rules, work, Place(dict(os.environ), sys.executable))
    base = Base(_fields(launch.base))
    null = os.open(os.devnull, os.O_RDWR)
    one = start_child(base, str(Path(pooled.__file__).with_name("child.py")), null, f"{os.getpid()}:1")
    fields = ["", list(launch.argv), launch.env, launch.payload, launch.stdin, None, False]
    attempts = [Attempt(base, [number, number, *fields], str(tmp_path), str(tmp_path)) for number in (1, 2, 3)]
    one.give(attempts, str(tmp_path), os.devnull)
    yield one
    one.leave()
    one.its_turns.close()
    os.waitpid(one.pid, 0)
    for fd in (one.answers, one.out, one.err, null):
        os.close(fd)


def heard(child):
    """What it answers once it rings; nothing if it does not."""
    return child.hear() if select.select([child.turns], [], [], 5)[0] else []


def test_what_a_child_has_not_begun_is_taken_back_in_order(child):
    assert [attempt.id for attempt in child.take_back()] == [1, 2, 3]
    assert list(child.sent) == []


def test_a_child_tells_of_each_job_at_once_when_it_may_begin_no_other(child):
    child.take_back()
    assert heard(child) == [[0]]

    told = []
    for _ in range(3):
        # As when the others of its packet were taken back: it holds them, and must not wait with what it has.
        child.turns.send(b"\x01")
        told.append([words[0] for words in heard(child)])

    assert told == [[1], [2], [3]]
