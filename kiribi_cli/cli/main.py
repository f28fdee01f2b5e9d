"""The tree of commands, and what becomes of every way in which a command can end: an exit code, never a traceback."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

TEXT = """Run jobs from jobs.toml: queue, retries and history in one file.

Examples:
  kiribi init && kiribi check
  id=$(kiribi enqueue MyJob user=42) && kiribi logs -f "$id"
  kiribi enqueue -- sleep 10
  kiribi worker --drain
"""

COMMANDS = {
    "enqueue": "enqueue:enqueue",
    "run": "run:run",
    "ls": "ls:ls",
    "show": "show:show",
    "logs": "logs:logs",
    "wait": "wait:wait",
    "why": "why:why",
    "retry": "retry:retry",
    "duplicate": "duplicate:duplicate",
    "cancel": "cancel:cancel",
    "edit": "edit:edit",
    "rm": "rm:rm",
    "worker": "worker:worker",
    "ps": "ps:ps",
    "stop": "stop:stop",
    "stats": "stats:stats",
    "events": "events:events",
    "init": "init:init",
    "check": "check:check",
    "def": {
        "help": "Look at the job definitions, or add one.",
        "commands": {
            "ls": "def_:ls",
            "show": "def_:show",
            "add": "def_:add",
            "publish": "def_:publish",
            "schema": "def_:schema",
        },
    },
    "sweep": "sweep:sweep",
    "recover": "recover:recover",
    "doctor": "doctor:doctor",
    "db": {
        "help": "Look after the database.",
        "commands": {
            "info": "db:info",
            "migrate": "db:migrate",
            "backup": "db:backup",
            "verify": "db:verify",
            "vacuum": "db:vacuum",
            "export": "db:export",
            "import": "db:import_",
        },
    },
    "config": {
        "help": "Say which files and settings are in effect.",
        "commands": {"path": "config:path", "show": "config:show"},
    },
    "help": "help:help_",
    "completion": "completion:completion",
}

ALIASES = {"list": "ls", "log": "logs", "tail": "logs", "delete": "rm", "dup": "duplicate"}


# `run` exits as its job does; this one says that kiribi itself refused or failed.
RUN_REFUSED = 125


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (without the program's name) and return its exit code."""
    from kiribi_cli.cli import streams

    args = list(sys.argv[1:] if argv is None else argv)
    streams.guard()
    _keep_what_we_make()
    try:
        code = _run(_without_tail(list(args)))
        streams.flush()
    except BaseException as error:  # noqa: BLE001  (the last catch there is: each end gets its code)
        from kiribi_cli.cli.failure import exit_code

        code = exit_code(error, args)
    return code


def _keep_what_we_make() -> None:
    """A umask that takes a file away from its own owner is no safer; with it, we could not open again what we made."""
    before = os.umask(0o077)
    os.umask(before & 0o077)


def _run(args: list[str]) -> int:
    from kiribi_cli.cli import quick

    call = quick.read(args, COMMANDS, ALIASES)
    if call is None:
        return _run_in_full(args)
    return _ended(call, lambda: call.name, call.meta, args)


def _run_in_full(args: list[str]) -> int:
    """Run it through Typer: help, errors, and rare ways to write."""
    from kiribi_cli.cli.command import Group

    given = tuple(args)  # parsing eats the list
    group = Group(COMMANDS, aliases=ALIASES, text=TEXT)
    with group.make_context("kiribi", args) as ctx:
        return _ended(lambda: group.invoke(ctx), lambda: ctx.invoked_subcommand, ctx.meta, given)


def _ended(
    command: Callable[[], Any], name: Callable[[], str | None], meta: Mapping[str, Any], args: Sequence[str]
) -> int:
    try:
        code = command()
    except Exception as error:  # noqa: BLE001  (what is not a refusal of `run` is raised again)
        from kiribi_cli.cli.wiring import explained

        code = _refused_run(explained(error, meta), name(), args)
    finally:
        from kiribi_cli.cli.wiring import at_the_end

        at_the_end(meta)
    return code if isinstance(code, int) else 0


def _refused_run(error: Exception, command: str | None, args: Sequence[str]) -> int:
    from kiribi_cli.cli.failure import exit_code, is_refusal

    if command != "run" or not is_refusal(error):
        raise error
    exit_code(error, args)
    return RUN_REFUSED


def _without_tail(args: list[str]) -> list[str]:
    # The one alias that is more than a name: tail = logs -f -n 20. It may stand behind global options.
    for place, word in enumerate(args):
        if not word.startswith("-"):
            after_value = place > 0 and args[place - 1] in {
                "-c",
                "--config",
                "-C",
                "--directory",
                "--db",
                "--fields",
                "--color",
            }
            if after_value:
                continue
            return [*args[:place], "logs", "-f", "-n", "20", *args[place + 1 :]] if word == "tail" else args
    return args
