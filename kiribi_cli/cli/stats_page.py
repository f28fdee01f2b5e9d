"""Statistics for people: two lines on top, a table below, small bars where the terminal can print them."""

from collections.abc import Iterator, Sequence
from typing import Any

from kiribi_cli.cli.output import Column, Out, View
from kiribi_cli.cli.people import clock_ms, how_long, millis
from kiribi_cli.core.durations import age, spell, spell_size

BARS = "▁▂▃▄▅▆▇█"
WIDEST = 24


def headline(out: Out, found: dict[str, Any], span_ms: int, *, plain: bool = False) -> Iterator[str]:
    """What ended in the span, and what stands in the queue now."""
    totals, stands, took, waited = found["totals"], found["now"], found["duration_ms"], found["wait_ms"]
    ended = totals["completed"] + totals["failed"]
    share = f" ({totals['failed'] / ended:.1%})" if ended else ""
    rest = "".join(f"  {word} {totals[word]:,}" for word in ("cancelled", "skipped") if totals[word])
    head = out.style("Last " + spell(round(span_ms, -3)) if span_ms != 86_400_000 else "Last 24h", "bold")
    failed = out.style(f"failed {totals['failed']:,}{share}", "red" if totals["failed"] else None)
    yield (
        f"{head}  completed {totals['completed']:,}  {failed}  retried {totals['retried']:,}{rest}  "
        f"p50 {how_long(took['p50'])}  p95 {how_long(took['p95'])}  longest wait {how_long(waited['max'])}"
    )
    oldest = "" if stands["oldest_pending_ms"] is None else f"  oldest pending {age(stands['oldest_pending_ms'])}"
    counts = "  ".join(
        f"{word} {stands[word]:,}" for word in ("pending", "running", "scheduled", "retrying", "blocked")
    )
    yield f"{out.style('Now', 'bold')}       {counts}{oldest}  workers {stands['workers']}"
    if not plain and out.unicode and ended:
        good = max(0, min(40, round(40 * totals["completed"] / ended)))
        # At least one mark for the failed, however few: they are what is looked for.
        good = min(good, 39) if totals["failed"] else good
        yield "          " + out.style("█" * good, "green") + out.style("█" * (40 - good), "red")


def stats_columns(out: Out, by: str, *, plain: bool) -> list[Column]:
    """The columns below; TSV has their raw values."""
    columns = [
        Column(by, by.upper(), cell=lambda row: _hour(out, row[by]) if by == "hour" else str(row[by])),
        Column("completed", "DONE", right=True),
        Column("failed", "FAIL", right=True, style=lambda row: "red" if row["failed"] else None),
        Column("retried", "RETRIED", right=True),
        _time("duration_p50", "p50", "duration_ms", "p50"),
        _time("duration_p95", "p95", "duration_ms", "p95"),
        _time("wait_p95", "WAIT p95", "wait_ms", "p95"),
        Column("cpu_ms", "CPU", cell=lambda row: how_long(row["cpu_ms"]), right=True),
        Column("max_rss_bytes", "MEMORY", cell=lambda row: spell_size(row["max_rss_bytes"]), right=True),
    ]
    if by == "error":
        return [*columns[:4], Column("message", "MESSAGE", grow=True)]
    if by != "hour":
        columns.append(
            Column(
                "per_hour",
                "PER HOUR",
                cell=lambda row: "" if plain else sparkline(row["per_hour"], unicode=out.unicode),
                grow=True,
            )
        )
    return columns


def _time(name: str, head: str, measure: str, quantile: str) -> Column:
    def raw(row: View) -> Any:
        return row[measure][quantile]

    return Column(name, head, raw=raw, cell=lambda row: how_long(raw(row)), right=True)


def _hour(out: Out, text: str) -> str:
    return clock_ms(millis(text), out.now(), out.zone())[:-3]


def sparkline(counts: Sequence[int], *, unicode: bool = True) -> str:
    """A character per hour; many hours are gathered so that they fit.

    >>> sparkline([0, 1, 4, 8])
    '▁▁▄█'
    """
    step = -(-len(counts) // WIDEST)
    gathered = [sum(counts[start : start + step]) for start in range(0, len(counts), max(step, 1))]
    most = max(gathered, default=0)
    if not most or not unicode:
        return ""
    return "".join(BARS[min(7, max(0, -(-count * 8 // most) - 1))] for count in gathered)
