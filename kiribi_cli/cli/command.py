"""How a command is made of a function: the options every command shares, help as plain text, and lazy loading.

Built on the Click that Typer carries. A command is a function with Typer annotations; its docstring is its help and
ends with a paragraph `Examples:`. Shared options are not in its signature: they are collected here and read through
wiring.here(ctx).
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command_from_info
from typer.models import CommandInfo

# Private names, but Typer has no public ones for them; pyproject.toml bounds the version.
from typer._click import Context, HelpFormatter, Parameter  # isort: skip
from typer._click.exceptions import UsageError  # isort: skip
from typer._click.parser import _OptionParser, _ParsingState  # isort: skip
from typer._click.types import INT, STRING  # isort: skip

GLOBALS = "kiribi.globals"
FILTERS = "kiribi.filters"
AFTER = "kiribi.after"

HELP_NAMES = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


def _collect(place: str) -> Callable[[Context, Parameter, Any], Any]:
    def collect(ctx: Context, param: Parameter, value: Any) -> Any:
        # Given before and after the command: the later one holds, except that -v adds up and lists go on.
        if value not in (None, False, (), 0, []):
            name = _word(param.opts[-1])
            kept = ctx.meta.setdefault(place, {})
            adds = isinstance(value, int | list | tuple) and not isinstance(value, bool) and kept.get(name)
            kept[name] = kept[name] + value if adds else value
            if name in FORMS:
                kept["form"] = name
        return value

    return collect


FORMS = ("json", "jsonl", "tsv", "table")

Names = tuple[str, ...]
Made = TypeVar("Made", bound=Callable[..., Any])


def _word(option: str) -> str:
    return option.lstrip("-").replace("-", "_")


def _option(
    place: str, names: Names, meta: str | None, text: str, *, count: bool = False, many: bool = False
) -> TyperOption:
    flag = meta is None and not count
    return TyperOption(
        # A name of its own: a command may have an argument that is called like one of these.
        param_decls=[*names, f"{place}_{_word(names[-1])}".replace(".", "_")],
        is_flag=flag or None, count=count, multiple=many, type=None if flag else INT if count else STRING,
        metavar=meta, help=text, hidden=not text, expose_value=False,
        callback=_collect(place), default=0 if count else None,
    )  # fmt: skip


def _global(names: Names, meta: str | None, text: str, *, count: bool = False) -> TyperOption:
    return _option(GLOBALS, names, meta, text, count=count)


def global_options() -> list[Parameter]:
    """The options of cli.md, section 2; new objects at each call, since Click binds them to a command."""
    return [
        _global(("-c", "--config"), "FILE", "Use this jobs.toml; trusted as it is. [KIRIBI_CONFIG]"),
        _global(("-C", "--directory"), "DIR", "Act as if started in DIR."),
        _global(("--db",), "PATH|URL", "Use this database. [KIRIBI_DB]"),
        _global(("--json",), None, "One JSON document. [KIRIBI_FORMAT]"),
        _global(("--jsonl",), None, "One JSON object a line, as they come."),
        _global(("--tsv",), None, "Tab-separated raw values, no header; the default when stdout is not a terminal."),
        _global(("--table",), None, "A table for people; the default on a terminal."),
        _global(("--fields",), "a,b,c", "These fields in this order, in any form; `--fields help` lists them."),
        _global(("-q", "--quiet"), None, "Ids (or names) only, one a line."),
        _global(("-s", "--silent"), None, "Nothing on stdout, only errors on stderr."),
        _global(("-v", "--verbose"), None, "Say which files are used; twice: more. [KIRIBI_VERBOSE]", count=True),
        _global(("--color",), "auto|always|never", "Colours. [NO_COLOR, FORCE_COLOR]"),
        _global(("--no-pager",), None, "No pager. [KIRIBI_PAGER, PAGER]"),
        _global(("--utc",), None, "Times for people in UTC; JSON and TSV always are."),
        _global(("-y", "--yes"), None, "Answer yes to every question."),
        _global(("--no-input",), None, "Never ask; a needed question is exit 9. [KIRIBI_NO_INPUT]"),
    ]


def filter_options() -> list[Parameter]:
    """The filters of cli.md, section 2, for commands marked with `filtered`."""
    rows: tuple[tuple[str, str, str, bool], ...] = (
        ("--status", "S", "Only with this status, alias or group; comma or repetition = or.", True),
        ("--job", "NAME", "Only of this job definition (glob).", True),
        ("--queue", "Q", "Only in this queue.", True),
        ("--tag", "T", "Only with this tag.", True),
        # Without a text they are hidden: they are refused until there are schedules and flows.
        ("--schedule", "S", "", True),
        ("--flow", "ID", "", True),
        ("--worker", "W", "Only whose latest attempt ran on this worker.", True),
        ("--since", "T", "Not before this time, or this long ago.", False),
        ("--until", "T", "Before this time.", False),
        ("--time", "created|started|finished", "Which time --since and --until mean.", False),
        ("--where", "PATH=VALUE", "Only whose payload has VALUE at PATH.", True),
        ("--grep", "TEXT", "Only with TEXT in name, error or tags.", True),
        ("--query", "TEXT", "The same as words, see `kiribi help queries`.", True),
    )
    return [_option(FILTERS, (name,), meta, text, many=many) for name, meta, text, many in rows]


def filtered(command: Made) -> Made:
    """Mark a command as taking the filter options; it reads them with here.filter()."""
    command.filtered = True  # type: ignore[attr-defined]
    return command


class Parser(_OptionParser):
    """Remembers what stood behind `--`: `enqueue -- MyJob` is a command, `enqueue MyJob` a definition."""

    def _process_args_for_options(self, state: _ParsingState) -> None:
        count = len(state.rargs)
        super()._process_args_for_options(state)
        stopped = count > len(state.rargs) and self.ctx is not None and self._stopped_at_dashes(state)
        if stopped and self.ctx is not None:
            self.ctx.meta[AFTER] = tuple(state.rargs)

    def parse_args(self, args: list[str]) -> tuple[dict[str, Any], list[str], list[Parameter]]:
        self._given = tuple(args)
        return super().parse_args(args)

    def _stopped_at_dashes(self, state: _ParsingState) -> bool:
        place = len(self._given) - len(state.rargs) - 1
        # Without interspersed arguments (the group) parsing also stops at the first word; that one is put back.
        return self.allow_interspersed_args and self._given[place] == "--" and (bool(state.rargs) or place >= 0)


class Command(TyperCommand):
    """One command: its own options, then the shared ones, help as plain text."""

    def make_parser(self, ctx: Context) -> _OptionParser:
        return _parser(self, ctx)

    def format_help(self, ctx: Context, formatter: HelpFormatter) -> None:
        _write_help(self, ctx, formatter)


class Group(TyperGroup):
    """Commands by name, each imported only when it is wanted.

    `table` maps a name to "module:function", or to a further table. A command whose module is missing is not listed.
    """

    def __init__(
        self, table: Mapping[str, Any], *, aliases: Mapping[str, str], name: str | None = None, text: str = ""
    ) -> None:
        super().__init__(
            name=name, help=text, params=[*global_options(), *_version_option(name)], context_settings=dict(HELP_NAMES),
            rich_markup_mode=None, subcommand_metavar="COMMAND ...", options_metavar="[OPTIONS]",
            invoke_without_command=True, callback=lambda **_: None,
        )  # fmt: skip
        self.table = table
        self.aliases = aliases

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002  (Click's signature)
        return [name for name, where in self.table.items() if not isinstance(where, str) or _is_there(where)]

    def get_command(self, ctx: Context, cmd_name: str) -> Any:  # noqa: ARG002  (Click's signature)
        where = self.table.get(self.aliases.get(cmd_name, cmd_name))
        if where is None or (isinstance(where, str) and not _is_there(where)):
            return None
        if isinstance(where, str):
            return load(where, cmd_name)
        return Group(where["commands"], aliases={}, name=cmd_name, text=where["help"])

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Any, list[str]]:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise UsageError(_unknown(args[0], self.list_commands(ctx), ctx.command_path), ctx)
        return super().resolve_command(ctx, args)

    def make_parser(self, ctx: Context) -> _OptionParser:
        return _parser(self, ctx)

    def invoke(self, ctx: Context) -> Any:
        if ctx.meta.get(GLOBALS, {}).get("version"):
            return _say_version()
        if not ctx._protected_args:
            return _short_help(self, ctx)
        return super().invoke(ctx)

    def format_help(self, ctx: Context, formatter: HelpFormatter) -> None:
        _write_help(self, ctx, formatter)


def load(where: str, name: str) -> Command:
    """Import "module:function" and make a command of it."""
    module, _, function = where.partition(":")
    made = getattr(import_module(f"kiribi_cli.cli.{module}"), function)
    info = CommandInfo(name=name, cls=Command, callback=made, context_settings=dict(HELP_NAMES))
    command = get_command_from_info(info, pretty_exceptions_short=False, rich_markup_mode=None)
    command.params += [*(filter_options() if getattr(made, "filtered", False) else ()), *global_options()]
    if not isinstance(command, Command):
        raise TypeError(where)
    return command


def _is_there(where: str) -> bool:
    return find_spec(f"kiribi_cli.cli.{where.partition(':')[0]}") is not None


def _parser(command: TyperCommand | TyperGroup, ctx: Context) -> Parser:
    parser = Parser(ctx)
    for param in command.get_params(ctx):
        param.add_to_parser(parser, ctx)
    return parser


def _version_option(name: str | None) -> list[Parameter]:
    return [] if name else [_global(("--version",), None, "Print the version and exit.")]


def _unknown(word: str, known: Iterable[str], path: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word, list(known), n=1)
    return f'{path} has no command "{word}"' + (f'. Did you mean "{near[0]}"?' if near else "")


def _say_version() -> int:
    from kiribi_cli import __version__
    from kiribi_cli.cli.output import stdout

    stdout().write(f"kiribi {__version__}\n")
    return 0


def _short_help(group: Group, ctx: Context) -> int:
    """`kiribi` alone: what there is to type, on stderr, as a usage error."""
    import sys

    sys.stderr.write(group.get_help(ctx).partition("\nOptions:")[0].rstrip() + "\n")
    return 2


def _write_help(command: TyperCommand | TyperGroup, ctx: Context, formatter: HelpFormatter) -> None:
    text, _, examples = inspect.cleandoc(command.help or "").partition("Examples:\n")
    command.format_usage(ctx, formatter)
    formatter.write_paragraph()
    for place, paragraph in enumerate(text.strip().split("\n\n")):
        if place:
            formatter.write_paragraph()
        formatter.write_text(paragraph)
    if isinstance(command, Group):
        _write_rows(formatter, "Commands", [(n, _summary(command, ctx, n)) for n in command.list_commands(ctx)])
    shared = {option.opts[-1] for option in global_options()}
    records = [(param, param.get_help_record(ctx)) for param in command.get_params(ctx)]
    own = [(param, record) for param, record in records if record and not shared & set(param.opts)]
    _write_rows(formatter, "Arguments", [_arg(p, r) for p, r in own if p.param_type_name == "argument" and r])
    _write_rows(formatter, "Options", [r for p, r in own if p.param_type_name == "option" and r])
    globals_ = [(p, r) for p, r in records if r and shared & set(p.opts)]
    if ctx.parent is None:
        _write_rows(formatter, "Global options", [record for _, record in globals_])
    else:
        names = ", ".join(param.opts[-1] for param, _ in globals_)
        formatter.write_paragraph()
        formatter.write_text(f"Global options, explained by kiribi --help: {names}")
    if examples:
        formatter.write("\nExamples:\n" + "".join(f"  {line.strip()}\n" for line in examples.strip().splitlines()))


def _arg(param: Parameter, record: tuple[str, str]) -> tuple[str, str]:
    # Typer adds [required] and the like; the usage line says that already.
    return record[0], (param.help or "") if isinstance(param, TyperArgument) else record[1]


def _write_rows(formatter: HelpFormatter, title: str, rows: Sequence[tuple[str, str]]) -> None:
    if rows:
        with formatter.section(title):
            formatter.write_dl(rows, col_max=28)


def _summary(group: Group, ctx: Context, name: str) -> str:
    command = group.get_command(ctx, name)
    return inspect.cleandoc(command.help or "").partition("\n")[0].removesuffix(".") if command else ""
