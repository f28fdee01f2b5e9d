"""What is let through to a terminal, for any text and any bytes, however they come in pieces."""

import itertools
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiribi_cli.cli.safe import RESET, Cleaner, colours_only, in_json, one_line, plain, safe, with_reset
from tests.terminal import SAFE

# Rich in what terminals obey: random characters alone seldom make a sequence.
PARTS = st.sampled_from(
    [
        "\x1b",
        "[",
        "31",
        ";",
        ":",
        "m",
        "0",
        "\r",
        "\n",
        "\x9b",
        "]",
        "\x07",
        "\x1b[31m",
        "\x1b[0m",
        "\u202e",
        "\x7f",
        "\x00",
        "é",
        "\x1b]0;",
    ]
)
TEXTS = st.lists(st.one_of(PARTS, st.text(max_size=5)), max_size=30).map("".join)
BYTES = st.lists(st.one_of(PARTS.map(str.encode), st.binary(max_size=5), st.just(b"\x9b2J")), max_size=30).map(b"".join)
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def ends_in_colour(text: str) -> bool:
    colours = re.findall("\x1b\\[[0-9;:]*m", text)
    return bool(colours) and colours[-1] not in (RESET, "\x1b[m")


@settings(max_examples=300)
@given(TEXTS)
def test_text_of_strangers_holds_nothing_that_a_terminal_obeys(text):
    made = [safe(text), one_line(text), plain(text)]

    assert [one for one in made if CONTROL.search(one)] == []
    assert "\n" not in made[1]
    assert SAFE.fullmatch(colours_only(text).encode("utf-8", "replace").decode())
    assert not ends_in_colour(colours_only(text))
    assert not ends_in_colour(with_reset(text))


@settings(max_examples=300)
@given(BYTES, st.lists(st.integers(min_value=0, max_value=150), max_size=6), st.booleans())
def test_output_in_any_pieces_comes_out_as_text_and_colours_the_same(data, cuts, colours):
    cleaner = Cleaner(colours=colours)
    places = [0, *sorted(cuts), len(data)]
    pieces = [cleaner.feed(data[start:end]) for start, end in itertools.pairwise(places)]
    made = "".join([*pieces, cleaner.rest()])

    whole = Cleaner(colours=colours)
    assert made == whole.feed(data) + whole.rest()
    assert SAFE.fullmatch(made)
    assert colours or "\x1b" not in made
    assert not ends_in_colour(made)


@given(st.dictionaries(TEXTS, TEXTS, max_size=4))
def test_json_says_the_same_and_holds_nothing_that_a_terminal_obeys(value):
    made = in_json(json.dumps(value, ensure_ascii=False))

    assert json.loads(made) == value
    assert not CONTROL.search(made)


@pytest.mark.parametrize(
    "sequence", ["\x1b[" + "1;" * 40 + "m", "\x1b[?25l", "\x1b[2J", "\x9b31m", "\x1b]8;;x\x07", "\x1b[31 m"]
)
def test_what_only_looks_like_a_colour_is_spelled(sequence):
    cleaner = Cleaner(colours=True)
    made = "".join(cleaner.feed(byte.encode()) for byte in sequence) + cleaner.rest()

    assert "\x1b" not in made
    assert "\x9b" not in made
    assert "\\x" in made
