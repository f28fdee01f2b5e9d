"""The entry: a hot path for `enqueue`, which shell loops and cron call all day; the rest are the commands of cli/."""

import os
import sys


def main() -> int:
    """Run the command line of this process and return its exit status."""
    argv = sys.argv[1:]
    try:
        # Global options may stand before the command.
        if "enqueue" in argv[:7]:
            _enqueue(argv)
        if argv[:1] == ["__complete"]:
            # Called at every Tab: without the Typer app.
            from kiribi_cli.cli.complete import main as complete

            return complete(argv[1:])
        from kiribi_cli.cli.main import main as command

        return _leave(command(argv))
    except KeyboardInterrupt:
        # Also while modules are loaded: nobody wants a traceback for a Ctrl-C.
        return 130


def _enqueue(argv: list[str]) -> None:
    """End the process if the hot path has done it all; come back if nothing was written."""
    from kiribi_cli.actions.enqueue_hot import enqueue

    try:
        status = enqueue(argv)
    except Exception as error:
        from kiribi_cli.errors import KiribiError

        if not isinstance(error, KiribiError):
            raise
        from kiribi_cli.cli.failure import report

        status = report(error, argv)
    if status is not None:
        # Taking the interpreter down costs as much as the insert.
        os._exit(status)


def _leave(status: int) -> int:
    """End the process: files are closed, and taking the interpreter down costs as much as a quarter of `kiribi ls`."""
    if sys.gettrace() or sys.getprofile():
        return status  # whoever measures has something to say at the end
    from contextlib import suppress

    for stream in (sys.stdout, sys.stderr):
        # Only talk can be left: the answer is written, or it is known that it cannot be.
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
