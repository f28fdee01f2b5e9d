"""Files that are not what they were: damaged databases, changed exports."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzzed import SPLICES, Desk, fuzz, unfair

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


@fuzz(80)
@given(data=st.data(), words=st.sampled_from(COMMANDS))
def test_a_damaged_database_is_told_or_survived(desk, data, words):
    is_survived(desk, data.draw(damages(desk.database)), words)


@pytest.mark.slow
@fuzz(300)
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


@st.composite
def exports(draw, lines: list[bytes]) -> bytes:
    """An export in which a line or a value is not what it was."""
    changed = list(lines)
    for _ in range(draw(st.integers(1, 3))):
        a, b = (draw(st.integers(0, len(changed) - 1)) for _ in range(2))
        record = json.loads(lines[draw(st.integers(0, len(lines) - 1))])
        match draw(st.sampled_from(["delete", "double", "swap", "bytes", "value", "key"])):
            case "delete":
                changed[a] = b""
            case "double":
                changed.insert(b, changed[a])
            case "swap":
                changed[a], changed[b] = changed[b], changed[a]
            case "bytes":
                place = draw(st.integers(0, len(changed[a])))
                changed[a] = changed[a][:place] + draw(SPLICES).replace(b"\n", b"") + changed[a][place:]
            case "key":
                record.pop(draw(st.sampled_from(sorted(record))))
                changed[a] = json.dumps(record).encode()
            case _:
                record[draw(st.sampled_from(sorted(record)))] = draw(ODD_VALUES)
                changed[a] = json.dumps(record).encode()
    return b"\n".join(changed) + b"\n"


ODD_VALUES = st.sampled_from(
    [
        None,
        0,
        -1,
        2**63,
        -(2**70),
        1.5,
        float("nan"),
        "",
        "x",
        "\ud800",
        "\0",
        [],
        {},
        {"a": 1},
        True,
        "zz",
        "jobs",
        "é" * 1000,
    ]
)


def is_imported(desk: Desk, content: bytes) -> None:
    desk.put_back()
    (desk.folder / "changed.jsonl").write_bytes(content)
    answer = desk("--db", "new.db", "db", "import", "changed.jsonl")
    rows = desk("--db", "new.db", "ls", "--count")

    assert unfair(answer) is None
    assert answer.code in (0, 7, 9)
    # All or nothing.
    assert answer.code == 0 or rows.out.strip() == "0"


@pytest.fixture(scope="module")
def export(desk: Desk) -> list[bytes]:
    desk.put_back()
    return desk("db", "export", "--logs").out.encode().splitlines()


@fuzz(60)
@given(data=st.data())
def test_a_changed_export_is_imported_whole_or_not_at_all(desk, export, data):
    is_imported(desk, data.draw(exports(export)))


@pytest.mark.slow
@fuzz(150)
@given(data=st.data())
def test_a_changed_export_is_imported_whole_or_not_at_all_at_length(desk, export, data):
    is_imported(desk, data.draw(exports(export)))


@pytest.mark.parametrize(
    ("line", "key", "value"), [(1, "job", "\ud800"), (1, "id", 2**63), (0, "counters", {"jobs": 2**70})]
)
def test_a_value_that_no_database_holds_is_no_bug(desk, export, line, key, value):
    record = json.loads(export[line]) | {key: value}

    is_imported(desk, b"\n".join([*export[:line], json.dumps(record).encode(), *export[line + 1 :]]))
