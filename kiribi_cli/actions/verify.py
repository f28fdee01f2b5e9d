"""Check the rules of a database and of the logs beside it. Looks only, changes nothing; workers may go on meanwhile."""

from pathlib import Path

from kiribi_cli.runner.logs_dir import strays
from kiribi_cli.store.base import Store


def verify(store: Store, logs: Path) -> list[str]:
    """Say what is broken, one sentence each: nothing if all is well."""
    problems = list(store.verify())
    lost = strays(logs, store.unknown_attempts).attempt_ids
    return problems + [f"the log of attempt {attempt} belongs to no job" for attempt in lost]
