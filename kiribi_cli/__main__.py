"""The entry: a hot path for `enqueue`, which shell loops and cron call all day; everything else is the Typer app."""

import os
import sys


def main() -> int:
    """Run the command line of this process and return its exit status."""
    argv = sys.argv[1:]
    if argv[:1] == ["__complete"]:
        from kiribi_cli.cli.complete import main as complete

        return complete(argv[1:])
    # Global options may stand before the command.
    if "enqueue" in argv[:7]:
        _enqueue(argv)
    from kiribi_cli.cli.main import main as typer_main

    return typer_main(argv)


def _enqueue(argv: list[str]) -> None:
    """End the process if the hot path has done it all; come back if nothing was written."""
    from kiribi_cli.actions.enqueue_hot import enqueue

    try:
        status = enqueue(argv)
    except KeyboardInterrupt:
        status = 130
    except Exception as error:
        from kiribi_cli.errors import KiribiError

        if not isinstance(error, KiribiError):
            raise
        from kiribi_cli.cli.failure import report

        status = report(error, argv)
    if status is not None:
        # Taking the interpreter down costs as much as the insert.
        os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
