"""kiribi help: the topics, as Markdown files beside this package."""

from pathlib import Path
from typing import Annotated

import typer

from kiribi_cli.cli.wiring import here

TOPICS = Path(__file__).parent.parent / "help"


def help_(
    ctx: typer.Context,
    topic: Annotated[str | None, typer.Argument(metavar="[TOPIC]", help="A topic, or a command.")] = None,
) -> int:
    """Explain a topic.

    Without a topic it lists them. The help of a command is also printed by its --help.

    Examples:
        kiribi help
        kiribi help statuses
        kiribi help exit-codes
    """
    from shutil import get_terminal_size

    from kiribi_cli.cli.prose import plain

    at = here(ctx)
    if topic is None:
        for name in topics():
            at.out.line(f"{name:<14}{first_line(name)}")
        at.out.note("kiribi help TOPIC; kiribi COMMAND --help")
        return 0
    if (TOPICS / f"{topic}.md") in TOPICS.glob("*.md"):
        at.out.line(plain((TOPICS / f"{topic}.md").read_text("utf-8"), min(100, get_terminal_size((100, 24)).columns)))
        return 0
    return _of_command(ctx, topic)


def topics() -> list[str]:
    """List the topics by name."""
    return sorted(file.stem for file in TOPICS.glob("*.md"))


def first_line(topic: str) -> str:
    """Give the title of a topic."""
    return (TOPICS / f"{topic}.md").read_text("utf-8").partition("\n")[0].lstrip("# ")


def _of_command(ctx: typer.Context, name: str) -> int:
    from difflib import get_close_matches

    from kiribi_cli.cli.command import Group
    from kiribi_cli.cli.main import ALIASES, COMMANDS
    from kiribi_cli.errors import Code, KiribiError

    group = Group(COMMANDS, aliases=ALIASES)
    command = group.get_command(ctx, name)
    if command is None:
        near = get_close_matches(name, [*topics(), *COMMANDS], 1)
        suggestion = f'. Did you mean "{near[0]}"?' if near else ""
        raise KiribiError(
            Code.NOT_FOUND, f'there is no help on "{name}"{suggestion}', hint="kiribi help lists the topics"
        )
    with command.make_context(name, [], parent=ctx.parent, resilient_parsing=True) as inner:
        here(ctx).out.line(command.get_help(inner))
    return 0
