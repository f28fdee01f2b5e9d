"""The `options` column: what is frozen in a job at enqueue, to JSON text and back. One form, one order, for everybody.

The text is plain ASCII: an argv or a folder that is not UTF-8 travels through as escaped halves of surrogate pairs, and
comes back byte for byte. Loads nothing at import: `kiribi enqueue` comes through here.
"""

try:
    # The json package loads re; the C function underneath is all that is needed.
    from _json import encode_basestring_ascii
except ImportError:
    from json.encoder import py_encode_basestring_ascii as encode_basestring_ascii

TYPE_CHECKING = False  # typing costs 3 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from kiribi_cli.core.definition import Backoff
    from kiribi_cli.core.job import Options


def quoted(text: str) -> str:
    """Write text as a JSON string in plain ASCII, halves of surrogate pairs included.

    >>> quoted("é")
    '"\\\\u00e9"'
    """
    return encode_basestring_ascii(text)


def options_text(options: "Options") -> str | None:
    """Write options as kept in the database: only what differs from `Options()`; None when nothing does.

    >>> from kiribi_cli.core.job import Options
    >>> options_text(Options(timeout_ms=60_000, cwd="/srv"))
    '{"timeout_ms":60000,"cwd":"/srv"}'
    >>> options_text(Options()) is None
    True
    """
    from kiribi_cli.core.definition import Exponential

    members = []
    if options.timeout_ms is not None:
        members.append(f'"timeout_ms":{options.timeout_ms}')
    if options.backoff != Exponential():
        members.append(f'"backoff":{backoff_text(options.backoff)}')
    if options.kill_after_ms is not None:
        members.append(f'"kill_after_ms":{options.kill_after_ms}')
    if options.success_codes is not None:
        members.append(f'"success_codes":[{",".join(map(str, options.success_codes))}]')
    frozen = "{" + ",".join(members) + "}" if members else None
    frozen = as_unchecked(frozen) if options.unchecked else frozen
    return with_command(frozen, options.command, options.cwd, options.env)


def as_unchecked(frozen: str | None) -> str:
    """Add to an options text that the payload is to be checked when the job runs.

    >>> as_unchecked('{"timeout_ms":60000}')
    '{"timeout_ms":60000,"unchecked":true}'
    """
    return f'{frozen[:-1]},"unchecked":true}}' if frozen else '{"unchecked":true}'


def with_command(
    frozen: str | None, command: "Iterable[str] | None", cwd: str | None, env: "Mapping[str, str] | None" = None
) -> str | None:
    """Add what only ad-hoc jobs have to an options text that has none of it.

    >>> with_command('{"timeout_ms":60000}', ("sleep", "1"), "/srv")
    '{"timeout_ms":60000,"command":["sleep","1"],"cwd":"/srv"}'
    """
    members = [frozen[1:-1]] if frozen else []
    if command is not None:
        members.append(f'"command":[{",".join(map(quoted, command))}]')
    if cwd is not None:
        members.append(f'"cwd":{quoted(cwd)}')
    if env is not None:
        members.append(f'"env":{{{",".join(f"{quoted(name)}:{quoted(value)}" for name, value in env.items())}}}')
    return "{" + ",".join(members) + "}" if members else None


def options_from(text: str | None) -> "Options":
    """Read what `options_text` wrote.

    >>> options_from('{"timeout_ms":60000,"command":["sleep","1"],"cwd":"/srv"}').command
    ('sleep', '1')
    """
    from kiribi_cli.core.definition import Exponential
    from kiribi_cli.core.job import Options

    if text is None:
        return Options()
    from json import loads

    found = loads(text)
    backoff, command, codes = found.get("backoff"), found.get("command"), found.get("success_codes")
    return Options(
        timeout_ms=found.get("timeout_ms"),
        backoff=Exponential() if backoff is None else backoff_from(backoff),
        command=None if command is None else tuple(command),
        cwd=found.get("cwd"),
        env=found.get("env"),
        kill_after_ms=found.get("kill_after_ms"),
        success_codes=None if codes is None else tuple(codes),
        unchecked=found.get("unchecked", False),
    )


def backoff_text(backoff: "Backoff") -> str:
    """Write a backoff as JSON, every value given.

    >>> from kiribi_cli.core.definition import Listed
    >>> backoff_text(Listed((10_000, 60_000)))
    '{"kind":"list","delays_ms":[10000,60000]}'
    """
    from typing import assert_never

    from kiribi_cli.core.definition import Exponential, Fixed, Listed

    match backoff:
        case Fixed(base, jitter):
            return f'{{"kind":"fixed","base_ms":{base},"jitter":{float(jitter)!r}}}'
        case Exponential(base, factor, highest, jitter):
            head = f'"kind":"exponential","base_ms":{base},"factor":{float(factor)!r},"max_ms":{highest}'
            return f'{{{head},"jitter":{float(jitter)!r}}}'
        case Listed(delays):
            return f'{{"kind":"list","delays_ms":[{",".join(map(str, delays))}]}}'
        case _:
            return assert_never(backoff)


def backoff_from(found: "Mapping[str, Any]") -> "Backoff":
    """Read the object that `backoff_text` wrote."""
    from kiribi_cli.core.definition import Exponential, Fixed, Listed

    match found["kind"]:
        case "fixed":
            return Fixed(found["base_ms"], found["jitter"])
        case "list":
            return Listed(tuple(found["delays_ms"]))
        case _:
            return Exponential(found["base_ms"], found["factor"], found["max_ms"], found["jitter"])
