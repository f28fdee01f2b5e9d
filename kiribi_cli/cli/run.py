"""kiribi run."""

from typing import Annotated

from kiribi_cli.cli import options
from kiribi_cli.cli.declared import Context, Option
from kiribi_cli.cli.wiring import here


def run(
    ctx: Context,
    words: options.JobOrCommand = None,
    *,
    payload: options.Payload = None,
    name: options.Name = None,
    tag: options.Tags = None,
    max_attempts: options.MaxAttempts = None,
    timeout: options.Timeout = None,
    kill_after: Annotated[
        str | None, Option("--kill-after", metavar="T", help="From the stop signal to SIGKILL.")
    ] = None,
    backoff: options.Backoff = None,
    success_codes: Annotated[
        str | None, Option("--success-codes", metavar="0,24", help="Exit codes that mean success.")
    ] = None,
    unique: Annotated[
        str | None, Option("--unique", metavar="KEY", help="Only one job with this key at a time.")
    ] = None,
    until: options.While = None,
    if_busy: Annotated[
        str, Option("--if-busy", metavar="wait[:T]|skip|fail", help="The key is taken: wait, exit 0, or exit 75.")
    ] = "wait",
    env: Annotated[
        list[str] | None, Option("--env", metavar="NAME[=VALUE]", help="A further variable; stored.")
    ] = None,
    cwd: options.Cwd = None,
    quiet_on_success: Annotated[
        bool, Option("--quiet-on-success", help="Print the output only if the job failed in the end.")
    ] = False,
    stdin: Annotated[bool, Option("-i", "--stdin", help="Pass stdin through; one attempt only.")] = False,
    no_record: Annotated[bool, Option("--no-record", help="Leave no job behind.")] = False,
    mutex: options.Mutex = None,
    as_cron: Annotated[bool, Option("--as-cron", hidden=True)] = False,
) -> int:
    """Run a job now, here, in the foreground, and exit with its code. Needs no worker; recorded like any job.

    A definition gets the environment that a worker started here would give it. A command after -- gets everything that
    you have, and one attempt. A pipe gets its output byte for byte, a terminal text and colours of it; when nobody
    reads any more (| head), what it prints next ends it, and the code is 141.

    Examples:
      kiribi run Backup
      kiribi run --timeout 30m --quiet-on-success -- /usr/local/sbin/backup /srv
      kiribi run --unique sync --if-busy skip -- rsync -a src/ dst/
    """
    from kiribi_cli.actions.request import Request, later
    from kiribi_cli.cli.run_here import Wishes, run_here

    at = here(ctx)
    for option, given in {"--mutex": mutex, "--as-cron": as_cron}.items():
        if given:
            raise later(option)
    command = at.after or ()
    named = list(words or ())[: len(words or ()) - len(command)]
    request = Request(
        job=named[0] if named else None, command=command, name=name, tags=tuple(tag or ()),
        max_attempts=1 if stdin else max_attempts, timeout=timeout, backoff=backoff, unique=unique, until=until,
        env=tuple(env or ()), cwd=cwd,
    )  # fmt: skip
    wishes = Wishes(
        payload=payload, words=tuple(named[1:]), kill_after=kill_after, success_codes=success_codes, if_busy=if_busy,
        quiet_on_success=quiet_on_success, stdin=stdin, record=not no_record,
    )  # fmt: skip
    return run_here(at, request, wishes)
