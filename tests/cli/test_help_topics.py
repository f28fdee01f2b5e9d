"""The help topics say what is true of this program."""

import re

import pytest

from kiribi_cli.cli.help import TOPICS, topics
from kiribi_cli.cli.prose import plain
from kiribi_cli.core.job import MOVES, Status
from kiribi_cli.errors import Code


def rows(topic, heading):
    """The rows of the first table below a heading, as lists of cells."""
    text = (TOPICS / f"{topic}.md").read_text()
    section = text[re.search(rf"^#+ {heading}$", text, re.MULTILINE).end() :]
    lines = section[section.index("\n|") + 1 :].split("\n\n")[0].splitlines()
    cells = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells[1:] if not set("".join(row)) <= {"-"}]


def test_no_line_of_a_topic_is_cut_within_a_word_on_a_wide_terminal(desk):
    for topic in topics():
        prose = [line for line in desk("help", topic).out.splitlines() if not line.startswith(" ")]

        assert max(map(len, prose)) <= 100, topic


def test_the_statuses_topic_lists_exactly_the_legal_moves():
    listed = {row[0]: tuple(row[1].split(", ")) for row in rows("statuses", "Legal moves")}

    assert listed == {str(start or "a new job"): tuple(map(str, ends)) for start, ends in MOVES.items()}


def test_the_statuses_topic_explains_every_status():
    assert [row[0] for row in rows("statuses", "Statuses")] == [str(status) for status in Status]


def test_the_exit_codes_topic_lists_every_code_with_its_name():
    listed = {row[0]: row[1] for row in rows("exit-codes", "Exit codes")}

    assert {str(code.value): code.slug for code in Code}.items() <= listed.items()


def test_the_sql_topic_names_the_views_there_are(kiribi):
    kiribi.ok("init")
    script = "import sqlite3; c = sqlite3.connect('.kiribi/kiribi.db'); print(*[r[0] for r in c.execute(\"select name from sqlite_master where type = 'view'\")])"

    import subprocess
    import sys

    found = subprocess.run([sys.executable, "-c", script], cwd=kiribi.folder, capture_output=True, text=True).stdout

    assert {"enqueue", *(row[0] for row in rows("sql", "Look"))} == set(found.split())


@pytest.mark.parametrize(
    "topic",
    [
        "statuses",
        "exit-codes",
        "environment",
        "faults",
        "formatting",
        "queries",
        "payload",
        "placeholders",
        "sql",
        "verify",
        "changes",
    ],
)
def test_help_prints_every_topic_without_markup(kiribi, topic):
    text = kiribi.ok("help", topic)

    assert "```" not in text
    assert not re.search(r"^(#|\|)", text, re.MULTILINE)
    assert topic in kiribi.ok("help").split()


def test_every_topic_begins_with_a_title():
    assert all((TOPICS / f"{topic}.md").read_text().startswith("# ") for topic in topics())


def test_help_of_a_command_is_its_help(kiribi):
    assert kiribi.ok("help", "retry").split() == kiribi.ok("retry", "--help").split()


def test_an_unknown_topic_is_not_found_with_a_suggestion(kiribi):
    done = kiribi("help", "statusses")

    assert done.returncode == 3
    assert 'Did you mean "statuses"?' in done.stderr


def test_help_needs_no_jobs_toml_that_is_valid(kiribi):
    kiribi.define("[")

    assert kiribi("help", "payload").returncode == 0


def test_wide_tables_are_folded_at_the_width():
    text = plain("| a | b |\n|---|---|\n| key | " + "word " * 60 + "|\n", width=60)

    assert max(map(len, text.splitlines())) <= 60
    assert text.count("word") == 60
