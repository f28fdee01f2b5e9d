"""The files of a configuration: read, parsed, and the includes found. Knows TOML, but no key beside `include`."""

import fnmatch
import os
import re
import tomllib
from pathlib import Path
from typing import Any

from kiribi_cli.config.cache import stamp
from kiribi_cli.config.discover import check_trusted
from kiribi_cli.config.forms import Place
from kiribi_cli.config.model import Source, Stamp
from kiribi_cli.config.problems import Problem
from kiribi_cli.core.records import dataclass, field
from kiribi_cli.errors import Code, KiribiError

_AT = re.compile(r" \(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)$")


@dataclass(slots=True)
class Files:
    """All files of one reading. `inputs` is filled with stamps before anything is read (model.Config)."""

    walked: bool
    problems: list[Problem] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    inputs: dict[str, Stamp | None] = field(default_factory=dict)

    def place(self, source: Source) -> Place:
        return Place(source.path.parent, source.shown, self.problems)


def load(path: Path, text: str | None, *, walked: bool) -> Files:
    """Read the main file (or take `text` for it) and what it includes. `sources` is empty if the main file is no TOML.

    Raises CONFIG if the main file cannot be read, REFUSED for an include nobody should trust.
    """
    files = Files(walked)
    main = _source(files, path, path.name, text)
    if main is None:
        return files
    files.sources.append(main)
    patterns = main.table.get("include", [])
    for index, pattern in enumerate(patterns if isinstance(patterns, list) else []):
        if isinstance(pattern, str):
            _include(files, main, pattern, files.place(main) / "include" / index)
    return files


def read_text(files: Files, path: Path) -> str:
    """Read a file, stamped first. Raises OSError and UnicodeDecodeError."""
    files.inputs.setdefault(str(path), stamp(str(path)))
    return path.read_bytes().decode()


def _source(files: Files, path: Path, shown: str, text: str | None) -> Source | None:
    try:
        content = read_text(files, path) if text is None else text
        # TOML allows both line ends; one form makes lines and columns plain.
        content = content.replace("\r\n", "\n")
        if content.startswith("\ufeff"):
            files.problems.append(_bad_toml(shown, "it begins with a byte order mark", 1, 1))
            return None
        table: dict[str, Any] = tomllib.loads(content)
    except OSError as error:
        raise KiribiError(Code.CONFIG, f"cannot read {path}: {error.strerror}", hint="kiribi init writes one") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        files.problems.append(_bad_toml(shown, "not UTF-8", line, 1))
        return None
    except RecursionError:
        files.problems.append(_bad_toml(shown, "nested too deep", 1, 1))
        return None
    except ValueError as error:
        at = _AT.search(str(error))
        end = (content.count("\n") + 1, len(content) - content.rfind("\n"))
        line, column = (int(at[1]), int(at[2])) if at and at[1] else end if at else (1, 1)
        files.problems.append(_bad_toml(shown, _AT.sub("", str(error)), line, column))
        return None
    return Source(path, content, table, shown)


def _bad_toml(file: str, reason: str, line: int, column: int) -> Problem:
    return Problem("error", "bad_toml", (), f"this is not TOML: {reason}", None, file, line, column)


def _include(files: Files, main: Source, pattern: str, place: Place) -> None:
    if not pattern or "\0" in pattern or "**" in pattern:
        return place.error("bad_choice", f'"{pattern}" is no file name or glob (** is not supported)')
    matches = _expand(files, main.path.parent, pattern)
    if not matches and not _is_glob(pattern):
        return place.error("missing_file", f"there is no {pattern}")
    for path in matches:
        if any(path == source.path for source in files.sources):
            continue
        if files.walked:
            check_trusted(path)
        shown = os.path.relpath(path, main.path.parent)
        try:
            source = _source(files, path, shown, None)
        except KiribiError as error:
            place.error("missing_file", error.message)
            continue
        if source is not None:
            files.sources.append(source)
    return None


def _expand(files: Files, folder: Path, pattern: str) -> list[Path]:
    """List what a glob matches, in order of name, and stamp each folder whose content decides."""
    found = [Path("/") if pattern.startswith("/") else folder]
    for part in Path(pattern).parts:
        if part == "/":
            continue
        if not _is_glob(part):
            found = [place / part for place in found]
            for place in found:
                files.inputs.setdefault(str(place), stamp(str(place)))
            continue
        for place in found:
            files.inputs.setdefault(str(place), stamp(str(place)))
        found = [place / name for place in found for name in _names(place) if _matches(name, part)]
    return [Path(os.path.abspath(path)) for path in found if path.is_file()]  # noqa: PTH100  (links stay)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder))
    except OSError:
        return []


def _matches(name: str, pattern: str) -> bool:
    # As in a shell: a leading dot must be asked for, so editors' hidden files stay out.
    return fnmatch.fnmatchcase(name, pattern) and (not name.startswith(".") or pattern.startswith("."))


def _is_glob(text: str) -> bool:
    return any(character in text for character in "*?[")
