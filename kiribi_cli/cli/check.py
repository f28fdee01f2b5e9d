"""kiribi check."""

from typing import TYPE_CHECKING, Annotated

from kiribi_cli.cli.declared import Argument, Context, Option
from kiribi_cli.cli.wiring import here

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kiribi_cli.cli.wiring import Here
    from kiribi_cli.config.problems import Problem


def check(
    ctx: Context,
    file: Annotated[
        str | None, Argument(metavar="[FILE|-]", help="This file, or stdin; default: the one in use.")
    ] = None,
    *,
    strict: Annotated[bool, Option("--strict", help="Warnings are errors too.")] = False,
) -> int:
    """Find everything that is wrong with jobs.toml.

    One problem a line: file, line, column, what is wrong, and what was probably meant. Exit 4 if there is an error.

    Examples:
        kiribi check
        kiribi check /srv/app/jobs.toml --strict
        git show :jobs.toml | kiribi check -
    """
    from kiribi_cli.config.read import check as find_problems

    at = here(ctx)
    path, text = _source(at, file)
    problems = find_problems(path, strict=strict, text=text)
    errors = sum(problem.severity == "error" for problem in problems)
    shown = "-" if text is not None else str(path)
    if at.out.as_json:
        at.out.document({"file": shown, "ok": not errors, "problems": [problem.as_json() for problem in problems]})
    else:
        for problem in problems:
            at.out.line(at.out.shown(str(problem)) if not at.out.tty else _coloured(at, problem))
        _summary(at, shown, problems, errors)
    return 4 if errors else 0


def _source(at: "Here", file: str | None) -> "tuple[Path, str | None]":
    import sys
    from pathlib import Path

    from kiribi_cli.errors import Code, KiribiError

    if file == "-":
        # Relative paths in it start here.
        if sys.stdin is None:
            raise KiribiError(Code.USAGE, "check -: stdin is closed", hint="kiribi check FILE")
        data = sys.stdin.buffer.read()
        try:
            return Path.cwd() / "jobs.toml", data.decode("utf-8")
        except UnicodeDecodeError:
            raise KiribiError(Code.CONFIG, "what came on stdin is not UTF-8") from None
    path = at.found.path if file is None else Path(file).absolute()
    if path is None:
        raise KiribiError(Code.CONFIG, "there is no jobs.toml here or above", hint="kiribi init writes one")
    if not path.is_file():
        raise KiribiError(Code.CONFIG, f"there is no file {path}", hint="kiribi init writes a jobs.toml")
    return path, None


def _coloured(at: "Here", problem: "Problem") -> str:
    text = at.out.shown(str(problem))
    return at.out.style(text, "red" if problem.severity == "error" else "yellow")


def _summary(at: "Here", shown: str, problems: "Sequence[Problem]", errors: int) -> None:
    if not problems:
        at.out.note(f"✓ {shown} is fine")
        return
    warnings = len(problems) - errors
    counts = ((errors, "error"), (warnings, "warning"))
    at.out.talk(", ".join(f"{number} {noun}{'s' if number > 1 else ''}" for number, noun in counts if number))
