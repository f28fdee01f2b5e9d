"""What every command has in common: options, forms of errors, help, streams that are closed, full or a terminal."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from kiribi_cli.cli import command, quick
from kiribi_cli.cli import main as tree
from kiribi_cli.cli.declared import Context
from kiribi_cli.cli.main import COMMANDS
from kiribi_cli.cli.pager import through_pager


def every_command():
    for name, where in COMMANDS.items():
        if isinstance(where, str):
            yield name
        else:
            yield from (f"{name} {below}" for below in where["commands"])


@pytest.mark.parametrize("command", list(every_command()))
def test_every_help_ends_with_two_to_four_examples(desk, command):
    answer = desk(*command.split(), "--help")

    text, _, examples = answer.out.partition("\nExamples:\n")
    lines = [line for line in examples.splitlines() if line.strip()]
    assert answer.code == 0
    assert text.startswith(f"Usage: kiribi {command} ")
    assert 2 <= len(lines) <= 4
    assert all("kiribi" in line for line in lines)


def test_kiribi_alone_is_a_usage_error_that_lists_the_commands(desk):
    answer = desk()

    assert (answer.code, answer.out) == (2, "")
    assert all(f"\n  {name} " in answer.err for name in COMMANDS)


@pytest.mark.parametrize("words", [["--version"], ["--version", "ls"]])
def test_the_version_is_one_line(desk, words):
    assert desk(*words).out.startswith("kiribi 0.")


@pytest.mark.parametrize("alias", ["list", "log", "tail", "delete", "dup"])
def test_aliases_work_and_are_hidden(desk, alias):
    assert desk(alias, "--help").code == 0
    assert f"\n  {alias} " not in desk("--help").out


def test_global_options_stand_before_or_after_the_command(history):
    assert history("--json", "-q", "ls") == history("ls", "-q", "--json")
    assert history("--tsv", "ls", "--json").out.startswith("[{")


def test_what_stands_behind_two_dashes_is_no_option_of_ours(history):
    answer = history("ls", "-q", "--", "--json")

    assert (answer.code, answer.out, answer.err) == (0, "", "")


@pytest.mark.parametrize(
    "words", ["lss", "ls --jsn", "show", "ls -n x", "db nope", "wait 1 --for ever", "ls --color pink"]
)
def test_usage_errors_are_a_sentence_and_exit_2(history, words):
    answer = history(*words.split())

    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("Error: ")
    assert "Traceback" not in answer.err


def test_errors_are_json_objects_where_the_answer_would_be(history):
    told = json.loads(history("show", 99, "--json").err)["error"]

    assert tuple(told) == ("code", "exit_code", "message", "hint", "details")
    assert (told["code"], told["exit_code"]) == ("not_found", 3)
    assert json.loads(history("--jsonl", "lss").err)["error"]["code"] == "usage"


def test_a_form_of_the_environment_gives_way_to_a_flag(history, monkeypatch):
    monkeypatch.setenv("KIRIBI_FORMAT", "jsonl")
    assert history("ls", "-n", 1).out.startswith('{"id": 5')
    assert history("ls", "-n", 1, "--tsv").out.startswith("5\t")
    monkeypatch.setenv("KIRIBI_FORMAT", "xml")
    assert history("ls").code == 2


def test_colours_come_only_when_they_are_wanted(history, monkeypatch):
    assert "\x1b[" not in history("show", 1).out
    assert "\x1b[" in history("show", 1, "--color", "always").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in history("show", 1).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in history("show", 1).out


def test_a_missing_database_is_exit_7_and_is_not_made(desk, tmp_path):
    answer = desk("--db", tmp_path / "none.db", "ls")

    assert answer.code == 7
    assert not (tmp_path / "none.db").exists()


def test_a_broken_jobs_toml_does_not_hide_the_history(history):
    (history.folder / "jobs.toml").write_text("[jobs\n")

    assert history("ls", "-q").out.split() == ["5", "4", "3", "2", "1"]


def test_the_unexpected_is_one_sentence_and_a_traceback_only_on_demand(desk, monkeypatch):
    def explode(ctx: Context):
        raise ZeroDivisionError("by design")

    # Both ways of reading a command line: -vv is one that only Typer knows.
    monkeypatch.setattr(quick, "function_at", lambda _: explode)
    monkeypatch.setattr(command, "function_at", lambda _: explode)

    plain, loud = desk("ls"), desk("ls", "-vv")

    assert (plain.code, "Traceback" in plain.err, "-vv" in plain.err) == (1, False, True)
    assert "Traceback" in loud.err


def test_a_command_whose_module_is_missing_does_not_break_the_others(desk, monkeypatch):
    monkeypatch.setitem(tree.COMMANDS, "later", "not_there:later")

    assert "later" not in desk("--help").out
    assert desk("later").code == 2


def test_ctrl_c_is_130(desk, monkeypatch):
    def interrupt(ctx: Context):
        raise KeyboardInterrupt

    monkeypatch.setattr(quick, "function_at", lambda _: interrupt)

    assert desk("ls").code == 130


def kiribi_argv(*words):
    return [sys.executable, "-m", "kiribi_cli", *words]


def test_a_reader_that_goes_away_is_no_error(history):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(kiribi_argv("ls"), stdout=writer, stderr=subprocess.PIPE, text=True, cwd=history.folder)
    os.close(writer)

    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("form", ["--tsv", "--json", "--table"])
def test_a_full_stdout_is_a_clear_error(history, form):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            kiribi_argv("ls", form), stdout=full, stderr=subprocess.PIPE, text=True, cwd=history.folder
        )

    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_closed_stdout_is_a_clear_error_and_never_the_database(history):
    before = (history.folder / ".kiribi" / "kiribi.db").read_bytes()
    words = " ".join(kiribi_argv("ls"))
    done = subprocess.run(["/bin/sh", "-c", f"{words} >&-"], stderr=subprocess.PIPE, text=True, cwd=history.folder)

    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert (history.folder / ".kiribi" / "kiribi.db").read_bytes() == before


@pytest.mark.parametrize("words", [["ls", "--table"], ["show", "1"], ["stats", "--table"], ["ls", "--json"]])
def test_a_terminal_that_knows_only_ascii_is_no_error(history, words):
    history.enqueue("Mailer", tags='["ü"]')
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(kiribi_argv(*words), capture_output=True, cwd=history.folder, env=os.environ | plain)

    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()


def test_the_version_with_a_closed_stdout_is_a_clear_error(history):
    words = " ".join(kiribi_argv("--version"))
    done = subprocess.run(["/bin/sh", "-c", f"{words} >&-"], stderr=subprocess.PIPE, text=True, cwd=history.folder)

    assert done.returncode == 1
    assert "stdout is closed" in done.stderr


@pytest.mark.parametrize("words", [["run", "--no-such", "--", "true"], ["run", "--mutex", "a", "--", "true"]])
def test_run_refuses_a_bad_option_with_a_code_that_no_job_gives(desk, words):
    answer = desk("--json", *words)

    assert answer.code == 125
    assert json.loads(answer.err)["error"]["code"] == "usage"


def test_a_name_cannot_send_escape_sequences_to_a_terminal(history):
    history.enqueue("evil\x1b]0;owned\x07\x1b[2J", adhoc=1)
    shown = on_a_terminal(history, "ls")
    page = on_a_terminal(history, "show", "@last")

    assert "evil" in shown
    assert "\x1b]0" not in shown + page
    assert "\x1b[2J" not in shown + page


def test_a_log_on_a_terminal_has_colours_and_nothing_else(history):
    history.log(1, ("out", 1_100, b"\x1b[31mred\x1b[0m \x1b]0;owned\x07 \x1b[5;5Hthere\n"))
    shown = on_a_terminal(history, "logs", "1", "--attempt", "1")

    assert "\x1b[31mred\x1b[0m" in shown
    assert "\x1b]0" not in shown
    assert "\x1b[5;5H" not in shown


def test_a_terminal_gets_the_table_and_its_json_is_indented(history):
    assert on_a_terminal(history, "ls", "--color", "never").splitlines()[0].split()[:3] == ["ID", "JOB", "STATUS"]
    assert '\r\n  "id": 1,' in on_a_terminal(history, "show", "1", "--json")


def test_watching_shows_what_fits_the_screen_and_opens_no_pager(history, monkeypatch):
    monkeypatch.setattr("kiribi_cli.cli.pager.through_pager", lambda *_: pytest.fail("a pager waits for a key"))
    monkeypatch.setattr("kiribi_cli.cli.output.Out.tty", True)
    monkeypatch.setenv("LINES", "4")
    rounds = iter((None, None))

    def enough(_seconds):
        if next(rounds, "over"):
            raise KeyboardInterrupt

    monkeypatch.setattr("kiribi_cli.clock.sleep", enough)
    answer = history("ls", "--watch", "--table")

    assert answer.code == 130
    assert [len(screen.splitlines()) for screen in answer.out.split("\x1b[H\x1b[J")[1:]] == [3, 3, 3]


def test_a_narrow_terminal_never_cuts_a_number_or_a_status(history, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    lines = history("ls", "--table").out.splitlines()

    assert lines[0].split()[:6] == ["ID", "JOB", "STATUS", "ATT", "CREATED", "TOOK"]
    assert [line.split()[1] for line in lines[1:]] == ["Mailer", "Mailer", "Import", "Import", "Mailer"]
    assert "completed  2/5" in lines[-1]


def test_ctrl_c_belongs_to_the_pager_while_it_shows(tmp_path, monkeypatch):
    seen = tmp_path / "seen"
    monkeypatch.setenv("KIRIBI_PAGER", f"sh -c 'kill -INT $PPID; cat > {seen}'")
    monkeypatch.setenv("LINES", "5")
    try:
        through_pager((f"{number}\n" for number in range(50)), lambda _: pytest.fail("shown without a pager"))
    except KeyboardInterrupt:
        pytest.fail("the pager was left alone with the terminal")

    assert seen.read_text().splitlines()[-1] == "49"


def on_a_terminal(desk, *words):
    """Run with stdout and stderr on a terminal; return what it was sent."""
    leader, follower = pty.openpty()
    env = {"PATH": os.environ["PATH"], "HOME": str(desk.folder), "TERM": "xterm", "COLUMNS": "100", "LINES": "50", "TZ": "UTC",
           "LANG": "C.UTF-8", "NO_COLOR": ""}  # fmt: skip
    process = subprocess.Popen(
        kiribi_argv(*words), stdin=subprocess.DEVNULL, stdout=follower, stderr=follower, cwd=desk.folder, env=env
    )
    os.close(follower)
    sent = bytearray()
    while True:
        try:
            data = os.read(leader, 65_536)
        except OSError:
            break
        if not data:
            break
        sent += data
    os.close(leader)
    assert process.wait(30) == 0
    return sent.decode()
