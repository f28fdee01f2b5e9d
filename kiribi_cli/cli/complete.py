"""What could stand at the cursor. Called at every Tab: reads the database, and loads nothing heavy.

What commands and options there are comes from the script itself (it was written by `kiribi completion`), as lines of
`COMMAND<TAB>ITEM ITEM...`. An ITEM is a subcommand, `--flag`, `--option=KIND`, or `@KIND` for what stands there without
an option. A KIND is `ids`, `names`, `queues`, `tags`, `workers`, `statuses`, words with commas, or nothing (files).
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kiribi_cli.core.job import Job
    from kiribi_cli.store.base import Store

# A Tab is pressed by somebody who waits: the newest ones will do.
NEWEST = 60

Candidate = tuple[str, str]


def main(argv: Sequence[str]) -> int:
    """Print candidates for `kiribi __complete CURSOR WORD...`: value, tab, description. Never fails aloud."""
    try:
        cursor, words = int(argv[0]), list(argv[1:])
        grammar = read_grammar(sys.stdin.read())
        for value, description in candidates(grammar, words[: cursor + 1], lambda kind: _values(kind, words)):
            if value.isprintable() and description.isprintable():  # else it would be obeyed by the terminal
                sys.stdout.write(f"{value}\t{description}\n")
        sys.stdout.flush()
    except Exception:  # noqa: BLE001  (a traceback in the middle of a command line helps nobody)
        return 1
    return 0


def read_grammar(text: str) -> dict[str, list[str]]:
    """Read the lines of the script: command path to its items."""
    return {path: items.split() for path, _, items in (line.partition("\t") for line in text.splitlines() if line)}


def candidates(
    grammar: Mapping[str, list[str]], words: Sequence[str], values: Callable[[str], Iterable[Candidate]]
) -> Iterator[Candidate]:
    """Say what could stand in place of the last of `words` (the first is the program).

    >>> grammar = {"": ["ls", "--db="], "ls": ["--status=statuses", "--count"]}
    >>> list(candidates(grammar, ["kiribi", "l"], lambda kind: ()))
    [('ls', '')]
    >>> list(candidates(grammar, ["kiribi", "ls", "--status", "fa"], lambda kind: [("failed", "")]))
    [('failed', '')]
    """
    before, current = _joined(words)
    if "--" in before:
        return
    path, waiting = _place(grammar, before)
    option, equals, value = current.partition("=")
    if equals and option.startswith("--"):
        waiting, current = _kind_of(grammar, path, option), value
    found = _open(grammar, path, current, values) if waiting is None else _of_kind(waiting, values)
    prefix, comma, rest = current.rpartition(",")
    for word, description in found:
        if comma and waiting is not None and word.startswith(rest):
            yield f"{prefix},{word}", description
        elif word.startswith(current):
            yield word, description


def _joined(words: Sequence[str]) -> tuple[list[str], str]:
    # bash cuts --status=failed into three words.
    joined: list[str] = []
    for word in words[1:]:
        if word == "=" and joined and joined[-1].startswith("--"):
            joined[-1] += "="
        elif joined and joined[-1].startswith("--") and joined[-1].endswith("="):
            joined[-1] += word
        else:
            joined.append(word)
    return joined[:-1], joined[-1] if joined else ""


def _place(grammar: Mapping[str, list[str]], before: Sequence[str]) -> tuple[str, str | None]:
    path, waiting = "", None
    for word in before:
        if waiting is not None:
            waiting = None
        elif word.startswith("-"):
            waiting = None if "=" in word else _kind_of(grammar, path, word)
        elif f"{path} {word}".strip() in grammar:
            path = f"{path} {word}".strip()
    return path, waiting


def _kind_of(grammar: Mapping[str, list[str]], path: str, option: str) -> str | None:
    for item in grammar.get(path, []) + grammar.get("", []):
        name, equals, kind = item.partition("=")
        if equals and name == option:
            return kind
    return None


def _open(
    grammar: Mapping[str, list[str]], path: str, current: str, values: Callable[[str], Iterable[Candidate]]
) -> Iterator[Candidate]:
    for item in grammar.get(path, []):
        if item.startswith("@"):
            yield from _of_kind(item[1:], values) if not current.startswith("-") else ()
        elif item.startswith("-") == current.startswith("-"):
            yield item.partition("=")[0], ""


def _of_kind(kind: str, values: Callable[[str], Iterable[Candidate]]) -> Iterable[Candidate]:
    return [(word, "") for word in kind.split(",")] if "," in kind else values(kind) if kind else ()


def _values(kind: str, words: Sequence[str]) -> Iterable[Candidate]:
    if kind == "statuses":
        from kiribi_cli.core.job import ALIASES, Status

        return [(word, "") for word in (*Status, *ALIASES)]
    path, defined = _place_of(words)
    found = [(name, "") for name in defined] if kind == "names" else []
    if path is None or not path.exists():
        return found
    from kiribi_cli.store.sqlite import SqliteStore

    store = SqliteStore.open(path, create=False, read_only=True)
    try:
        return dict([*_from_store(store, kind), *found]).items()
    finally:
        store.close()


def _from_store(store: "Store", kind: str) -> list[Candidate]:
    from kiribi_cli.clock import now_ms

    match kind:
        case "names":
            return [(name, "ran before") for name in store.names()]
        case "queues":
            return [(name, "") for name in store.queues()]
        case "workers":
            return [(worker.name, worker.host) for worker in store.workers() if worker.alive]
        case "ids":
            return [(str(job.id), f"{job.job} {job.status}") for job in _newest(store, now_ms())]
        case "tags":
            return [(tag, "") for tag in sorted({tag for job in _newest(store, now_ms()) for tag in job.tags})]
        case _:
            return []


def _newest(store: "Store", now: int) -> "Iterable[Job]":
    from kiribi_cli.store.base import Filter

    return list(store.find(Filter(), now=now, limit=NEWEST))


def _place_of(words: Sequence[str]) -> "tuple[Path | None, list[str]]":
    """Find the database, and on the way the names of definitions that have never run."""
    from kiribi_cli.config.discover import find_config, find_database
    from kiribi_cli.config.model import Config

    cwd = Path(_option(words, "-C", "--directory") or ".").absolute()
    named = _option(words, "--db")
    found = find_config(_option(words, "-c", "--config"), os.environ, cwd)
    if found.path is None:
        return find_database(named, os.environ, Config(), cwd).path, []
    db, defined = _enough_of(found.path)
    return find_database(named, os.environ, Config(path=found.path, db=db), cwd).path, defined


def _enough_of(path: Path) -> "tuple[str | None, list[str]]":
    """Read the keys that matter here; tomllib is quick, and the rest of the file may be wrong."""
    import tomllib

    with path.open("rb") as file:
        table = tomllib.load(file)
    db, jobs = table.get("db"), table.get("jobs", {})
    if isinstance(db, str) and "://" not in db:
        db = str(path.parent / db)
    shown = [name for name, job in jobs.items() if not (isinstance(job, dict) and job.get("hidden"))]
    return db if isinstance(db, str) else None, shown


def _option(words: Sequence[str], *names: str) -> str | None:
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in names:
            return following or None
        name, equals, value = word.partition("=")
        if equals and name in names:
            return value or None
    return None
