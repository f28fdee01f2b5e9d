"""Tables for a terminal: the only place that uses rich, and only when a table is really shown."""

from collections.abc import Iterator, Sequence
from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kiribi_cli.cli.output import Column


def table(
    columns: "Sequence[Column]", rows: Sequence[Sequence[str]], styles: Sequence[Sequence[str | None]], *, colour: bool,
    width: int,
) -> Iterator[str]:  # fmt: skip
    """Lay out cells (sanitised already) in columns; the growing one is cut to fit `width`. Yields lines."""
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold" if colour else "", show_edge=False)
    # Only a growing column is cut: half a number is another number. What then is too wide, the terminal folds.
    least = [
        cell_len(column.head) if column.grow else max(map(cell_len, (column.head, *(cells[place] for cells in rows))))
        for place, column in enumerate(columns)
    ]
    width = max(width, sum(least) + 2 * len(least))
    for column, narrowest in zip(columns, least, strict=True):
        made.add_column(
            Text(column.head), justify="right" if column.right else "left", no_wrap=True, min_width=narrowest,
            overflow="ellipsis" if column.grow else "fold",
        )  # fmt: skip
    for cells, names in zip(rows, styles, strict=True):
        made.add_row(*(Text(cell, style=style or "") for cell, style in zip(cells, names, strict=True)))
    drawn = StringIO()
    console = Console(
        file=drawn, width=width, color_system="standard" if colour else None, force_terminal=colour,
        no_color=not colour, highlight=False, markup=False, emoji=False, legacy_windows=False,
    )  # fmt: skip
    console.print(made)
    yield from (line.rstrip() + "\n" for line in drawn.getvalue().splitlines())
