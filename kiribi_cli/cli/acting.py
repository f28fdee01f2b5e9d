"""What commands that act on many jobs share: choosing, asking, telling what was done."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kiribi_cli.errors import Code, KiribiError

if TYPE_CHECKING:
    from kiribi_cli.actions.acting import Action, Chosen
    from kiribi_cli.cli.wiring import Here

# So many refusals are told one by one.
TOLD = 20
NAMES_SHOWN = 8


def choose(
    at: "Here", words: Sequence[str] | None, act: str, *, force: bool = False, limit: int | None = None
) -> "Chosen":
    """Fix the jobs that ids or filters mean; raises USAGE when there is neither."""
    from kiribi_cli.actions.acting import choose_ids, choose_matching

    if limit is not None and limit < 1:
        raise KiribiError(Code.USAGE, f"--limit is {limit}, which leaves nothing to do", hint="--limit 1 or more")
    if at.filtered:
        which = at.filter(ids=at.ids(words) if words else None)
        return choose_matching(at.store, which, act, now=at.now(), force=force, limit=limit)
    if not words:
        hint = f"kiribi {act} 42, or a filter: kiribi {act} --job NAME"
        raise KiribiError(Code.USAGE, f"kiribi {act} needs an id or a filter", hint=hint)
    ids = at.ids(words)
    return choose_ids(at.store, ids if limit is None else ids[:limit], now=at.now())


def question(verb: str, chosen: "Chosen") -> str:
    """Ask with the counts by name: `Retry 214 jobs?   Mailer 211 · Sync 3`."""
    return f"{verb} {jobs(len(chosen.ids))}?   {counts(chosen.names)}"


def tell(at: "Here", action: "Action", chosen: "Chosen", *, would: str, done: str) -> int:
    """Print what was done, or would be, in the form asked for; returns the exit code."""
    if at.out.quiet:
        for job in action.changed:
            at.out.line(str(job))
    elif at.out.as_json:
        at.out.document(action.as_object())
    elif action.dry_run:
        at.out.line(f"Would {would} {jobs(action.matched)}   {at.out.shown(counts(chosen.names))}".rstrip())
    elif action.changed:
        number = len(action.changed)
        at.out.note(f"✓ {jobs(number)} {'is' if number == 1 else 'are'} {done}")
    elif not action.refused:
        at.out.note("no job matches, nothing was changed")
    if not at.out.as_json:
        _tell_refused(at, action)
    return action.exit_status


def _tell_refused(at: "Here", action: "Action") -> None:
    for _, _, sentence in action.refused[:TOLD]:
        at.out.talk(f"Error: {sentence.rstrip('.')}.")
    if len(action.refused) > TOLD:
        at.out.talk(f"Error: {len(action.refused) - TOLD:,} more were refused; --json lists them all.")


def jobs(number: int) -> str:
    """Count jobs in words.

    >>> jobs(1), jobs(1204)
    ('1 job', '1,204 jobs')
    """
    return "1 job" if number == 1 else f"{number:,} jobs"


def counts(names: Counter[str]) -> str:
    """Count by name, the most frequent first.

    >>> counts(Counter(Mailer=211, Sync=1))
    'Mailer 211 · Sync 1'
    """
    told = [f"{name} {number:,}" for name, number in names.most_common(NAMES_SHOWN)]
    rest = len(names) - len(told)
    return " · ".join([*told, f"and {rest} more names"] if rest else told)
