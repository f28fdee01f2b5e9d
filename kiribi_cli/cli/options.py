"""Options that several commands have in the same words; each is written here once."""

from typing import Annotated

import typer

JobOrCommand = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="JOB [KEY=VALUE]... | -- COMMAND [ARG]...", help="A definition and its payload, or a command."
    ),
]
Payload = Annotated[
    str | None, typer.Option("-p", "--payload", metavar="JSON", help="The payload: JSON, @FILE, or - (stdin).")
]
Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="T", help="A further tag.")]
Name = Annotated[str | None, typer.Option("--name", metavar="NAME", help="A name for the command.")]
In = Annotated[str | None, typer.Option("--in", metavar="DURATION", help="Not before so long from now.")]
At = Annotated[str | None, typer.Option("--at", metavar="TIME", help="Not before this time.")]
MaxAttempts = Annotated[int | None, typer.Option("--max-attempts", metavar="N", help="Attempts in all.")]
Timeout = Annotated[str | None, typer.Option("--timeout", metavar="T", help="Longest time of an attempt.")]
Expires = Annotated[str | None, typer.Option("--expires", metavar="T", help="Cancel if not started by then.")]
Backoff = Annotated[str | None, typer.Option("--backoff", metavar="B", help="10s, 10s..1h, or 10s,1m,5m.")]
While = Annotated[
    str | None, typer.Option("--while", metavar="W", help="Unique until: pending, unfinished or a duration.")
]
Cwd = Annotated[str | None, typer.Option("--cwd", metavar="DIR", help="The folder of the command.")]
Mutex = Annotated[str | None, typer.Option("--mutex", hidden=True)]
