"""Payloads near every border, through every door: all accept or all refuse, and what is accepted arrives unchanged."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fuzzed import Desk, fuzz, unfair

MIB = 1_048_576
NUMBERS = st.sampled_from(
    ["0", "-0", "1e308", "1e309", "-1E+400", "1e-400", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
     "-9223372036854775809", "9" * 400, "0." + "1" * 5000, "01", "+1", ".5", "1.", "0x1", "1e", "NaN", "Infinity", "-Infinity",
     "nan", "true", "True", "null", "None", "undefined", "1_0", "٣"]
)  # fmt: skip
PIECES = st.sampled_from(
    ["a", "é", "\U0001f600", "\x7f", "\u2028", "\ufeff", "\t", "\n", "\x1f", "'", "/", "\\n", "\\u0000", "\\u0041", "\\ud83d\\ude00",
     "\\ud83d", "\\ude00", "\\ude00\\ud83d", "\\uD83D\\u0041", "\\x41", "\\", "\\u12", "\\/", '\\"', "\ufffe", "\\\\u0000", "\\\\ud800", "{payload.a}"]
)  # fmt: skip
STRINGS = st.lists(PIECES, max_size=5).map(lambda pieces: '"' + "".join(pieces) + '"')
KEYS = st.sampled_from(['"a"', '"\\u0061"', '"b"', '""', '"a b"', '"A"', "a", "1", "'a'"]) | STRINGS
SPACE = st.sampled_from(["", " ", "\n", "\t\r\n ", " " * 3000, "\u00a0", "\f", "\v", "\ufeff", "\u2003", "/* */", "//"])
TREES = st.recursive(
    NUMBERS | STRINGS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: "[" + ",".join(parts) + "]"),
        st.lists(st.tuples(KEYS, inner), max_size=3).map(
            lambda pairs: "{" + ", ".join(f"{k}:{v}" for k, v in pairs) + "}"
        ),
    ),
    max_leaves=6,
)
DEEP = st.builds(lambda depth, left, right: left * depth + "1" + right * depth, st.sampled_from([63, 64, 65, 66, 5000]),
                 st.sampled_from(["[", '{"a":']), st.sampled_from(["]", "}"]))  # fmt: skip
WIDE = st.builds(
    lambda size, one: '"' + one * ((size - 2) // len(one.encode())) + '"',
    st.sampled_from([MIB - 1, MIB, MIB + 1, MIB + 3]),
    st.sampled_from(["x", "é"]),
)
TEXTS = st.one_of(
    st.builds(
        lambda before, tree, after, rest: before + tree + after + rest,
        SPACE,
        TREES,
        SPACE,
        st.sampled_from(["", "", "", ",", "1", "\0", "}", "#"]),
    ),
    DEEP,
    WIDE,
    st.text(max_size=6),
)
BYTES = TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=6)


@pytest.fixture(scope="module")
def there(desk: Desk) -> Desk:
    desk.put_back()
    assert desk("def", "publish").code == 0
    return desk


def by_sql(folder: Path, payload: bytes) -> bool:
    # As text, whatever the bytes are: what the sqlite3 shell would do with its input.
    with closing(sqlite3.connect(folder / ".kiribi" / "kiribi.db")) as connection, connection:
        try:
            connection.execute("INSERT INTO enqueue (job, payload) VALUES ('Any', CAST(? AS TEXT))", [payload])
        except sqlite3.IntegrityError:
            return False
    return True


def doors(desk: Desk, payload: bytes) -> dict[str, bool]:
    """Put the payload in at every door it fits through; tell which let it in."""
    (desk.folder / "given").write_bytes(payload)
    ways = {"stdin": (["-p", "-"], payload), "file": (["-p", "@given"], b"")}
    if b"\0" not in payload and payload[:1] not in (b"-", b"@", b""):
        ways["argument"] = (["-p", os.fsdecode(payload)], b"")
        ways["joined"] = ([f"--payload={os.fsdecode(payload)}"], b"")
    if b"\n" not in payload and payload.strip(b" \t\r\n"):
        ways["line"] = (["--batch", "-"], payload + b"\n")
        ways["object"] = (["--batch", "-"], b'{"job": "Any", "payload": ' + payload + b"}\n")
    entered = {}
    for name, (said, stdin) in ways.items():
        words = ["enqueue", *([] if name == "object" else ["Any"]), *said]
        answer = desk(*words, stdin=stdin)
        assert unfair(answer, *words) is None
        assert answer.code in (0, 6), f"{name}: {answer}"
        entered[name] = answer.code == 0
    return entered


def newest(desk: Desk, count: int) -> list[bytes]:
    with closing(sqlite3.connect(desk.folder / ".kiribi" / "kiribi.db")) as connection:
        rows = connection.execute("SELECT CAST(payload AS BLOB) FROM jobs ORDER BY id DESC LIMIT ?", [count])
        return [payload for (payload,) in rows]


def all_doors_agree(desk: Desk, payload: bytes) -> None:
    entered = doors(desk, payload)
    stored = newest(desk, sum(entered.values()))

    # An object around it makes "1, 2" a mistake of another kind, and an empty one is no payload at all.
    assert len(set(entered.values())) == 1, entered
    assert {kept.strip(b" \t\r\n") for kept in stored} <= {payload.strip(b" \t\r\n")}
    if b"\0" not in payload and payload.strip(b" \t\r\n"):
        assert by_sql(desk.folder, payload) == entered["stdin"], entered


@fuzz(30)
@given(payload=BYTES)
@example(payload=b"[]\f")
@example(payload=b"[" * 64 + b"]" * 64)
@example(payload=b"[" * 65 + b"]" * 65)
@example(payload=b"\xef\xbb\xbf1")
@example(payload=b'{"a":1,"\\u0061":2}')
def test_all_doors_agree_about_any_payload(there, payload):
    all_doors_agree(there, payload)


@pytest.mark.slow
@fuzz(80)
@given(payload=BYTES)
def test_all_doors_agree_about_any_payload_at_length(there, payload):
    all_doors_agree(there, payload)


HOSTILE = [
    "",
    " ",
    "-n",
    "--",
    "a b",
    "'; touch owned; '",
    "$(touch owned)",
    "`touch owned`",
    "{payload.a}",
    "{payload.b}",
    "{{}}",
    "\n",
    "*",
    "~",
    "%s",
]
LETTERS = "aé\u202e\U0001f600\x01\x1b\t\n '\"\\$`{}%*?[]~|&;<>()#!-=\x7f\ufeff"


def test_a_hostile_payload_reaches_the_program_as_one_argument_each(kiribi):
    kiribi.define(
        """
[jobs.Print]
command = ["printf", '%s\\0', "<{payload.a}>", "{payload.b}"]
result = "stdout"
"""
    )
    random = Random(os.urandom(8).hex())
    texts = [*HOSTILE, *("".join(random.choices(LETTERS, k=random.randrange(12))) for _ in range(120))]
    pairs = [(a, random.choice(texts)) for a in texts]
    lines = "".join(json.dumps({"a": a, "b": b}) + "\n" for a, b in pairs)
    ids = [int(id_) for id_ in kiribi.ok("enqueue", "Print", "--batch", "-", stdin=lines).split()]
    kiribi.ok("worker", "--drain", "--silent", "-j", "4")
    logs = [kiribi.folder / ".kiribi" / "logs" / str(job["attempt_list"][0]["id"]) for job in kiribi.json("show", *ids)]
    # Behind the header: short output is one piece.
    printed = [log.read_bytes().partition(b"\n")[2].removesuffix(b"\n") for log in logs]

    assert printed == [f"<{a}>\0{b}\0".encode() for a, b in pairs]
    assert not (kiribi.folder / "owned").exists()
