"""Any command line: an exit code of the list, one sentence, nothing written when refused; no traceback and no hang."""

import signal
import subprocess
from itertools import chain
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kiribi_cli.cli import quick
from kiribi_cli.cli.declared import FILTER_OPTIONS, GLOBAL_OPTIONS, Option
from kiribi_cli.cli.main import ALIASES, COMMANDS
from tests.conftest import KIRIBI, eventually
from tests.fuzzed import A_BUG, CODES, INTERRUPTED, Desk, fuzz, unfair
from tests.invariants import processes_of

PLACES = {
    name: where
    for name, table in COMMANDS.items()
    for name, where in ({name: table} if isinstance(table, str) else
                        {f"{name} {below}": where for below, where in table["commands"].items()}).items()
}  # fmt: skip
PLACES |= {alias: PLACES[name] for alias, name in ALIASES.items() if alias != "tail"}
# These start processes: they come as processes themselves, below.
PROCESSES = {"worker": PLACES.pop("worker"), "run": PLACES.pop("run")}
# A Ctrl-C that meets the interpreter while it collects garbage is noticed there and told as this.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
# A command line with one of these may wait for ever, and is interrupted.
WAITS = ("wait", "-f", "--follow", "--wait", "-w", "--watch")

# fmt: off
NUMBERS = [
    "0", "1", "2", "6", "-1", "-0", "9" * 25, str(2**63), str(2**63 - 1), str(2**31), "1_000", "٣", "²", "1e3", "0x1",
    "1.5", "nan", "9" * 5000,
]
IDS = [
    "@last", "@last:Any", "@last:", "@last:*", "@-1", "@-2", "@-" + "9" * 20, "@", "@-", "@-٣", "1,2", "1-3", "#1",
]
FILES = [
    "", "-", "--", "@payload.json", "@nosuch", "@.", "payload.json", "lines.jsonl", "nosuch", ".", "jobs.toml",
    "x" * 300, "x" * 70_000, "%", "x?y", "#", "~", "$HOME", ":memory:", "file:x", "postgresql://x", "sqlite:x",
]
NAMES = [
    "Any", "any", "A*", "*", "[", "[!", "[a-", "?", "Anyy", "Greet", "Any,Bad", ",", ",,", "mail", "default", "mail=2",
    "mail=0", "mail=", "=2", "k", "é", "\udcff", "a\nb", "\x1b[31m", "\x1b]0;x\x07", "\u202e", "\r", "\x7f",
]
TIMES = [
    "1s", "1h30m", "500ms", "-5s", "99999999999d", "1e9s", "forever", "none", "now", "today", "yesterday", "02:30",
    "25:99", "2026-11-24", "2026-11-24T02:30:00Z", "2026-11-24T02:30:00+25:00", "0001-01-01",
    "9999-12-31T23:59:59-14:00", "10000-01-01", "2026-02-30", "24:00", "10s..1h", "1h..10s", "..", "1s,,2s", "10MB",
    "-1MB", "9e99GB",
]
CHOICES = [
    "pending", "unfinished", "skip", "error", "replace", "failed", "active", "finished", "Retry-Pending", "id,status",
    "help", "id,,id", "payload,result,why,events,attempt_list,options", "always", "created", "-created", "both", "out",
    "all", "KILL", "99", "job", "tag", "error", "hour", "job.failed", "sql", "bash", "text",
]
QUERIES = [
    "status:", "status:x", "-status:failed", "job:A*", "-job:Any", "payload.a:1", "payload.:1", "payload.a.b[0]:x",
    "since:1h", "since:x", "until:", "error:x", "origin:cli", "flow:1", "tag:x", ":", "::", "'", '"', "a.=1", ".=1",
    "a..b=1", "a.0=1", "$.a=1", "(", "(?P<", "a{99999}", "(a+)+$",
]
MEMBERS = [
    "a=1", "a=", "=1", "a:=1", "a:={", "a:=NaN", "a=@payload.json", "a:=@payload.json", "a=@nosuch", "a:=@.", "=",
    ":=", "a.b=1", "name=x", "times:=5", "times=many", "user:=1", "a==1", "a=\udcff", '{"a":1}', '{"a":', "[]", "null",
    "NaN", "{payload.a}", "PATH", "A=b",
]
GIVEN = [
    b"", b"garbage", b"\xff\xfe\0", b"1 2 3\n", b"@last\n", b"{}", b'{"job":"Any"}\n{"job":"Nope"}\n', b"[\n" * 100, b"9" * 30,
    b"x" * 100_000, b"y\n",
]
# fmt: on

