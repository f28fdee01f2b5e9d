"""How a command says what it takes, in words of our own: Typer alone costs more than most commands.

Read twice: by command.py, which makes Typer's commands of them, and by quick.py, which does without.
"""

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from typing import TypedDict, Unpack

    class Told(TypedDict, total=False):
        """What Typer is to know of an option or argument beside its names and its type."""

        metavar: str
        help: str
        hidden: bool
        min: int
        max: int


# Places in the `meta` of a context.
GLOBALS = "kiribi.globals"
FILTERS = "kiribi.filters"
AFTER = "kiribi.after"

FORMS = ("json", "jsonl", "tsv", "table")

Made = TypeVar("Made", bound="Callable[..., Any]")


class Context(Protocol):
    """What the commands see of a command line."""

    @property
    def meta(self) -> "MutableMapping[str, Any]": ...


class Option:
    """An option of one command; the type stands in its annotation. A bool is a flag, a list can be repeated."""

    def __init__(self, *names: str, **told: "Unpack[Told]") -> None:
        self.names = names
        self.told = told


class Argument:
    """An argument of one command; a list takes all that is left."""

    def __init__(self, **told: "Unpack[Told]") -> None:
        self.told = told


class Shared:
    """An option that many commands have, and that is not in their signatures. Without a metavar it is a flag."""

    def __init__(
        self, names: tuple[str, ...], metavar: str | None, text: str, *, count: bool = False, many: bool = False
    ) -> None:
        self.names = names
        self.metavar = metavar
        self.text = text
        self.count = count
        self.many = many
        # What it is called in the `meta` of a context.
        self.word = names[-1].lstrip("-").replace("-", "_")


# cli.md, section 2.
GLOBAL_OPTIONS = (
    Shared(("-c", "--config"), "FILE", "Use this jobs.toml; trusted as it is. [KIRIBI_CONFIG]"),
    Shared(("-C", "--directory"), "DIR", "Act as if started in DIR."),
    Shared(("--db",), "PATH|URL", "Use this database. [KIRIBI_DB]"),
    Shared(("--json",), None, "One JSON document. [KIRIBI_FORMAT]"),
    Shared(("--jsonl",), None, "One JSON object a line, as they come."),
    Shared(("--tsv",), None, "Tab-separated raw values, no header; the default when stdout is not a terminal."),
    Shared(("--table",), None, "A table for people; the default on a terminal."),
    Shared(("--fields",), "a,b,c", "These fields in this order, in any form; `--fields help` lists them."),
    Shared(("-q", "--quiet"), None, "Ids (or names) only, one a line."),
    Shared(("-s", "--silent"), None, "Nothing on stdout, only errors on stderr."),
    Shared(("-v", "--verbose"), None, "Say which files are used; twice: more. [KIRIBI_VERBOSE]", count=True),
    Shared(("--color",), "auto|always|never", "Colours. [NO_COLOR, FORCE_COLOR]"),
    Shared(("--no-pager",), None, "No pager. [KIRIBI_PAGER, PAGER]"),
    Shared(("--utc",), None, "Times for people in UTC; JSON and TSV always are."),
    Shared(("-y", "--yes"), None, "Answer yes to every question."),
    Shared(("--no-input",), None, "Never ask; a needed question is exit 9. [KIRIBI_NO_INPUT]"),
)

# cli.md, section 2; for commands marked with `filtered`.
FILTER_OPTIONS = (
    Shared(("--status",), "S", "Only with this status, alias or group; comma or repetition = or.", many=True),
    Shared(("--job",), "NAME", "Only of this job definition (glob).", many=True),
    Shared(("--queue",), "Q", "Only in this queue.", many=True),
    Shared(("--tag",), "T", "Only with this tag.", many=True),
    # Without a text they are hidden: they are refused until there are schedules and flows.
    Shared(("--schedule",), "S", "", many=True),
    Shared(("--flow",), "ID", "", many=True),
    Shared(("--worker",), "W", "Only whose latest attempt ran on this worker.", many=True),
    Shared(("--since",), "T", "Not before this time, or this long ago."),
    Shared(("--until",), "T", "Before this time."),
    Shared(("--time",), "created|started|finished", "Which time --since and --until mean."),
    Shared(("--where",), "PATH=VALUE", "Only whose payload has VALUE at PATH.", many=True),
    Shared(("--grep",), "TEXT", "Only with TEXT in name, error or tags.", many=True),
    Shared(("--query",), "TEXT", "The same as words, see `kiribi help queries`.", many=True),
)


def filtered(command: Made) -> Made:
    """Mark a command as taking the filter options; it reads them with here.filter()."""
    command.filtered = True  # type: ignore[attr-defined]
    return command


def collect(meta: "MutableMapping[str, Any]", place: str, option: Shared, value: Any) -> None:
    """Keep the value of a shared option. Given again after the command: the later one holds, -v and lists add up."""
    if value in (None, False, (), 0, []):
        return
    kept = meta.setdefault(place, {})
    name = option.word
    adds = isinstance(value, int | list | tuple) and not isinstance(value, bool) and kept.get(name)
    kept[name] = kept[name] + value if adds else value
    if name in FORMS:
        kept["form"] = name
