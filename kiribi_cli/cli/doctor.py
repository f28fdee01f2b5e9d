"""kiribi doctor."""

from typing import TYPE_CHECKING, Annotated

from kiribi_cli.cli.declared import Context, Option
from kiribi_cli.cli.wiring import Column, here

if TYPE_CHECKING:
    from kiribi_cli.actions.finding import Finding, Machine
    from kiribi_cli.cli.wiring import Here

COLUMNS = tuple(Column(name, name.upper()) for name in ("check", "status", "message", "mend"))
SIGNS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "problem": ("✗", "red")}


def doctor(
    ctx: Context,
    *,
    deep: Annotated[bool, Option("--deep", help="Also what kiribi db verify does.")] = False,
) -> int:
    """Say what is wrong or risky on this machine.

    Each finding comes with the command that mends it. Exit 1 if there is a problem.

    Examples:
        kiribi doctor
        kiribi doctor --deep
        kiribi doctor --json | jq -r '.[] | select(.status != "ok") | .mend'
    """
    from kiribi_cli.actions.doctor import examine
    from kiribi_cli.actions.finding import worst

    at = here(ctx)
    findings = list(examine(_machine(at), deep=deep))
    if at.out.form == "table" and not at.out.fields:
        for finding in findings:
            _tell(at, finding)
        at.out.note(_summary(findings))
    else:
        at.out.list([finding.as_object() for finding in findings], COLUMNS, name="check")
    return 1 if worst(findings) == "problem" else 0


def _summary(findings: "list[Finding]") -> str:
    counts = {status: sum(finding.status == status for finding in findings) for status in ("problem", "warning")}
    told = [f"{count} {word}{'' if count == 1 else 's'}" for word, count in counts.items() if count]
    return ", ".join(told) or "✓ nothing is wrong"


def _tell(at: "Here", finding: "Finding") -> None:
    sign, colour = SIGNS[finding.status]
    sign = sign if at.out.unicode else finding.status
    at.out.line(f"{at.out.style(sign, colour)} {finding.check:<12} {at.out.shown(finding.message)}")
    if finding.mend and finding.status != "ok":
        at.out.line(f"  {'':<12} {at.out.style('mend: ' + at.out.shown(finding.mend), 'dim')}")


def _machine(at: "Here") -> "Machine":
    """Open what can be opened: everything that refuses is a finding, not the end."""
    import os

    from kiribi_cli.actions.finding import Machine
    from kiribi_cli.errors import KiribiError

    errors: list[KiribiError] = []
    found = config = database = store = None
    try:
        found = at.found
        config = at.config_or_none
        database = at.database
        store = at.store if database.path.exists() else None
    except KiribiError as error:
        # A broken jobs.toml has a finding of its own.
        errors += [error] if error is not at.config_error else []
    return Machine(found, config, database, store, tuple(errors), os.environ, at.now())
