"""`kiribi enqueue`."""

from typing import Annotated

from kiribi_cli.cli import options
from kiribi_cli.cli.declared import Context, Option
from kiribi_cli.cli.wiring import DryRun, here


def enqueue(
    ctx: Context,
    words: options.JobOrCommand = None,
    *,
    payload: options.Payload = None,
    queue: Annotated[str | None, Option("--queue", metavar="Q", help="The queue.")] = None,
    priority: Annotated[int | None, Option("--priority", metavar="N", help="Higher first, -1000 to 1000.")] = None,
    tag: options.Tags = None,
    name: options.Name = None,
    delay: options.In = None,
    when: options.At = None,
    max_attempts: options.MaxAttempts = None,
    timeout: options.Timeout = None,
    expires: options.Expires = None,
    backoff: options.Backoff = None,
    unique: Annotated[
        str | None, Option("--unique", metavar="KEY", help="Only if no job with this key is there.")
    ] = None,
    until: options.While = None,
    on_conflict: Annotated[
        str | None,
        Option("--on-conflict", metavar="C", help="skip (print the id that is there) or error (exit 5)."),
    ] = None,
    env: Annotated[
        list[str] | None, Option("--env", metavar="NAME[=VALUE]", help="A variable for the command; stored.")
    ] = None,
    cwd: options.Cwd = None,
    wait: Annotated[bool, Option("--wait", help="Wait until it has ended; exit 1 unless it completed.")] = False,
    follow: Annotated[bool, Option("-f", "--follow", help="Wait and print its log; the id goes to stderr.")] = False,
    exit_code: Annotated[bool, Option("--exit-code", help="Wait and exit as the job does.")] = False,
    result: Annotated[bool, Option("--result", help="Wait and print its result instead of the id.")] = False,
    wait_timeout: Annotated[
        str | None, Option("--wait-timeout", metavar="T", help="Wait so long at most; then exit 124.")
    ] = None,
    require_worker: Annotated[
        bool, Option("--require-worker", help="Exit 8, nothing enqueued, if no worker serves the queue.")
    ] = False,
    batch: Annotated[
        str | None, Option("--batch", metavar="FILE|-", help="One job per line of JSON, from a file or stdin.")
    ] = None,
    batch_size: Annotated[int, Option("--batch-size", metavar="N", min=1, help="Lines per transaction.")] = 1000,
    on_error: Annotated[
        str, Option("--on-error", metavar="stop|skip", help="A bad line: stop there, or leave it out.")
    ] = "stop",
    from_line: Annotated[int, Option("--from-line", metavar="N", min=1, help="Begin with this line.")] = 1,
    mutex: options.Mutex = None,
    after: Annotated[list[str] | None, Option("--after", hidden=True)] = None,
    after_failure: Annotated[list[str] | None, Option("--after-failure", hidden=True)] = None,
    after_finish: Annotated[list[str] | None, Option("--after-finish", hidden=True)] = None,
    dry_run: DryRun = False,
) -> int:
    """Add a job to a queue and print its id, once it is safe on disk.

    KEY=VALUE sets a member of the payload, KEY:=JSON one that is not text, KEY=@FILE and KEY:=@FILE one from a file.
    After -- stands a command: it runs as it is, in this folder, once.

    With --batch each line is a payload of JOB, or without JOB an object with "job" or "command" and what else the
    options say.

    Examples:
      kiribi enqueue MyJob user=42 urgent:=true
      kiribi enqueue MyJob --payload '{"user": 42}' --in 10m
      kiribi enqueue --queue audio -- lame -- song.wav
      kiribi enqueue Mailer --batch users.jsonl
    """
    from kiribi_cli.actions.request import Request, later, usage

    at = here(ctx)
    for option, given in {
        "--mutex": mutex, "--after": after, "--after-failure": after_failure, "--after-finish": after_finish,
    }.items():  # fmt: skip
        if given:
            raise later(option)
    command = at.after or ()
    named = list(words or ())[: len(words or ()) - len(command)]
    request = Request(
        job=named[0] if named else None, command=command, name=name, queue=queue, priority=priority,
        tags=tuple(tag or ()), delay=delay, at=when, max_attempts=max_attempts, timeout=timeout, expires=expires,
        backoff=backoff, unique=unique, until=until, on_conflict=on_conflict, env=tuple(env or ()), cwd=cwd,
    )  # fmt: skip
    waits = wait or follow or exit_code or result or wait_timeout is not None
    if batch is not None:
        from kiribi_cli.cli.enqueue_lines import Lines, enqueue_lines

        if waits or payload is not None or len(named) > 1 or command:
            raise usage("--batch takes everything from its lines", "kiribi enqueue [JOB] --batch FILE")
        return enqueue_lines(at, request, Lines(batch, batch_size, on_error, from_line, dry_run, require_worker))
    if (batch_size, on_error, from_line) != (1000, "stop", 1):
        # Silence would let somebody believe that a file was being read.
        raise usage("--batch-size, --on-error and --from-line are for --batch", "kiribi enqueue [JOB] --batch FILE")
    from kiribi_cli.cli import enqueue_one as one

    row = one.prepared_row(at, request, payload, named[1:])
    if dry_run:
        one.print_preview(at, row)
        return 0
    if waits:
        from kiribi_cli.cli.enqueue_wait import Patience, enqueue_and_wait

        patience = Patience(follow=follow, exit_code=exit_code, result=result, timeout=wait_timeout)
        return enqueue_and_wait(at, row, patience, require_worker=require_worker)
    inserted = one.store_row(at, row, require_worker=require_worker)
    one.note(at, inserted)
    one.print_id(at, inserted)
    return 0