# No path leads out of the folder: these are real commands, and some of them write.
VALUE = st.sampled_from([*NUMBERS, *IDS, *FILES, *NAMES, *TIMES, *CHOICES, *QUERIES, *MEMBERS]) | st.text(
    st.characters(codec="utf-8", exclude_characters="/\0~"), max_size=8
).filter(lambda text: ".." not in text)


def options_of(where: str) -> tuple[list[str], list[str]]:
    """Names of flags and of options with a value."""
    function = quick.function_at(where)
    flags, valued = [], []
    for told in function.__annotations__.values():
        for said in get_args(told)[1:]:
            if isinstance(said, Option):
                (flags if get_args(told)[0] is bool else valued).extend(said.names)
    shared = (*GLOBAL_OPTIONS, *(FILTER_OPTIONS if getattr(function, "filtered", False) else ()))
    for option in shared:
        (flags if option.metavar is None else valued).extend(option.names)
    return flags, valued


def lines(place: str, where: str) -> st.SearchStrategy[list[str]]:
    flags, valued = map(sorted, map(set, options_of(where)))
    shared = [name for option in GLOBAL_OPTIONS if option.metavar is None for name in option.names]
    word = st.one_of(
        VALUE.map(lambda value: [value]),
        st.sampled_from(flags).map(lambda name: [name]),
        st.builds(lambda name, value: [name, value], st.sampled_from(valued), VALUE),
        st.builds(lambda name, value: [f"{name}={value}"], st.sampled_from([*flags, *valued]), VALUE),
        st.sampled_from([["--"], ["--nonsense"], ["-qz"], ["-"], ["--json"], *([name] for name in valued)]),
    )
    return st.builds(
        lambda before, after: [*before, *place.split(), *chain(*after)],
        st.lists(st.sampled_from(shared), max_size=1),
        st.lists(word, max_size=6),
    )


LINES = st.sampled_from(sorted(PLACES)).flatmap(lambda place: lines(place, PLACES[place]))


def is_answered_fairly(desk: Desk, words: list[str], stdin: bytes) -> None:
    desk.put_back()
    before = desk.rows()
    waits = any(word.partition("=")[0] in WAITS or (word[:1] == "-" and "f" in word[:9]) for word in words)
    answer = desk(*words, stdin=stdin, within=0.1 if waits else 10)

    if not (waits and answer.code == INTERRUPTED):
        assert unfair(answer, *words) is None
        assert answer.code in (0, 1, 124) or desk.rows() == before or "; stored lines" in answer.err
    assert waits or answer.took < 8


@fuzz(150)
@given(words=LINES, stdin=st.sampled_from(GIVEN))
@example(words=["events", "--id", "-", "--follow"], stdin=b"")
@example(words=["duplicate", "@-2", "--edit", "-p", "x"], stdin=b"")
@example(words=["def", "add", "auto", "\udcff"], stdin=b"")
@example(words=["db", "backup", "", "--db", "PATH"], stdin=b"")
@example(words=["db", "export", "x" * 300], stdin=b"")
@example(words=["--db=" + "x" * 300, "cancel", "--tag=x"], stdin=b"")
def test_any_command_line_is_answered_fairly(desk, words, stdin):
    is_answered_fairly(desk, words, stdin)


@pytest.mark.slow
@fuzz(400)
@given(words=LINES, stdin=st.sampled_from(GIVEN))
def test_any_command_line_is_answered_fairly_at_length(desk, words, stdin):
    is_answered_fairly(desk, words, stdin)


BOUNDS = {"worker": ["--drain", "--max-time", "1s"], "run": ["--timeout", "2s"], "tail": []}


@st.composite
def processes(draw) -> list[str]:
    """Mostly those that cannot be tried in this process, and now and then any."""
    name = draw(st.sampled_from([*PROCESSES, *PROCESSES, "tail", draw(st.sampled_from(sorted(PLACES)))]))
    words = draw(lines(name, {**PLACES, **PROCESSES, "tail": PLACES["logs"]}[name]))
    place = words.index(name.split()[-1]) + 1
    return [*words[:place], *BOUNDS.get(name, []), *words[place:]]


@pytest.mark.slow
@fuzz(15)
@given(words=processes(), stdin=st.sampled_from(GIVEN))
def test_any_process_ends_fairly_and_leaves_nothing_behind(desk, words, stdin):
    desk.put_back()
    process = subprocess.Popen(
        [KIRIBI, *words], cwd=desk.folder, env=desk.environment, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        _, said = process.communicate(stdin, timeout=2)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    err = said.decode("utf-8", "replace")

    assert A_BUG not in err
    assert "Traceback" not in err or "-v" in "".join(words)
    assert process.returncode in CODES | {INTERRUPTED} or "run" in words
    assert eventually(lambda: not processes_of(desk.folder.parent))
