"""What jobs print is kept: bytes unchanged, in order, under a cap, readable while it grows."""

import itertools
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiribi_cli.actions.logs import Printed, Wanted, by_line
from kiribi_cli.core.outcome import Exited
from kiribi_cli.runner.log import Log
from kiribi_cli.runner.output import Follower, Piece, compress, read

WRITES = st.lists(
    st.tuples(st.sampled_from([b"out", b"err"]), st.binary(min_size=1, max_size=3000), st.booleans()), max_size=60
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "7"


def whole(pieces):
    """Put a log together, with a mark for each missing byte."""
    return b"".join(piece.data or b"?" * piece.missing for piece in pieces)


def test_bytes_are_unchanged(bench, run):
    ended = run((sys.executable, "-c", "import sys; sys.stdout.buffer.write(bytes(range(256)) * 500)"))

    assert bench.log(ended.attempt_id) == bytes(range(256)) * 500
    assert ended.log_bytes == 256 * 500


def test_streams_are_told_apart_and_pieces_have_a_time(bench, run):
    ended = run("echo to out; echo to err >&2")

    pieces = list(read(bench.logs / str(ended.attempt_id)))
    assert {(piece.stream, piece.data) for piece in pieces} == {("out", b"to out\n"), ("err", b"to err\n")}
    assert all(ended.started_at <= piece.at_ms <= ended.started_at + ended.duration_ms + 5_000 for piece in pieces)
    assert list(read(bench.logs / str(ended.attempt_id), since=ended.started_at + 10_000_000)) == []


def test_five_megabytes_without_a_newline_are_kept(bench, run):
    ended = run("head -c 5000000 /dev/zero")

    assert bench.log(ended.attempt_id) == bytes(5_000_000)


def test_a_flood_keeps_head_and_tail_and_says_how_much_is_missing(bench, run):
    run("true")
    before = memory_of(bench.hands.pid)

    ended = run(("seq", "1000000", "6999999"), log_max=1_000_000)

    pieces = list(read(bench.logs / str(ended.attempt_id)))
    data = whole(pieces)
    assert ended.outcome == Exited(0)
    assert data.startswith(b"1000000\n1000001\n")
    assert data.endswith(b"6999999\n")
    assert len(data) == 6_000_000 * 8
    kept = sum(len(piece.data) for piece in pieces)
    assert 900_000 < kept <= 1_000_000
    assert kept == ended.log_bytes
    assert memory_of(bench.hands.pid) < before + 4_000_000


def memory_of(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@settings(max_examples=150, deadline=None)
@given(WRITES, st.integers(min_value=1, max_value=40_000))
def test_a_follower_sees_every_byte_once_and_the_reader_the_same(tmp_path_factory, writes, cap):
    path = tmp_path_factory.mktemp("log") / "1"
    written, followed = Log(str(path), cap), Follower(path)
    live = []
    for stream, data, looks in writes:
        written.write(stream, data)
        if looks:
            live += followed.pieces()
    written.close()
    live += followed.pieces()
    followed.close()

    expected = b"".join(data for _, data, _ in writes)
    for pieces in (live, list(read(path))):
        assert [piece.offset for piece in pieces] == offsets(pieces)
        found = whole(pieces)
        assert len(found) == len(expected) == written.total
        assert all(left in (right, 0x3F) for left, right in zip(found, expected, strict=True))
    assert sum(len(piece.data) for piece in read(path)) == written.kept <= cap + 3


def offsets(pieces):
    place, found = 0, []
    for piece in pieces:
        found.append(place)
        place += len(piece.data) or piece.missing
    return found


def test_a_log_under_its_cap_is_complete(path):
    log = Log(str(path), 100_000)
    for number in range(80):
        log.write(b"out", b"%d" % (number % 10) * 1000)
    log.close()

    assert [piece for piece in read(path) if piece.missing] == []
    assert whole(read(path)) == b"".join(b"%d" % (number % 10) * 1000 for number in range(80))


def test_output_can_be_followed_while_the_job_runs(bench, eventually):
    attempt = bench.start("echo one; while ! test -e go; do sleep 0.01; done; echo two")
    follower = Follower(bench.logs / str(attempt))
    seen = []

    eventually(lambda: (bench.look(), seen.extend(follower.pieces()))[0] or whole(seen) == b"one\n")
    (bench.folder / "go").touch()
    eventually(lambda: bench.ended(attempt))
    seen += follower.pieces()

    assert whole(seen) == b"one\ntwo\n"
    follower.close()


def test_a_log_without_output_reads_as_nothing(path):
    assert list(read(path)) == []


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_log_that_was_cut_off_gives_what_is_complete(path, cut):
    log = Log(str(path), 1000)
    log.write(b"out", b"first\n")
    log.write(b"out", b"second\n")
    log.close()
    path.write_bytes(path.read_bytes()[:-cut])

    assert whole(read(path)) in (b"first\n", b"")


def test_a_log_whose_writer_was_killed_is_read_with_its_tail(path):
    log = Log(str(path), 20_000)
    for number in range(5000):
        log.write(b"out", b"%06d\n" % number)

    data = whole(read(path))
    compress(path)
    packed = whole(read(path))

    assert data.endswith(b"004999\n")
    assert data == packed
    assert [entry.name for entry in path.parent.iterdir()] == ["7.gz"]


def test_a_packed_log_reads_the_same(path):
    log = Log(str(path), 10_000)
    log.write(b"out", b"a\n")
    log.write(b"err", b"\0\xff")
    log.close()
    before = list(read(path))

    packed = compress(path)

    assert packed.name == "7.gz"
    assert not path.exists()
    assert packed.stat().st_mode & 0o777 == 0o600
    assert list(read(path)) == before


def test_a_full_disk_leaves_a_gap_and_the_job_goes_on(bench, run):
    # Hands that may write no file beyond 10 KB: the same errors as from a full disk, in the same places.
    run("true")
    resource.prlimit(bench.hands.pid, resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))

    ended = run("echo begin; sleep 0.1; head -c 100000 /dev/zero; sleep 0.1; echo end >&2; exit 4")

    pieces = list(read(bench.logs / str(ended.attempt_id)))
    assert ended.outcome == Exited(4)
    assert ended.stderr_tail == "end\n"
    assert (pieces[0].data, pieces[-1].data) == (b"begin\n", b"end\n")
    assert len(whole(pieces)) == 100_010
    assert any(piece.missing for piece in pieces)


def test_a_log_that_cannot_be_written_loses_nothing_else(path):
    log = Log(str(path / "no" / "folder"), 1000)
    log.write(b"out", b"x" * 5000)
    log.close()

    assert (log.total, log.kept) == (5000, 0)


def test_what_was_lost_is_recorded_once_there_is_room(tmp_path):
    folder = tmp_path / "logs"
    log = Log(str(folder / "1"), 1000)
    log.write(b"out", b"lost")
    folder.mkdir()
    log.write(b"out", b"kept")
    log.close()

    assert [(piece.stream, piece.data, piece.missing) for piece in read(folder / "1")] == [
        ("gap", b"", 4),
        ("out", b"kept", 0),
    ]


def lines_of(pieces):
    return [one.line for one in by_line((Printed(1, "Job", 1, piece) for piece in pieces), Wanted())]


def test_lines_are_put_together_for_each_stream():
    pieces = [Piece("out", 1, 0, b"a1\na"), Piece("err", 2, 4, b"e1\n"), Piece("out", 3, 7, b"2\n\nlast")]

    found = [(line.stream, line.at_ms, line.offset, line.data, line.ended) for line in lines_of(pieces)]

    assert found == [
        ("out", 1, 0, b"a1", True),
        ("err", 2, 4, b"e1", True),
        ("out", 1, 3, b"a2", True),
        ("out", 3, 9, b"", True),
        ("out", 3, 10, b"last", False),
    ]


@given(st.lists(st.binary(min_size=1, max_size=20)))
def test_lines_lose_nothing(blocks):
    pieces, place = [], 0
    for block in blocks:
        pieces.append(Piece("out", 0, place, block))
        place += len(block)

    assert b"".join(line.data + b"\n" * line.ended for line in lines_of(pieces)) == b"".join(blocks)


@settings(max_examples=150, deadline=None)
@given(
    WRITES,
    st.integers(min_value=1, max_value=40_000),
    st.lists(
        st.tuples(
            st.sampled_from(["flip", "cut", "insert", "drop"]),
            st.floats(min_value=0, max_value=1),
            st.binary(min_size=1, max_size=200),
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(["open", "closed", "packed"]),
)
def test_a_damaged_log_is_read_as_far_as_it_can_be_and_says_that_something_lacks(
    tmp_path_factory, writes, cap, wounds, state
):
    path = tmp_path_factory.mktemp("log") / "1"
    log = Log(str(path), cap)
    for stream, data, _ in writes:
        log.write(stream, data)
    if state != "open":
        log.close()
    if state == "packed" and path.exists():
        compress(path)
    for wound in wounds:
        files = sorted(path.parent.iterdir())
        if files:
            hurt(files[int(wound[1] * 1000) % len(files)], *wound)

    pieces = list(read(path, kept=log.kept))
    follower = Follower(path)
    followed = list(follower.pieces())
    follower.kept = log.kept
    followed += follower.pieces()
    follower.close()
    assert [piece.offset for piece in pieces] == offsets(pieces)
    assert sum(len(piece.data) for piece in pieces) >= log.kept or any(piece.missing for piece in pieces)
    assert sum(len(piece.data) for piece in followed) >= log.kept or any(piece.missing for piece in followed)
    assert len(whole(pieces)) < 2**26
    log.close()


def hurt(path: Path, how: str, where: float, junk: bytes) -> None:
    data = path.read_bytes()
    at = int(where * len(data))
    match how:
        case "flip":
            path.write_bytes(
                data[:at] + bytes(255 - byte for byte in data[at : at + len(junk)]) + data[at + len(junk) :]
            )
        case "cut":
            path.write_bytes(data[:at])
        case "insert":
            path.write_bytes(data[:at] + junk + data[at:])
        case "drop":
            path.unlink()


def test_a_log_whose_writer_was_killed_between_joining_and_tidying_is_read_once(path):
    log = Log(str(path), 20_000)
    for number in range(5000):
        log.write(b"out", b"%06d\n" % number)
    parts = {part: part.read_bytes() for part in path.parent.iterdir() if part != path}
    expected = whole(read(path))
    log.close()
    for part, content in parts.items():
        part.write_bytes(content)
    pieces = list(itertools.islice(read(path), 100_000))

    assert len(parts) > 2
    assert whole(pieces) == expected


def test_a_head_that_ends_in_half_a_header_sends_no_reader_round_in_circles(path):
    log = Log(str(path), 20_000)
    for number in range(5000):
        log.write(b"out", b"%06d\n" % number)
    with path.open("ab") as head:
        head.write(b"out 17")
    code = f"from kiribi_cli.runner.output import read; print(len(list(read({str(path)!r}))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)

    assert int(done.stdout) > 100
