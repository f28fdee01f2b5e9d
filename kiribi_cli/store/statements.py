"""Named statements from sql/*.sql, each file read once when first asked for. On the hot path: no re, no pathlib."""

import os

_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sql")
_files: dict[str, dict[str, str]] = {}
_known: dict[str, str] = {}


def statement(name: str) -> str:
    """Return the statement `FILE.NAME`: what follows `-- name: NAME` in sql/FILE.sql."""
    text = _known.get(name)
    if text is None:
        file, _, short = name.partition(".")
        text = _known[name] = _resolved(file, in_file(file)[short])
    return text


def in_file(file: str) -> dict[str, str]:
    """Return all statements of sql/FILE.sql by name, as written there."""
    if file not in _files:
        with open(os.path.join(_FOLDER, file + ".sql"), encoding="utf-8") as source:
            _files[file] = parsed(source.read())
    return _files[file]


def parsed(text: str) -> dict[str, str]:
    r"""Split the text of a file into statements by name.

    >>> parsed("-- a comment\n-- name: one\nSELECT 1;\n\n-- name: two\nSELECT 2;\n")
    {'one': 'SELECT 1', 'two': 'SELECT 2'}
    """
    found = {}
    for piece in ("\n" + text).split("\n-- name: ")[1:]:
        name, _, body = piece.partition("\n")
        found[name.strip()] = body.strip().rstrip(";")
    return found


def _resolved(file: str, text: str) -> str:
    # A condition that several statements share stands once, under a name of its own, and is named as {{NAME}}.
    while "{{" in text:
        before, _, rest = text.partition("{{")
        name, _, after = rest.partition("}}")
        text = before + in_file(file)[name] + after
    return text
