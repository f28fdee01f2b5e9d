"""Markdown of the help topics as plain text: readable in any terminal and in a mail, without a library."""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby

_CODE = re.compile(r"`([^`]*)`")


def plain(markdown: str, width: int = 100) -> str:
    """Write headings in capitals, tables in columns, code blocks indented, paragraphs folded at `width`.

    >>> print(plain("# Title\\n\\n| a | b |\\n|---|---|\\n| `x` | one |\\n| yy | two |\\n"))
    TITLE
    <BLANKLINE>
      a   b
      x   one
      yy  two
    """
    blocks: list[str] = []
    for kind, lines in groupby(_marked(markdown.splitlines()), key=lambda pair: pair[0]):
        texts = [line for _, line in lines]
        if kind == "code":
            blocks += [f"    {line}".rstrip() for line in texts]
        elif kind == "table":
            blocks += _columns(texts, width)
        else:
            blocks += _prose(texts, width)
    return "\n".join(blocks).strip("\n")


def _marked(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    inside = False
    for line in lines:
        if line.startswith("```"):
            inside = not inside
            continue
        yield "code" if inside else "table" if line.startswith("|") else "text", line


def _prose(lines: Iterable[str], width: int) -> Iterator[str]:
    from textwrap import wrap

    for text in _paragraphs(lines):
        plain_text = text.lstrip("# ").upper() if text.startswith("#") else _CODE.sub(r"\1", text)
        hang = "  " if text.startswith("- ") else ""
        yield from wrap(plain_text, width, subsequent_indent=hang, break_long_words=False, break_on_hyphens=False) or [
            ""
        ]


def _paragraphs(lines: Iterable[str]) -> list[str]:
    # A heading, an empty line and each item of a list begin anew; other lines go on with what stands above them.
    found: list[str] = []
    for line in lines:
        begins = not line or line.startswith(("#", "- "))
        if begins or not found or not found[-1] or found[-1].startswith("#"):
            found.append(line)
        else:
            found[-1] += f" {line.strip()}"
    return found


def _columns(lines: list[str], width: int) -> list[str]:
    rows = [_cells(line) for line in lines if not re.fullmatch(r"[|\-: ]+", line)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [line for row in rows for line in _row(row, widths, width)]


def _cells(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
    return [_CODE.sub(r"\1", cell.strip()).replace("\\|", "|") for cell in cells]


def _row(row: list[str], widths: list[int], width: int) -> list[str]:
    from textwrap import wrap

    # Only the widest column is folded; the narrow ones are keys.
    folded = max(range(len(widths)), key=lambda column: widths[column])
    others = sum(wide for column, wide in enumerate(widths) if column != folded) + 2 * len(widths)
    room = max(20, min(widths[folded], width - others))
    parts = wrap(row[folded], room, break_long_words=False, break_on_hyphens=False) or [""]
    lines = []
    for number, part in enumerate(parts):
        cells = [
            (part.ljust(room) if column == folded else (cell if number == 0 else "").ljust(widths[column]))
            for column, cell in enumerate(row)
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines
