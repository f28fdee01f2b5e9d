"""A jobs.toml that somebody has been at: it works, or every problem is told with its place, by every command alike."""

import os
import re
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzzed import SPLICES, Desk, fuzz, unfair

EXAMPLE = (Path(__file__).parents[2] / "jobs.example.toml").read_bytes()


@st.composite
def mutations(draw) -> bytes:
    """The example file after somebody's bad day."""
    lines = EXAMPLE.splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 4))):
        a, b = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        match draw(st.sampled_from(["delete", "double", "swap", "value", "splice", "cut", "endings"])):
            case "delete":
                del lines[a]
            case "double":
                lines.insert(b, lines[a])
            case "swap":
                lines[a], lines[b] = lines[b], lines[a]
            case "value":
                key, equals, _ = lines[a].partition(b"=")
                other = lines[b].partition(b"=")[2].strip() or draw(SPLICES)
                lines[a] = key + equals + b" " + other + b"\n"
            case "cut":
                lines = lines[: a + 1]
            case "endings":
                lines = [line.replace(b"\n", b"\r\n") for line in lines]
            case _:
                place = draw(st.integers(0, len(lines[a])))
                lines[a] = lines[a][:place] + draw(SPLICES) + lines[a][place:]
        lines = lines or [b""]
    return b"".join(lines)


PLACE = re.compile(r"^\S+:[1-9]\d*:[1-9]\d* +(error|warning) ", re.MULTILINE)


def is_checked(desk: Desk, content: bytes) -> None:
    desk.put_back()
    (desk.folder / "jobs.toml").write_bytes(content)
    check, listed, enqueued, shown = (
        desk("check"),
        desk("def", "ls"),
        desk("enqueue", "Checksum", "path=/x"),
        desk("ls"),
    )

    for answer in (check, listed, enqueued, shown):
        assert unfair(answer, "check") is None
        assert "\x1b" not in answer.out
    assert check.code in (0, 4)
    # What `check` finds, the others find; each problem with its place.
    assert (listed.code == 4) == (check.code == 4)
    assert (enqueued.code == 4) == (check.code == 4)
    assert shown.code in (0, 4, 7)
    assert check.code == 0 or PLACE.search(check.out)


@fuzz(60)
@given(content=mutations())
def test_a_changed_jobs_toml_works_or_is_told_with_places(desk, content):
    is_checked(desk, content)


@pytest.mark.slow
@fuzz(150)
@given(content=mutations())
def test_a_changed_jobs_toml_works_or_is_told_with_places_at_length(desk, content):
    is_checked(desk, content)


def test_what_is_no_file_in_the_place_of_jobs_toml_is_told_at_once(desk):
    answers = {}
    for name, make in {
        "folder": Path.mkdir,
        "pipe": os.mkfifo,
        "loop": lambda path: path.symlink_to(path),
        "nowhere": lambda path: path.symlink_to("nowhere"),
        "endless": lambda path: path.symlink_to("/dev/zero"),
    }.items():
        desk.put_back()
        path = desk.folder / "odd.toml"
        make(path)
        for words in (["check", "odd.toml"], ["-c", "odd.toml", "enqueue", "Any"], ["-c", "odd.toml", "ls"]):
            answers[name, words[0]] = desk(*words, within=5)

    assert {key: answer for key, answer in answers.items() if answer.code not in (2, 4)} == {}
    assert [unfair(answer) for answer in answers.values() if unfair(answer)] == []


@pytest.mark.slow
@fuzz(8)
@given(content=mutations())
def test_a_worker_outlives_any_jobs_toml_and_tells_what_is_wrong(kiribi, eventually, content):
    path = kiribi.define("[jobs.Any]\ncommand = ['true']\n")
    worker = kiribi.started[0] if kiribi.started else kiribi.worker()

    def is_told(broken: bool) -> bool:
        return [bool(one["config_error"]) for one in kiribi.json("ps")] == [broken]

    worker.send_signal(signal.SIGHUP)
    eventually(lambda: is_told(False))
    path.write_bytes(content)
    worker.send_signal(signal.SIGHUP)

    assert eventually(lambda: is_told(kiribi("check").returncode != 0))
    assert worker.poll() is None
