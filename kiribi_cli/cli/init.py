"""kiribi init."""

from typing import Annotated

from kiribi_cli.cli.declared import Context, Option
from kiribi_cli.cli.wiring import here


def init(
    ctx: Context,
    *,
    minimal: Annotated[bool, Option("--minimal", help="Without the comments.")] = False,
) -> int:
    """Write a jobs.toml to start from, and make the database.

    In the current folder: jobs.toml with the time zone of this machine, and .kiribi/ with the database and a
    .gitignore of its own. A jobs.toml that is there is left alone (exit 5).

    Examples:
        kiribi init && kiribi check
        kiribi init --minimal
        kiribi -C /srv/app init
    """
    import os
    from pathlib import Path

    from kiribi_cli.config.discover import Found
    from kiribi_cli.config.write import init as write
    from kiribi_cli.config.write import machine_zone

    at = here(ctx)
    path = write(Path.cwd(), minimal=minimal, zone=machine_zone(os.environ))
    # The new file is what counts from here on, whatever --config or a folder above would say.
    at.found = Found(path, "just written")
    at.open_store(create=True)
    if at.out.as_json:
        at.out.document({"config": str(path), "database": str(at.database.path)})
    else:
        at.out.line(at.out.shown(str(path)))
        at.out.note("next: kiribi enqueue Hello; kiribi worker --drain; kiribi logs")
    return 0
