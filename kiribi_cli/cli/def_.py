"""kiribi def: ls, show, add, publish, schema."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from kiribi_cli.cli.declared import Argument, Context, Option
from kiribi_cli.cli.wiring import Column, here

if TYPE_CHECKING:
    from kiribi_cli.actions.definitions import Page, Standing
    from kiribi_cli.cli.wiring import Here
    from kiribi_cli.core.definition import Definition
    from kiribi_cli.store.base import Store

FIELDS = ("name", "kind", "queue", "schedules", "last", "ok_7d", "description", "hidden")


def ls(
    ctx: Context,
    glob: Annotated[str, Argument(metavar="[GLOB]", help="Only names like this: 'Mail*'.")] = "*",
    *,
    hidden: Annotated[bool, Option("--hidden", help="Also definitions marked hidden.")] = False,
) -> int:
    """List the job definitions, and how they have been doing.

    Examples:
        kiribi def ls
        kiribi def ls 'Mail*'
        kiribi def ls -q
    """
    from kiribi_cli.actions.definitions import definitions

    at = here(ctx)
    now = at.now()
    found = definitions(at.config, _store(at), glob=glob, hidden=hidden, now=now)
    count = at.out.list([_view(standing) for standing in found], _columns(now), name="name", known=FIELDS)
    if not count:
        at.out.note("there is no definition" + ("" if glob == "*" else f" like {glob}"))
    return 0


def _store(at: "Here") -> "Store | None":
    return at.store if at.database.path.exists() else None


def _view(standing: "Standing") -> dict[str, Any]:
    from kiribi_cli.core.instant import rfc3339_or_none

    definition, last = standing.definition, standing.last
    told = last and {"id": last.id, "status": str(last.status), "finished_at": rfc3339_or_none(last.finished_at)}
    return {
        "name": definition.name,
        "kind": definition.kind,
        "queue": definition.queue,
        "schedules": [],
        "last": told,
        "ok_7d": None if standing.ok is None else round(standing.ok, 4),
        "description": definition.description,
        "hidden": definition.hidden,
    }


def _columns(now: int) -> tuple[Column, ...]:
    from kiribi_cli.cli.people import ago

    def last(view: Mapping[str, Any]) -> str:
        if view["last"] is None:
            return "–"
        return f"{view['last']['status']} {ago(view['last']['finished_at'], now)}".removesuffix(" –")

    return (
        Column("name", "NAME"),
        Column("kind", "KIND"),
        Column("queue", "QUEUE"),
        Column("schedules", "SCHEDULES", raw=lambda view: ",".join(view["schedules"]), cell=lambda _: "–"),
        Column("last", "LAST", raw=lambda view: view["last"] and view["last"]["status"], cell=last),
        Column(
            "ok_7d", "OK 7D", cell=lambda view: "–" if view["ok_7d"] is None else f"{view['ok_7d']:.0%}", right=True
        ),
        Column("description", "DESCRIPTION", grow=True),
    )


def show(
    ctx: Context,
    name: Annotated[str, Argument(metavar="NAME", help="A job definition.")],
) -> int:
    """Show a definition: every value in effect and where it comes from.

    Examples:
        kiribi def show Mailer
        kiribi def show Mailer --json | jq .params
    """
    from kiribi_cli.actions.definitions import page
    from kiribi_cli.actions.enqueue import find_definition

    at = here(ctx)
    found = page(at.config, find_definition(at.config, name))
    at.out.thing(_page_view(found), lambda: _page_lines(at, found), name="name")
    return 0


def _page_view(page: "Page") -> dict[str, Any]:
    from kiribi_cli.actions.definitions import param_object

    definition = page.definition
    return {
        "name": definition.name,
        "kind": definition.kind,
        "description": definition.description,
        "defined": page.place,
        "settings": [{"key": each.key, "value": each.value, "origin": each.origin} for each in page.settings],
        "params": None if definition.params is None else [param_object(param) for param in definition.params],
        "payload_schema": definition.payload_schema,
        "example": page.example,
    }


def _page_lines(at: "Here", page: "Page") -> Iterator[str]:
    definition = page.definition
    yield f"{at.out.style(definition.name, 'bold')}  {definition.kind}  {page.place}"
    if definition.description:
        yield at.out.shown(definition.description)
    yield ""
    width = max(len(each.key) for each in page.settings)
    for each in page.settings:
        text = at.out.shown(value_text(each.value))
        origin = "" if each.origin == "default" else at.out.style(f"  {at.out.shown(each.origin)}", "dim")
        yield f"{each.key:{width}}  {text}{origin}"
    yield from _param_lines(at, definition)
    yield ""
    yield at.out.shown(page.example)


def _param_lines(at: "Here", definition: "Definition") -> Iterator[str]:
    from kiribi_cli.core.payload import dump

    if definition.params is None:
        return
    yield ""
    yield at.out.style("Parameters", "bold")
    width = max((len(param.name) for param in definition.params), default=0)
    for param in definition.params:
        need = f"default {dump(param.default)}" if param.has_default else "required" if param.required else "optional"
        yield at.out.shown(f"{param.name:{width}} {param.type}, {need}") + (
            f"  {at.out.shown(param.help)}" if param.help else ""
        )


def value_text(value: Any) -> str:
    """Write a value for people: text as it is, nothing as a dash, all else as JSON."""
    if value is None or value in ("", [], {}):
        return "–"
    if isinstance(value, str):
        return value
    from kiribi_cli.core.payload import dump

    return dump(value)


def add(
    ctx: Context,
    name: Annotated[str, Argument(metavar="NAME", help="The new name.")],
    command: Annotated[list[str] | None, Argument(metavar="-- COMMAND...", help="What it runs, behind --.")] = None,
    *,
    queue: Annotated[str | None, Option("--queue", metavar="Q", help="Its queue.")] = None,
    timeout: Annotated[str | None, Option("--timeout", metavar="T", help="Longest time of an attempt.")] = None,
    max_attempts: Annotated[int | None, Option("--max-attempts", metavar="N", help="Attempts in all.")] = None,
    description: Annotated[str | None, Option("--description", metavar="TEXT", help="One line.")] = None,
    tag: Annotated[list[str] | None, Option("--tag", metavar="T", help="A tag.")] = None,
    cron: Annotated[str | None, Option("--cron", metavar="EXPR", hidden=True)] = None,
) -> int:
    """Append a definition to jobs.toml.

    Only appends, and only if the file is valid with it. Placeholders such as {payload.user} may stand in COMMAND.

    Examples:
        kiribi def add Backup -- restic backup /srv
        kiribi def add Greet --queue mail --timeout 30s -- echo hello '{payload.name}'
    """
    from kiribi_cli.config.write import add_definition
    from kiribi_cli.errors import Code, KiribiError

    at = here(ctx)
    argv = list(at.after if at.after is not None else command or ())
    if cron is not None:
        raise KiribiError(Code.USAGE, "--cron: schedules are not supported by this version of kiribi; they come later")
    if not argv:
        raise KiribiError(Code.USAGE, "there is no command", hint=f"kiribi def add {name} -- COMMAND [ARG]...")
    said = {
        "description": description, "command": argv, "queue": queue, "timeout": timeout, "max_attempts": max_attempts,
        "tags": tag or None,
    }  # fmt: skip
    table = {key: value for key, value in said.items() if value is not None}
    text = add_definition(at.config, name, table)
    if at.out.as_json:
        at.out.document({"name": name, "file": str(at.found.path), "added": text})
    else:
        at.out.note(f"✓ {name} is in {at.found.path}; enqueue it: kiribi enqueue {name}")
    return 0


def publish(
    ctx: Context,
    *,
    withdraw: Annotated[
        str | None, Option("--withdraw", metavar="FILE", help="Take back what this jobs.toml published, instead.")
    ] = None,
) -> int:
    """Tell the database what jobs.toml defines, for programs that enqueue by SQL.

    Workers do it when they start and when jobs.toml changes. See kiribi help sql.

    Examples:
        kiribi def publish
        kiribi def publish --withdraw /srv/old/jobs.toml
        kiribi def publish && sqlite3 .kiribi/kiribi.db 'select job, queue from enqueue'
    """
    from kiribi_cli.actions.definitions import to_publish

    at = here(ctx)
    if withdraw is not None:
        return _withdraw(at, withdraw)
    path, rows = to_publish(at.config)
    changed = at.open_store(create=True).publish(path, rows)
    count = len(at.config.definitions)
    if at.out.as_json:
        at.out.document({"file": path, "definitions": count, "changed": changed})
    else:
        at.out.note(f"✓ the database {'knows' if changed else 'knew already'} the {count} definitions of {path}")
    return 0


def _withdraw(at: "Here", file: str) -> int:
    from kiribi_cli.errors import Code, KiribiError

    # As it was published: links are not followed.
    path = str(Path(file).absolute())
    if path not in at.store.publishers():
        raise KiribiError(
            Code.NOT_FOUND, f"nothing was published by {path}", hint="kiribi doctor names files that are gone"
        )
    at.store.publish(path, [])
    if at.out.as_json:
        at.out.document({"file": path, "definitions": 0, "changed": True})
    else:
        at.out.note(f"✓ the database knows nothing of {path} any more")
    return 0


def schema(
    ctx: Context,
    name: Annotated[str | None, Argument(metavar="[NAME]", help="Of this definition's payload.")] = None,
) -> int:
    """Print the JSON Schema of jobs.toml, or of the payload of one definition.

    Examples:
        kiribi def schema > jobs.schema.json
        kiribi def schema Mailer
    """
    import json

    from kiribi_cli.actions.enqueue import find_definition
    from kiribi_cli.config.write import file_schema, payload_schema

    at = here(ctx)
    found = file_schema() if name is None else payload_schema(find_definition(at.config, name))
    if at.out.as_json:
        at.out.document(found)
    else:
        at.out.line(json.dumps(found, indent=2, ensure_ascii=False))
    return 0
