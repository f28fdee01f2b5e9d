"""Files that are not what they were: damaged databases, changed exports, a jobs.toml that somebody has been at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzzed import Desk, fuzz, unfair

PAGE = 4096
# Whatever opens the database.
COMMANDS = [line.split() for line in (
    "ls", "ls --json --fields payload,why,events,attempt_list,options,id", "ls --count", "show 1 --json --events", "show 2",
    "logs 1", "why 6", "stats --json", "stats --by error", "ps --all --json", "events", "events --since 1h", "db info",
    "db verify", "db backup copy.db", "db export copy.jsonl", "db vacuum", "db migrate", "doctor", "doctor --deep",
    "enqueue Any", "enqueue Greet name=x --tag z", "enqueue --unique k -- true", "enqueue Any --batch lines.jsonl",
    "retry 2", "cancel 4", "edit 6 --priority 3", "rm 1 --yes", "sweep --yes --older-than 0s", "recover", "stop --no-wait",
    "duplicate 1", "wait 1", "def ls", "def publish", "config show",
)]  # fmt: skip
# Words of rows and of the schema: a change there leaves the file whole, but not what it says.
WORDS = [
    b"completed",
    b"pending",
    b"scheduled",
    b"retrying",
    b"job.",
    b"default",
    b'{"',
    b'["',
    b"Any",
    b"INDEX",
    b"root@",
]


@st.composite
def damages(draw, data: bytes) -> bytes:
    """A copy of a database, damaged as disks and people do it."""
    damaged, place = bytearray(data), st.integers(0, len(data) - 1)
    match draw(st.sampled_from(["bytes", "head", "cut", "swap", "wipe", "words"])):
        case "cut":
            del damaged[draw(place) :]
        case "swap":
            a, b = (draw(place) // PAGE * PAGE for _ in range(2))
            damaged[a : a + PAGE] = data[b : b + PAGE]
        case "wipe":
            a = draw(place) // PAGE * PAGE
            damaged[a : a + PAGE] = bytes([draw(st.sampled_from([0, 255, 65]))]) * PAGE
        case "words":
            for word in draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=3)):
                if (found := data.find(word, draw(place))) >= 0:
                    damaged[found] = draw(st.sampled_from(b'\x00\xff"\\A['))
        case kind:
            within = st.integers(0, 99) if kind == "head" else place
            for _ in range(draw(st.sampled_from([1, 3, 20, 200]))):
                damaged[draw(within)] = draw(st.integers(0, 255))
    return bytes(damaged)


def is_survived(desk: Desk, database: bytes, words: list[str]) -> None:
    desk.put_back()
    (desk.folder / ".kiribi" / "kiribi.db").write_bytes(database)
    answer = desk(*words)

    assert unfair(answer, *words) is None


@fuzz(120)
@given(data=st.data(), words=st.sampled_from(COMMANDS))
def test_a_damaged_database_is_told_or_survived(desk, data, words):
    is_survived(desk, data.draw(damages(desk.database)), words)


@pytest.mark.slow
@fuzz(700)
@given(data=st.data(), words=st.sampled_from(COMMANDS))
def test_a_damaged_database_is_told_or_survived_at_length(desk, data, words):
    is_survived(desk, data.draw(damages(desk.database)), words)


# What was changed, how, and the command that met it. Each was a traceback once.
CHANGES = [
    (b"CREATE TABLE jobs", b"CREATE\xff TABLE jobs", "ls", 7),
    (b"root@", b"\xffoot@", "events", 7),
    (b"completed", b"complete\x00", "ls", 7),
    (b'{"command"', b'["command"', "show 6 --json", 7),
]


def test_what_no_rule_of_sql_forbids_is_told_as_damage_too(desk):
    seen = {}
    for before, after, line, _ in CHANGES:
        desk.put_back()
        changed = desk.database.replace(before, after[: len(before)])
        (desk.folder / ".kiribi" / "kiribi.db").write_bytes(changed)
        seen[line, before] = desk(*line.split())

    assert {key: answer.code for key, answer in seen.items()} == {
        (line, before): code for before, _, line, code in CHANGES
    }
    assert all("is damaged" in answer.err and "db verify" in answer.err for answer in seen.values())
