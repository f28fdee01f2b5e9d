"""Output passed through as it comes, as `kiribi run` does it."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from kiribi_cli.runner.output import read

SCRIPT = textwrap.dedent("""
    import select, sys
    from kiribi_cli.core.definition import Definition
    from kiribi_cli.core.outcome import Ended
    from kiribi_cli.runner.hands import Hands
    from kiribi_cli.runner.launch import Place, Work
    from kiribi_cli.runner.prepare import prepare
    folder, command, stdin = sys.argv[1:]
    place = Place({"PATH": "/bin:/usr/bin"}, sys.executable, None, folder + "/k.db")
    rules = Definition("T", "shell", shell=command, cwd=folder)
    hands = Hands.start(logs_dir=folder + "/logs", run_dir=folder + "/run", db_path=folder + "/k.db", tee=True)
    hands.start_many([prepare(rules, Work(1, 1, "T", "default", 1, 1, 0, 0, stdin=stdin), place)])
    while not any(isinstance(report, Ended) for report in hands.reports()):
        select.select([hands], [], [])
    print("the end", file=sys.stderr)
    hands.close()
""")


@pytest.fixture
def foreground(tmp_path):
    """Start a brain that runs one command in the foreground."""
    for name in ("logs", "run"):
        (tmp_path / name).mkdir()

    def start(command, given="payload", **settings):
        argv = [sys.executable, "-c", SCRIPT, str(tmp_path), command, given]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(argv, **pipes | settings)

    return start


def test_both_streams_pass_through_whole_and_before_the_end_is_told(foreground):
    with foreground("head -c 300000 /dev/zero; echo err >&2") as brain:
        out, err = brain.communicate()

    assert out == bytes(300_000)
    assert err == b"err\nthe end\n"


def test_a_slow_reader_slows_the_job_and_loses_nothing(foreground, eventually, tmp_path):
    with foreground("seq 200000; touch done") as brain:
        first = os.read(brain.stdout.fileno(), 100)
        # The pipes and buffers in between hold less than a MiB; the job has more to say.
        assert not (tmp_path / "done").exists()
        rest, _ = brain.communicate()

    assert first + rest == b"".join(b"%d\n" % number for number in range(1, 200_001))


def test_a_reader_that_goes_away_does_not_end_the_job(foreground, tmp_path):
    with foreground("seq 200000; touch done") as brain:
        os.read(brain.stdout.fileno(), 10)
        brain.stdout.close()
        brain.stderr.read()
        brain.wait()

    log = b"".join(piece.data for piece in read(tmp_path / "logs" / "1"))
    assert log.endswith(b"\n200000\n")
    assert (tmp_path / "done").exists()


def test_the_callers_stdin_can_be_inherited(foreground):
    with foreground("cat", "inherit", stdin=subprocess.PIPE) as brain:
        out, _ = brain.communicate(b"hello")

    assert out == b"hello"


def test_output_to_a_file_passes_through(foreground, tmp_path):
    with Path(tmp_path / "out").open("wb") as file, foreground("seq 1000", stdout=file) as brain:
        brain.communicate()

    assert (tmp_path / "out").read_bytes().endswith(b"\n1000\n")


def test_closed_standard_descriptors_are_no_trouble(foreground, tmp_path):
    shell = f'exec 0<&- 1>&- 2>&-; exec "$0" -c "$1" {tmp_path} "echo x; touch done" payload'

    subprocess.run(["/bin/sh", "-c", shell, sys.executable, SCRIPT], check=True)

    assert (tmp_path / "done").exists()
    assert b"".join(piece.data for piece in read(tmp_path / "logs" / "1")) == b"x\n"
