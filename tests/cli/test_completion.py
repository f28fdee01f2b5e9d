"""Completion: what is offered where, in every shell, without loading anything heavy."""

import subprocess
import sys

import pytest

JOBS = """
[queues]
mail = {}
[jobs]
Mailer = { command = ["true"], queue = "mail", tags = ["weekly"] }
Never = ["true"]
Hidden = { command = ["true"], hidden = true }
"""

BASH = """
source <(kiribi completion bash)
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_kiribi
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def complete(kiribi):
    kiribi.define(JOBS)
    kiribi.ok("enqueue", "Mailer")

    def complete(*words):
        argv = ["bash", "-c", BASH, "bash", "kiribi", *words]
        done = subprocess.run(
            argv, cwd=kiribi.folder, env=kiribi.environment, capture_output=True, text=True, timeout=60
        )
        assert done.stderr == ""
        return done.stdout.split()

    return complete


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("du",), ["duplicate"]),
        (("db", "ver"), ["verify"]),
        (("retry", "--for"), ["--force"]),
        (("enqueue", "M"), ["Mailer"]),
        (("enqueue", "N"), ["Never"]),
        (("enqueue", "H"), []),
        (("show", ""), ["1"]),
        (("ls", "--status", "fai"), ["failed"]),
        (("ls", "--status", "=", "fai"), ["failed"]),
        (("ls", "--status", "failed,canc"), ["failed,cancelled"]),
        (("ls", "--queue", "ma"), ["mail"]),
        (("ls", "--tag", "w"), ["weekly"]),
        (("ls", "--color", "al"), ["always"]),
        (("help", "exit"), ["exit-codes"]),
        (("completion", "z"), ["zsh"]),
        (("enqueue", "--", "M"), []),
        (("--db", "nowhere.db", "show", ""), []),
    ],
)
def test_bash_is_offered_what_could_stand_there(complete, words, offered):
    assert complete(*words) == offered


def test_every_command_is_offered(complete):
    from kiribi_cli.cli.main import COMMANDS

    assert set(COMMANDS) <= set(complete(""))


def test_ids_come_with_their_job_and_status(kiribi, complete):
    grammar = "show\t@ids\n"

    done = kiribi("__complete", "2", "kiribi", "show", "", stdin=grammar)

    assert done.stdout == "1\tMailer pending\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(kiribi, shell):
    text = kiribi.ok("completion", shell)

    assert "kiribi __complete" in text
    assert "retry\t" in text


def test_the_bash_script_is_valid_bash(kiribi):
    done = subprocess.run(["bash", "-n"], input=kiribi.ok("completion", "bash"), capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


def test_another_shell_is_a_usage_error(kiribi):
    assert kiribi("completion", "tcsh").returncode == 2


def test_a_tab_never_makes_noise(kiribi):
    kiribi.define("[")

    done = kiribi("__complete", "x", "kiribi", "show", "")
    broken = kiribi("__complete", "2", "kiribi", "show", "", stdin="show\t@ids\n")

    assert done.stdout + done.stderr + broken.stdout + broken.stderr == ""


def test_a_tab_loads_neither_typer_nor_rich(kiribi):
    kiribi.define(JOBS)
    kiribi.ok("enqueue", "Mailer")
    script = (
        "import sys\nfrom kiribi_cli.cli.complete import main\n"
        "main(['2', 'kiribi', 'show', ''])\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} & {'typer', 'rich', 'croniter', 'asyncio'}))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=kiribi.folder, env=kiribi.environment, input="show\t@ids\n",
        capture_output=True, text=True,
    )  # fmt: skip

    assert done.stdout == "1\tMailer pending\n\n"
