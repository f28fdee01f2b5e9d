"""The README tells the truth: every block of it is executed, and every command there is appears in it.

sh blocks must succeed; console blocks are typed at a terminal and their output compared, with `...` for what varies;
toml blocks become jobs.toml; the lines of crontab blocks are run as cron would run them.
"""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]
README = (TREE / "README.md").read_text()
SCREEN = 110


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line of README.md where it begins."""

    language: str
    text: str
    line: int


BLOCKS = [
    Block(match["language"], match["text"], README[: match.start()].count("\n") + 1)
    for match in re.finditer(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", README, re.MULTILINE | re.DOTALL)
]
SET_UP = [block for block in BLOCKS if "python3 -m venv" in block.text]
TOUR = [block for block in BLOCKS if block not in SET_UP]


def test_the_tour_works_block_by_block(kiribi):
    for block in TOUR:
        match block.language:
            case "toml":
                kiribi.define(block.text)
            case "sh":
                _succeeds(kiribi, block)
            case "console":
                _shows(kiribi, block)
            case "crontab":
                _works_from_cron(kiribi, block)
            case other:
                pytest.fail(f"README.md:{block.line}: nobody knows how to check a block of {other!r}")


@pytest.mark.slow
@pytest.mark.needs("find", "sha256sum")
def test_one_line_sets_up_and_runs_the_main_job(tmp_path):
    hidden = shutil.ignore_patterns(".*", "__pycache__")
    shutil.copytree(TREE, tmp_path / "clone", ignore=lambda folder, names: {*hidden(folder, names)} - {".gitignore"})
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KIRIBI_")}
    line = SET_UP[0].text.strip()
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=tmp_path / "clone",
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )

    assert "\n" not in line
    assert done.returncode == 0, done.stderr
    assert re.search(r"completed [\d,]*\d{3}  failed 0 ", done.stdout)


def test_one_line_sets_up_and_passes_the_tests():
    # That it does is shown by .ci/run, which takes the line from the README and runs it.
    line = SET_UP[1].text.strip()

    assert len(SET_UP) == 2
    assert re.fullmatch(r"python3 -m venv \.venv && .* -m pytest -n 3 --dist loadfile", line)
    assert "README.md" in (TREE / ".ci" / "run").read_text()


def test_every_command_appears(kiribi):
    missing = [command for command in _commands(kiribi) if f"kiribi {command}" not in README]

    assert missing == []


def test_the_help_of_every_command_ends_with_examples(kiribi):
    for command in _commands(kiribi):
        text = kiribi.ok(*command.split(), "--help")
        examples = text.partition("Examples:\n")[2].strip().splitlines()

        assert 2 <= len([line for line in examples if "kiribi" in line]) <= 6, command
        assert "╭" not in text


def test_every_exit_code_appears():
    for code in ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "75", "124", "125", "126", "127", "128+n"):
        assert re.search(rf"^\| {re.escape(code)} ", README, re.MULTILINE) or f"`{code}`" in README, code


def _succeeds(kiribi, block: Block) -> None:
    done = subprocess.run(
        ["/bin/bash", "-eu", "-o", "pipefail", "-c", block.text],
        cwd=kiribi.folder, env=kiribi.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert done.returncode == 0, f"README.md:{block.line}\n{block.text}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr


def _shows(kiribi, block: Block) -> None:
    for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE):
        shown = _at_a_terminal(kiribi, command)
        pattern = re.escape(_without_what_varies(expected)).replace(re.escape("..."), ".*?")

        assert re.fullmatch(pattern, _without_what_varies(shown), re.DOTALL), (
            f"README.md:{block.line}\n$ {command}\n{shown}"
        )


def _without_what_varies(text: str) -> str:
    """Blur times (tomorrow's with their date), durations, sizes, and the widths of columns that follow from them."""
    blurred = re.sub(
        r"(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d|\b(\d+(\.\d+)?(ms|s|m|h|d))+\b|\b[\d.]+ MB\b", "#", text.strip()
    )
    return re.sub(r"  +", "  ", blurred)


def _works_from_cron(kiribi, block: Block) -> None:
    for line in block.text.splitlines():
        if not line or line.startswith("#"):
            continue
        command = line.split(maxsplit=5)[5].replace("/srv/app", str(kiribi.folder))
        # cron gives next to no environment, and mails what is printed.
        bare = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(kiribi.home)}
        done = subprocess.run(["/bin/sh", "-c", command], cwd="/", env=bare, capture_output=True, text=True, timeout=60)

        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), f"README.md:{block.line}\n{line}"


def _at_a_terminal(kiribi, command: str) -> str:
    """Type a command and return what the screen shows: lines end in \\n, trailing blanks and the last newline dropped."""
    brain, terminal = pty.openpty()
    size = {"COLUMNS": str(SCREEN), "LINES": "40", "TERM": "xterm", "NO_COLOR": "1", "KIRIBI_PAGER": "cat"}
    process = subprocess.Popen(
        ["/bin/bash", "-c", command], cwd=kiribi.folder, env=kiribi.environment | size,
        stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal, start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    pieces = []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([brain], [], [], 1)[0]:
            try:
                pieces.append(os.read(brain, 65536))
            except OSError:
                break  # Linux tells so that the other end is closed
    os.close(brain)
    process.wait(10)
    text = b"".join(pieces).decode().replace("\r\n", "\n")
    return "\n".join(line.rstrip() for line in text.splitlines())


def _commands(kiribi) -> list[str]:
    """List every command there is, as the help names them: `ls`, `db info` and so on."""
    found = []
    for command in _listed_by(kiribi.ok("--help")):
        below = _listed_by(kiribi.ok(command, "--help"))
        found += [f"{command} {name}" for name in below] or [command]
    assert len(found) > 30
    return found


def _listed_by(text: str) -> list[str]:
    section = re.search(r"^Commands:\n((?:  .*\n?)+)", text, re.MULTILINE)
    return re.findall(r"^  ([a-z]+) ", section[1], re.MULTILINE) if section else []
