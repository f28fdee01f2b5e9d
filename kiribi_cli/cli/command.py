"""How a command is made of a function: the options every command shares, help as plain text, and lazy loading.

Built on the Click that Typer carries, for help, errors and every form of a command line that quick.py does not read.
A command is a function with annotations of declared.py; its docstring is its help and ends with a paragraph
`Examples:`. Shared options are not in its signature: they are collected in the context and read through wiring.here.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from types import FunctionType
from typing import Annotated, Any, get_args, get_origin

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command_from_info
from typer.models import CommandInfo

from kiribi_cli.cli import declared
from kiribi_cli.cli.declared import AFTER, FILTER_OPTIONS, FILTERS, GLOBAL_OPTIONS, GLOBALS, Shared, collect
from kiribi_cli.cli.quick import function_at

# Private names, but Typer has no public ones for them; pyproject.toml bounds the version.
from typer._click import Context, HelpFormatter, Parameter  # isort: skip
from typer._click.exceptions import UsageError  # isort: skip
from typer._click.parser import _OptionParser, _ParsingState  # isort: skip
from typer._click.types import INT, STRING  # isort: skip

HELP_NAMES = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


def _collecting(place: str, option: Shared) -> Callable[[Context, Parameter, Any], Any]:
    def collecting(ctx: Context, param: Parameter, value: Any) -> Any:  # noqa: ARG001  (Click's signature)
        collect(ctx.meta, place, option, value)
        return value

    return collecting


def _option(place: str, option: Shared) -> TyperOption:
    flag = option.metavar is None and not option.count
    return TyperOption(
        # A name of its own: a command may have an argument that is called like one of these.
        param_decls=[*option.names, f"{place}_{option.word}".replace(".", "_")],
        is_flag=flag or None, count=option.count, multiple=option.many,
        type=None if flag else INT if option.count else STRING,
        metavar=option.metavar, help=option.text, hidden=not option.text, expose_value=False,
        callback=_collecting(place, option), default=0 if option.count else None,
    )  # fmt: skip


def global_options() -> list[Parameter]:
    """The options of cli.md, section 2; new objects at each call, since Click binds them to a command."""
    return [_option(GLOBALS, option) for option in GLOBAL_OPTIONS]


def filter_options() -> list[Parameter]:
    """The filters of cli.md, section 2, for commands marked with `filtered`."""
    return [_option(FILTERS, option) for option in FILTER_OPTIONS]


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
    made = function_at(where)
    info = CommandInfo(name=name, cls=Command, callback=_for_typer(made), context_settings=dict(HELP_NAMES))
    command = get_command_from_info(info, pretty_exceptions_short=False, rich_markup_mode=None)
    command.params += [*(filter_options() if getattr(made, "filtered", False) else ()), *global_options()]
    if not isinstance(command, Command):
        raise TypeError(where)
    return command


def _for_typer(made: FunctionType) -> FunctionType:
    """Copy a command, with Typer's annotations in place of ours."""
    copy = FunctionType(made.__code__, made.__globals__, made.__name__, made.__defaults__)
    copy.__kwdefaults__, copy.__doc__ = made.__kwdefaults__, made.__doc__
    copy.__annotations__ = {name: _typers(annotation) for name, annotation in made.__annotations__.items()}
    return copy


def _typers(annotation: Any) -> Any:
    if annotation is declared.Context:
        return typer.Context
    if get_origin(annotation) is not Annotated:
        return annotation
    kind, said = get_args(annotation)
    match said:
        case declared.Option():
            return Annotated[kind, typer.Option(*said.names, **said.told)]
        case declared.Argument():
            return Annotated[kind, typer.Argument(**said.told)]
        case _:
            return annotation


def _is_there(where: str) -> bool:
    return find_spec(f"kiribi_cli.cli.{where.partition(':')[0]}") is not None


def _parser(command: TyperCommand | TyperGroup, ctx: Context) -> Parser:
    parser = Parser(ctx)
    for param in command.get_params(ctx):
        param.add_to_parser(parser, ctx)
    return parser


def _version_option(name: str | None) -> list[Parameter]:
    return [] if name else [_option(GLOBALS, Shared(("--version",), None, "Print the version and exit."))]


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
