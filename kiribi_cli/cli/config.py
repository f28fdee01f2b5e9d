"""kiribi config: path, show."""

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from kiribi_cli.cli.declared import Context, Option
from kiribi_cli.cli.wiring import Column, here

if TYPE_CHECKING:
    from kiribi_cli.cli.wiring import Here

# Variables that change what kiribi does; those of jobs are in `kiribi help environment`.
VARIABLES = {
    "KIRIBI_CONFIG": "config", "KIRIBI_DB": "database", "KIRIBI_FORMAT": "format", "KIRIBI_VERBOSE": "verbose",
    "KIRIBI_NO_INPUT": "no_input", "KIRIBI_PAGER": "pager",
}  # fmt: skip


def path(ctx: Context) -> int:
    """Print which jobs.toml and which database are in use.

    Examples:
        kiribi config path
        kiribi config path --json
        sqlite3 -readonly "$(kiribi config path --fields database)"
    """
    at = here(ctx)
    found, database = at.found, at.database
    view = {
        "config": str(found.path) if found.path else None,
        "config_origin": found.origin,
        "database": masked(str(database.path)),
        "database_origin": database.origin,
        "exists": database.path.exists(),
        "logs": str(database.logs),
    }
    at.out.thing(view, lambda: _path_lines(at, view), name="database")
    return 0


def _path_lines(at: "Here", view: Mapping[str, Any]) -> Iterator[str]:
    missing = "" if view["exists"] else "; not there yet"
    yield f"jobs.toml  {at.out.shown(view['config'] or 'none')}  ({at.out.shown(view['config_origin'])})"
    yield f"database   {at.out.shown(view['database'])}  ({at.out.shown(view['database_origin'])}{missing})"
    yield f"logs       {at.out.shown(view['logs'])}"


def show(
    ctx: Context,
    *,
    origin: Annotated[
        bool, Option("--origin", help="Where each value comes from: flag, variable, file and line.")
    ] = False,
) -> int:
    """Print every setting in effect.

    The settings of one definition are in kiribi def show NAME.

    Examples:
        kiribi config show
        kiribi config show --origin
        kiribi config show --json | jq '.[] | select(.origin != "default")'
    """
    from kiribi_cli.cli.def_ import value_text

    at = here(ctx)
    columns = [
        Column("key", "SETTING"),
        Column("value", "VALUE", cell=lambda view: value_text(view["value"]), grow=True),
    ]
    if origin:
        columns.append(Column("origin", "ORIGIN"))
    at.out.list(list(_rows(at)), columns, name="key", known=("key", "value", "origin"))
    return 0


def _rows(at: "Here") -> Iterator[dict[str, Any]]:
    from kiribi_cli.actions.settings import settings

    yield _row("config", str(at.found.path) if at.found.path else None, at.found.origin)
    yield _row("database", masked(str(at.database.path)), at.database.origin)
    for each in settings(at.config):
        yield _row(each.key, each.value, each.origin)
    for variable, means in VARIABLES.items():
        if variable in os.environ:
            used = variable in (at.found.origin, at.database.origin) or means not in ("config", "database")
            yield _row(
                variable, masked(os.environ[variable]), "environment" if used else "environment, but a flag wins"
            )


def _row(key: str, value: Any, origin: str) -> dict[str, Any]:
    return {"key": key, "value": value, "origin": origin}


def masked(text: str) -> str:
    """Hide the password of a URL.

    >>> masked("postgresql://me:secret@db/jobs"), masked("/srv/a:b@c.db")
    ('postgresql://me:***@db/jobs', '/srv/a:b@c.db')
    """
    import re

    return re.sub(r"^([a-z][a-z0-9+.-]*://[^/:@]*):[^/@]*@", r"\1:***@", text)
