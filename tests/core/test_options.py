"""The options column says exactly what was frozen in a job, and nothing else."""

import json

from hypothesis import given
from hypothesis import strategies as st

from kiribi_cli.core.definition import Backoff, Exponential, Fixed, Listed
from kiribi_cli.core.job import Options
from kiribi_cli.core.options import options_from, options_text, with_command

MS = st.integers(0, 2**53)
SHARE = st.floats(0, 1)
# As os.fsdecode gives them: anything, with bytes that are not UTF-8 as halves of surrogate pairs.
ARGUMENT = st.binary(max_size=20).map(lambda raw: raw.replace(b"\0", b"").decode("utf-8", "surrogateescape"))
BACKOFF: st.SearchStrategy[Backoff] = st.one_of(
    st.builds(Fixed, MS, SHARE),
    st.builds(Exponential, MS, st.floats(1, 100), MS, SHARE),
    st.builds(Listed, st.lists(MS, min_size=1, max_size=5).map(tuple)),
)
OPTIONS = st.builds(
    Options,
    timeout_ms=st.none() | MS,
    backoff=BACKOFF | st.just(Exponential()),
    command=st.none() | st.lists(ARGUMENT, min_size=1, max_size=4).map(tuple),
    cwd=st.none() | ARGUMENT,
    env=st.none() | st.dictionaries(ARGUMENT, ARGUMENT, max_size=3),
    kill_after_ms=st.none() | MS,
    success_codes=st.none() | st.lists(st.integers(0, 255), max_size=3).map(tuple),
)


@given(OPTIONS)
def test_what_is_frozen_comes_back_as_it_was(options: Options) -> None:
    text = options_text(options)

    assert options_from(text) == options


@given(OPTIONS)
def test_the_text_is_compact_ascii_json(options: Options) -> None:
    text = options_text(options) or "{}"

    assert text.isascii()
    assert json.dumps(json.loads(text), separators=(",", ":")) == text


def test_nothing_is_kept_when_nothing_differs_from_the_defaults() -> None:
    assert options_text(Options()) is None
    assert options_from(None) == Options()


@given(OPTIONS)
def test_a_command_added_to_frozen_options_gives_the_same_text(options: Options) -> None:
    frozen = options_text(Options(options.timeout_ms, options.backoff))
    whole = Options(options.timeout_ms, options.backoff, options.command, options.cwd, options.env)

    assert with_command(frozen, options.command, options.cwd, options.env) == options_text(whole)
