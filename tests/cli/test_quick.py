"""Common command lines are read without Typer, and exactly as Typer reads them."""

import functools
import inspect
from itertools import chain
from typing import Any, get_args

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kiribi_cli.cli import command, quick
from kiribi_cli.cli.declared import FILTER_OPTIONS, GLOBAL_OPTIONS, Argument, Option
from kiribi_cli.cli.main import ALIASES, COMMANDS

# What scripts, units and people write. Each must be read without Typer, or it is slow.
COMMON = [
    "ls", "ls --json", "--json ls failed since:1h", "ls -q --status failed,cancelled --since 1d --count", "ls -n 10",
    "list --limit 0 --job=Import*", "ls -- -job:Mailer", "-v -v ls", "show 1 --json", "show @last --events",
    "show 1 2 3 --jsonl", "logs", "logs 1", "logs -f -n 20 Import", "log 1 --stream err -t --grep error", "wait 1",
    "wait 1 2 --timeout 10m", "wait --tag a --tag b --any", "why 1", "why @last --json", "stats --json",
    "stats --since 7d --by error", "ps --json", "worker", "worker -Q mail=2 -Q default -j 4 -s",
    "worker --drain --max-time 4m --log-format json -v", "-C /srv -c jobs.toml --db x.db worker", "run Backup",
    "run --timeout 30m --quiet-on-success -- backup -v /srv", "enqueue MyJob user=42 --in 10m",
    "enqueue --tag a --queue audio -- lame -- -x", "enqueue MyJob --batch -", "enqueue MyJob -p - --priority 7",
    "db info", "db backup to.db", "config path", "def ls --json", "def show MyJob", "cancel 1 --wait",
    "retry --status failed -y", "rm 1 2 --yes", "edit 1 --priority 7", "duplicate 1 user=43 --count 2", "sweep -n",
    "events --json", "check", "doctor", "stop --now", "init", "recover",
]  # fmt: skip

# What only Typer can answer: help, mistakes, and ways to write that few people use.
RARE = [
    "", "-h", "ls --help", "--version", "help", "help ls", "completion bash", "nonsense", "ls --nonsense", "ls -qn5",
    "ls -n5", "ls -n x", "ls -n -1", "ls --json=yes", "ls -n", "show", "db", "db nonsense", "why 1 2", "def show",
    "-- ls", "ls --job -x", "worker -j 0", "worker -j 1001", "ls -n ٣", "ls -n 1_0", "ls -n 5 -n 6", "wait --for",
]  # fmt: skip

PLACES = {
    name: where
    for name, table in COMMANDS.items()
    for name, where in ({name: table} if isinstance(table, str) else
                        {f"{name} {below}": where for below, where in table["commands"].items()}).items()
}  # fmt: skip


def options_of(where: str) -> list[str]:
    function = quick.function_at(where)
    said = [metadata for told in function.__annotations__.values() for metadata in get_args(told)[1:]]
    own = [name for each in said if isinstance(each, Option) for name in each.names]
    shared = [name for option in (*GLOBAL_OPTIONS, *FILTER_OPTIONS) for name in option.names]
    return [*own, *shared, "--", "-", "--help", "--nonsense"]


WORD = st.sampled_from(
    ["1", "x", "", "-", "a=1", "-1", "0", "1001", "é", "\udcff", "--json", "٣", "=", "99999999999999999"]
)
VALUE = st.sampled_from([(), ("1",), ("x",), ("",), ("-",), ("-q",), ("7", "8")])


def lines(place: str) -> st.SearchStrategy[list[str]]:
    """Command lines of one command, right and wrong ones."""
    names = options_of(PLACES[place])
    option = st.builds(lambda name, value: [name, *value], st.sampled_from(names), VALUE)
    joined = st.builds(lambda name, value: [f"{name}={value}"], st.sampled_from(names), WORD)
    shared = st.sampled_from([["--json"], ["-q"], ["-v"], ["--db", "x"], ["--tsv"], ["--fields=a"], ["-C", "/"]])
    return st.builds(
        lambda before, after: [*chain(*before), *place.split(), *chain(*after)],
        st.lists(shared, max_size=2),
        st.lists(option | joined | WORD.map(lambda word: [word]), max_size=5),
    )


@pytest.fixture(scope="module")
def typers_reading():
    """Read a command line as Typer does, without running it: function, arguments, and what the context holds."""
    seen: list[tuple[Any, dict[str, Any]]] = []
    real = typer.main.get_callback

    def recording(*, callback: Any, **more: Any) -> Any:
        @functools.wraps(callback)
        def record(**arguments: Any) -> None:
            seen.append((callback, arguments))

        return real(callback=record, **more)

    def reading(words: list[str]) -> tuple[str, dict[str, Any], dict[str, Any]]:
        seen.clear()
        group = command.Group(COMMANDS, aliases=ALIASES)
        with group.make_context("kiribi", list(words)) as ctx:
            group.invoke(ctx)
            ((function, arguments),) = seen
            arguments.pop("ctx")
            return function.__name__, arguments, {key: ctx.meta[key] for key in ctx.meta if key.startswith("kiribi.")}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_callback", recording)
        yield reading


def with_defaults(call: quick.Call) -> dict[str, Any]:
    bound = inspect.signature(call.function).bind(None, **call.arguments)
    bound.apply_defaults()
    return {name: value for name, value in bound.arguments.items() if name != "ctx"}


@pytest.mark.parametrize("line", COMMON)
def test_common_lines_are_read_without_typer(line):
    assert quick.read(line.split(), COMMANDS, ALIASES) is not None


@pytest.mark.parametrize("line", RARE)
def test_rare_lines_are_left_to_typer(line):
    assert quick.read(line.split(), COMMANDS, ALIASES) is None


@pytest.mark.parametrize("line", COMMON)
def test_common_lines_mean_what_typer_says(line, typers_reading):
    call = quick.read(line.split(), COMMANDS, ALIASES)

    assert (call.function.__name__, with_defaults(call), call.meta) == typers_reading(line.split())


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.sampled_from(sorted(PLACES)).flatmap(lines))
def test_both_readings_agree(words, typers_reading):
    call = quick.read(words, COMMANDS, ALIASES)
    if call is None:
        return

    # Typer would have refused what is read here only by raising.
    assert (call.function.__name__, with_defaults(call), call.meta) == typers_reading(words)


@pytest.mark.parametrize("where", PLACES.values(), ids=PLACES)
def test_every_command_is_declared_in_words_that_can_be_read(where):
    function = quick.function_at(where)
    if where.startswith(("help:", "completion:")):
        return  # they are about commands, so they ask Typer

    for name, told in function.__annotations__.items():
        if name not in ("ctx", "return"):
            kind, said = get_args(told)
            assert isinstance(said, Option | Argument)
            assert kind in quick._OF_ANNOTATION
