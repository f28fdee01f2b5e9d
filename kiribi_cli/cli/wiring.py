"""What a command needs and how it gets it: `here(ctx)` knows the global options and opens files only when asked.

A command reads: `at = here(ctx)`, then at.config, at.store, at.out, at.ids(...), at.filter(...), at.confirm(...).
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, tzinfo
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from kiribi_cli import clock
from kiribi_cli.cli.declared import AFTER, FILTERS, FORMS, GLOBALS, Argument, Context, Option
from kiribi_cli.cli.output import Column, Form, Out
from kiribi_cli.core.records import dataclass
from kiribi_cli.errors import Code, KiribiError

if TYPE_CHECKING:
    from kiribi_cli.config.discover import Database, Found
    from kiribi_cli.config.model import Config
    from kiribi_cli.config.outline import Outline
    from kiribi_cli.store.base import Filter
    from kiribi_cli.store.sqlite import SqliteStore

__all__ = ["Column", "DryRun", "Globals", "Here", "Ids", "here"]

DryRun = Annotated[bool, Option("-n", "--dry-run", help="Say what would happen, change nothing.")]
Ids = Annotated[
    list[str] | None, Argument(metavar="[ID]...", help="42, @last, @last:NAME, @-2, or - for ids from stdin.")
]


@dataclass(frozen=True, slots=True)
class Globals:
    """The global options in effect: flag beats environment (jobs.toml comes after both)."""

    config: str | None = None
    db: str | None = None
    form: Form = "tsv"
    fields: tuple[str, ...] = ()
    quiet: bool = False
    silent: bool = False
    verbose: int = 0
    color: Literal["auto", "always", "never"] = "auto"
    pager: bool = True
    utc: bool = False
    yes: bool = False
    no_input: bool = False


def globals_from(given: Mapping[str, Any], env: Mapping[str, str], *, tty: bool) -> Globals:
    """Put flags and environment together; raises USAGE for words that are none of the allowed."""
    form = given.get("form") or env.get("KIRIBI_FORMAT") or ("table" if tty else "tsv")
    color = given.get("color") or _color_by(env)
    if form not in FORMS:
        raise KiribiError(Code.USAGE, f'KIRIBI_FORMAT is "{form}"', hint=f"write one of: {', '.join(FORMS)}")
    if color not in ("auto", "always", "never"):
        raise KiribiError(Code.USAGE, f'--color is "{color}"', hint="write auto, always or never")
    verbose = env.get("KIRIBI_VERBOSE", "")
    return Globals(
        config=given.get("config"),
        db=given.get("db"),
        form=cast(Form, form),
        fields=tuple(name.strip() for name in given.get("fields", "").split(",") if name.strip()),
        quiet=bool(given.get("quiet")),
        silent=bool(given.get("silent")),
        verbose=given.get("verbose", 0) or (int(verbose) if verbose.isdigit() else 0),
        color=cast(Literal["auto", "always", "never"], color),
        pager=not given.get("no_pager"),
        utc=bool(given.get("utc")),
        yes=bool(given.get("yes")),
        no_input=bool(given.get("no_input")) or env.get("KIRIBI_NO_INPUT", "") not in ("", "0"),
    )


def _color_by(env: Mapping[str, str]) -> str:
    # https://no-color.org: present and not empty; FORCE_COLOR likewise. NO_COLOR is the wish of the reader, so it wins.
    if env.get("NO_COLOR"):
        return "never"
    return "always" if env.get("FORCE_COLOR") not in (None, "", "0") else "auto"


def here(ctx: Context) -> "Here":
    """The one Here of this command line."""
    found = ctx.meta.get("kiribi.here")
    if found is None:
        found = ctx.meta["kiribi.here"] = Here(ctx.meta)
    return cast(Here, found)


def at_the_end(meta: Mapping[str, Any]) -> None:
    """Close what the command opened, if it opened anything."""
    found = meta.get("kiribi.here")
    if isinstance(found, Here):
        found.close()


def explained(error: Exception, meta: Mapping[str, Any]) -> Exception:
    """What stands behind an error that nobody expected: a damaged database, if that is what was open."""
    found = meta.get("kiribi.here")
    if not isinstance(found, Here) or isinstance(error, KiribiError | OSError):
        return error
    damage = found.damage()
    if damage is not None:
        damage.__cause__ = error
    return damage or error


class Here:
    """Where a command stands: its global options, its files, its output. Everything is opened when first asked for."""

    def __init__(self, meta: Mapping[str, Any]) -> None:
        self._begun = clock.monotonic()
        given = meta.get(GLOBALS, {})
        _go_to(given.get("directory") or ".")
        self.globals = globals_from(given, os.environ, tty=bool(sys.stdout and sys.stdout.isatty()))
        self.filters: Mapping[str, Any] = meta.get(FILTERS, {})
        # What stood behind `--`; None: there was no `--`.
        self.after: tuple[str, ...] | None = meta.get(AFTER)
        self._store: SqliteStore | None = None

    def now(self) -> int:
        """Milliseconds since the epoch, read anew."""
        return clock.now_ms()

    @cached_property
    def zone(self) -> tzinfo:
        """The zone in which times without an offset are read, and in which people see times."""
        if self.globals.utc:
            return UTC
        from kiribi_cli.cli.zone import local_zone

        return local_zone(os.environ)

    @cached_property
    def by(self) -> str:
        """Who acts, as recorded: user@host."""
        from kiribi_cli.cli.who import user_at_host

        return user_at_host()

    # -- files
    @cached_property
    def found(self) -> "Found":
        """Which jobs.toml; raises REFUSED for one that is not to be trusted."""
        from kiribi_cli.config.discover import find_config

        return find_config(self.globals.config, os.environ, Path.cwd())

    @cached_property
    def config(self) -> "Config":
        """All of jobs.toml, or the built-in settings where there is none; raises CONFIG with all problems."""
        if self.found.path is None:
            from kiribi_cli.config.model import Config

            return Config()
        from kiribi_cli.config import cache
        from kiribi_cli.config.read import read

        config = read(self.found.path, walked=self.found.walked)
        # So that the next plain `kiribi enqueue` need not read it again.
        if cache.load(str(self.found.path)) is None:
            cache.save(config)
        return config

    @cached_property
    def config_or_none(self) -> "Config | None":
        """The same, None where jobs.toml is broken: for commands that only look and can do without."""
        try:
            return self.config
        except KiribiError as error:
            if error.code is not Code.CONFIG:
                raise
            self.config_error = error
            return None

    config_error: KiribiError | None = None

    @cached_property
    def outline(self) -> "Outline | None":
        """What of jobs.toml matters for looking; None where it is broken. Parses it only if it has changed."""
        from kiribi_cli.config import cache
        from kiribi_cli.config.outline import outline_of, outlined

        if "config" not in self.__dict__ and self.found.path and (kept := cache.load(str(self.found.path))):
            return outlined(kept["outline"])
        return outline_of(self.config_or_none) if self.config_or_none else None

    @cached_property
    def database(self) -> "Database":
        """Which database, its logs and run folders. A broken jobs.toml is an error only if it has to say which."""
        from kiribi_cli.config.discover import find_database

        places = self.outline.places if self.outline else self._broken()
        return find_database(self.globals.db, os.environ, places, Path.cwd())

    def _broken(self) -> "Config":
        """What can be known of a broken jobs.toml: where its database is, if that database is there."""
        from kiribi_cli.cli.broken import database_of_broken
        from kiribi_cli.config.model import Config

        path = self.found.path
        if path is None or self.globals.db or os.environ.get("KIRIBI_DB"):
            return Config()
        db = database_of_broken(path)
        if db is None and self.config_error is not None:
            raise self.config_error
        return Config(path=path, db=db)

    @property
    def store(self) -> "SqliteStore":
        """The database, which must be there already (else exit 7)."""
        return self.open_store(create=False)

    def open_store(self, *, create: bool) -> "SqliteStore":
        """Open the database once; with `create` make it, its folder private, if it is missing."""
        if self._store is None:
            from kiribi_cli.store.sqlite import SqliteStore

            path, durability = self._place()
            if not create and not path.exists():
                hint = "kiribi init makes one, and so does the first kiribi enqueue"
                raise KiribiError(Code.STORE, f"there is no database at {path} ({self.database.origin})", hint=hint)
            self._store = SqliteStore.open(path, create=create, durability=durability)
        return self._store

    def _place(self) -> "tuple[Path, str]":
        """Path and durability of the database, without reading jobs.toml where that can be known otherwise."""
        from kiribi_cli.config.discover import find_database
        from kiribi_cli.config.model import Config

        named = self.globals.db or os.environ.get("KIRIBI_DB") or self.found.path is None
        if named and "config" not in self.__dict__:
            return find_database(self.globals.db, os.environ, Config(), Path.cwd()).path, "full"
        return self.database.path, self.outline.durability if self.outline else "full"

    def damage(self) -> KiribiError | None:
        """Say so if the database that is open is damaged."""
        return self._store.damage() if self._store is not None else None

    def close(self) -> None:
        """Close what was opened, and with -v say what it was."""
        if self._store is not None:
            self._store.close()
            self._store = None
        if self.globals.verbose:
            self.out.talk(f"took: {(clock.monotonic() - self._begun) * 1000:.0f} ms")
            if "found" in self.__dict__:
                self.out.talk(f"jobs.toml: {self.found.path or 'none'} ({self.found.origin})")
            if "database" in self.__dict__:
                self.out.talk(f"database: {self.database.path} ({self.database.origin})")

    @cached_property
    def out(self) -> Out:
        """Where the answer goes, in the form that was asked for."""
        return Out(
            form=self.globals.form, fields=self.globals.fields, quiet=self.globals.quiet, silent=self.globals.silent,
            color=self.globals.color, pager=self.globals.pager, zone=lambda: self.zone, now=self.now,
        )  # fmt: skip

    # -- arguments
    def ids(self, words: Iterable[str]) -> list[int]:
        """Read ids: 42, @last, @last:NAME, @-2, - (stdin). Keeps the order, drops repetitions, looks nothing up."""
        seen: dict[int, None] = {}
        for word in words:
            for item in _from_stdin() if word == "-" else (word,):
                seen.setdefault(self.id(item))
        return list(seen)

    def id(self, word: str) -> int:
        """Read one id; raises USAGE for what is none, NOT_FOUND for `@last` of nothing."""
        from kiribi_cli.actions.jobs import read_id

        return read_id(self.store, word)

    def existing(self, words: Iterable[str]) -> list[int]:
        """Read ids and make sure that every one is there; raises NOT_FOUND for those that are not."""
        from kiribi_cli.actions.jobs import must_exist

        return must_exist(self.store, self.ids(words), now=self.now())

    @property
    def filtered(self) -> bool:
        """Whether any filter option was given."""
        return bool(self.filters)

    def filter(self, words: Sequence[str] = (), *, ids: Sequence[int] | None = None) -> "Filter":
        """Put filter options, words of the query language and ids together; raises NOT_FOUND for unknown names."""
        from kiribi_cli.actions.query import Known, Reading, read_filter

        known = Known(
            lambda: self.outline.jobs if self.outline else (), lambda: self.outline.queues if self.outline else ()
        )
        found = read_filter(words, self.filters, Reading(self.now(), lambda: self.zone, self.store, known))
        if ids is None:
            return found
        from kiribi_cli.core.records import replace

        return replace(found, ids=tuple(ids))

    def duration(self, text: str) -> int:
        """Read a duration of the command line in milliseconds; a bare number is seconds."""
        from kiribi_cli.core.durations import duration_ms

        return duration_ms(text, bare=True)

    def moment(self, text: str, *, past: bool = False) -> int:
        """Read a point in time; `past` after --since and --until."""
        from kiribi_cli.core.durations import when_ms

        return when_ms(text, now_ms=self.now(), zone=self.zone, past=past)

    # -- asking
    def confirm(self, question: str) -> None:
        """Return if the answer is yes; raise REFUSED where nobody can be asked and --yes is missing, or on no."""
        if self.globals.yes:
            return
        asking = not self.globals.no_input and bool(sys.stdin and sys.stdin.isatty() and sys.stderr.isatty())
        if not asking:
            raise KiribiError(Code.REFUSED, f"this needs a yes: {question}", hint="add --yes, or look first with -n")
        from kiribi_cli.cli.safe import safe

        sys.stderr.write(f"{safe(question)}   [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise KiribiError(Code.REFUSED, "not confirmed, nothing was changed")


def _go_to(folder: str) -> None:
    try:
        os.chdir(folder)
        Path.cwd()
    except FileNotFoundError as error:
        if folder == ".":
            hint = "go somewhere else: cd ~"
            raise KiribiError(Code.USAGE, "the folder in which this was started is deleted", hint=hint) from error
        raise KiribiError(Code.USAGE, f"cannot go to {folder} (-C): {error.strerror}") from error
    except OSError as error:
        raise KiribiError(Code.USAGE, f"cannot go to {folder} (-C): {error.strerror}") from error


def _from_stdin() -> Iterator[str]:
    """Words, as they come; of what never ends and is no word, the beginning."""
    rest = ""
    while sys.stdin and (text := sys.stdin.read(65_536)):
        *words, rest = (rest + text + ".").split()
        rest = rest[:-1]
        yield from words
        if len(rest) > 1_000:
            yield rest
            return
    if rest:
        yield rest
