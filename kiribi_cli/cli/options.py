"""Options that several commands have in the same words; each is written here once."""

from typing import Annotated

from kiribi_cli.cli.declared import Argument, Option

JobOrCommand = Annotated[
    list[str] | None,
    Argument(metavar="JOB [KEY=VALUE]... | -- COMMAND [ARG]...", help="A definition and its payload, or a command."),
]
Payload = Annotated[
    str | None, Option("-p", "--payload", metavar="JSON", help="The payload: JSON, @FILE, or - (stdin).")
]
Tags = Annotated[list[str] | None, Option("--tag", metavar="T", help="A further tag.")]
Name = Annotated[str | None, Option("--name", metavar="NAME", help="A name for the command.")]
In = Annotated[str | None, Option("--in", metavar="DURATION", help="Not before so long from now.")]
At = Annotated[str | None, Option("--at", metavar="TIME", help="Not before this time.")]
MaxAttempts = Annotated[int | None, Option("--max-attempts", metavar="N", help="Attempts in all.")]
Timeout = Annotated[str | None, Option("--timeout", metavar="T", help="Longest time of an attempt.")]
Expires = Annotated[str | None, Option("--expires", metavar="T", help="Cancel if not started by then.")]
Backoff = Annotated[str | None, Option("--backoff", metavar="B", help="10s, 10s..1h, or 10s,1m,5m.")]
While = Annotated[str | None, Option("--while", metavar="W", help="Unique until: pending, unfinished or a duration.")]
Cwd = Annotated[str | None, Option("--cwd", metavar="DIR", help="The folder of the command.")]
Mutex = Annotated[str | None, Option("--mutex", hidden=True)]
