"""How a command fails: the exit code of every exception, and the sentence that a person or a program gets on stderr."""

import errno
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kiribi_cli.errors import Code, KiribiError

if TYPE_CHECKING:
    from typer._click.exceptions import ClickException

# Ended by SIGPIPE, as any other program would have been: the reader has seen enough.
BROKEN_PIPE = 141
INTERRUPTED = 130
# Characters of a line on stderr.
LONGEST = 1_000


def exit_code(error: BaseException, args: Sequence[str]) -> int:
    """Say what went wrong, if that is to be said, and return the exit code."""
    match error:
        case SystemExit():
            return error.code if isinstance(error.code, int) else 1
        case KeyboardInterrupt():
            return INTERRUPTED
        case KiribiError():
            return report(error, args)
        case OSError(errno=errno.EPIPE):
            return _broken_pipe()
        case OSError(errno=errno.ENAMETOOLONG | errno.ELOOP | errno.EACCES, filename=str()):
            # Wherever a name is used first: only the caller can have thought of it.
            return report(_unusable(error), args)
        case OSError(errno=errno.EMFILE | errno.ENFILE):
            # So few that a command cannot even read what belongs to it.
            return report(_starved(error, "open files", "ulimit -n 1024"), args)
        case OSError(errno=errno.EAGAIN | errno.ENOMEM):
            return report(_starved(error, "processes or memory", "kiribi doctor, or ulimit -a"), args)
        case OSError(errno=errno.ENOSPC | errno.EBADF | errno.EIO, filename=None):
            return _unwritable(error, args)
        case _ if "typer" in sys.modules:
            return _of_typer(error, args)
        case _:
            return _unexpected(error, args)


def is_refusal(error: Exception) -> bool:
    """Whether it was kiribi that said no, rather than something that broke."""
    if isinstance(error, KiribiError) or "typer" not in sys.modules:
        return isinstance(error, KiribiError)
    from typer._click.exceptions import ClickException

    return isinstance(error, ClickException)


def _of_typer(error: BaseException, args: Sequence[str]) -> int:
    from typer._click.exceptions import ClickException
    from typer.exceptions import Abort, Exit

    match error:
        case Exit():
            return error.exit_code
        case Abort():
            return INTERRUPTED
        case ClickException():
            return report(_usage(error), args)
        case _:
            return _unexpected(error, args)


def report(error: KiribiError, args: Sequence[str]) -> int:
    """Print the error in the form asked for (cli.md, 5) and return its exit code."""
    text = as_json(error) if _wants_json(args) else as_text(error)
    _say(text, plain=_wants_json(args))
    if _verbosity(args) > 1:
        _traceback(error)
    return error.code.value


def as_text(error: KiribiError) -> str:
    """Write `Error: `, details, and at most one `Hint: `."""
    lines = [f"Error: {error.message}", *(f"  {line}" for line in error.details)]
    return "\n".join(map(_bounded, [*lines, f"Hint: {error.hint}"] if error.hint else lines))


def _bounded(line: str) -> str:
    """Leave out the middle of a line that nobody would read: it repeats an argument, which may be of any length."""
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} … {line[-LONGEST // 2 :]}"


def as_json(error: KiribiError) -> str:
    """Write the error as one JSON object on one line."""
    from json import dumps

    from kiribi_cli.cli.safe import in_json

    told = {"code": error.code.slug, "exit_code": error.code.value, "message": error.message, "hint": error.hint}
    return in_json(dumps({"error": {**told, "details": list(error.details)}}, ensure_ascii=False))


def _usage(error: "ClickException") -> KiribiError:
    from typer._click.exceptions import NoSuchOption

    context = getattr(error, "ctx", None)
    hint = f"{context.command_path if context is not None else 'kiribi'} --help says what can be written"
    if isinstance(error, NoSuchOption):
        near = f". Did you mean {error.possibilities[0]}?" if error.possibilities else ""
        return KiribiError(Code.USAGE, f"there is no option {error.option_name}{near}", hint=hint)
    message = error.format_message().strip().replace("\n", " ").removesuffix(".")
    return KiribiError(Code.USAGE, message[:1].lower() + message[1:], hint=hint)


def _unusable(error: OSError) -> KiribiError:
    sentence = f"{error.filename} cannot be used: {error.strerror}"
    return KiribiError(Code.USAGE, sentence, hint="another file, or other permissions")


def _starved(error: OSError, what: str, hint: str) -> KiribiError:
    return KiribiError(Code.REFUSED, f"this machine gives kiribi no more {what}: {error.strerror}", hint=hint)


def _unwritable(error: OSError, args: Sequence[str]) -> int:
    from kiribi_cli.cli.streams import abandon

    abandon()
    return report(KiribiError(Code.FAILED, f"could not write the answer to stdout: {error.strerror}"), args)


def _broken_pipe() -> int:
    from kiribi_cli.cli.streams import abandon

    abandon()
    return BROKEN_PIPE


def _unexpected(error: BaseException, args: Sequence[str]) -> int:
    _say(f"Error: kiribi met something that it did not expect: {type(error).__name__}: {error}")
    if _verbosity(args) > 1:
        _traceback(error)
    else:
        _say("Hint: this is a mistake in kiribi; run with -vv for the traceback")
    return 1


def _traceback(error: BaseException) -> None:
    import traceback

    _say("".join(traceback.format_exception(error)).rstrip())


def _say(text: str, *, plain: bool = False) -> None:
    from kiribi_cli.cli.safe import safe

    try:
        sys.stderr.write((text if plain else safe(text)) + "\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return  # stderr is closed or full: the exit code is all that is left to say it with


def _own(args: Sequence[str]) -> Sequence[str]:
    return args[: args.index("--")] if "--" in args else args


def _wants_json(args: Sequence[str]) -> bool:
    # Read from the words, because parsing them may be what failed.
    forms = [word[2:] for word in _own(args) if word in {"--json", "--jsonl", "--tsv", "--table"}]
    return (forms[-1] if forms else os.environ.get("KIRIBI_FORMAT", "")) in {"json", "jsonl"}


def _verbosity(args: Sequence[str]) -> int:
    short = sum(word.count("v") for word in _own(args) if word[:1] == "-" and word.strip("v") == "-")
    asked = short + list(_own(args)).count("--verbose")
    configured = os.environ.get("KIRIBI_VERBOSE", "")
    return asked or (int(configured) if configured.isdigit() else 0)
