"""jobs.toml to a Config, or to the list of everything that is wrong with it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kiribi_cli.config import check as rules
from kiribi_cli.config import discover, forms, keys, model, positions, sources
from kiribi_cli.config.discover import check_trusted
from kiribi_cli.config.forms import Place, Wrong
from kiribi_cli.config.model import Config, Layer, Queue, Source
from kiribi_cli.config.problems import Problem, meant
from kiribi_cli.core import payload
from kiribi_cli.core.definition import Definition, Retention
from kiribi_cli.core.params import compile_schema
from kiribi_cli.core.records import dataclass, field, replace
from kiribi_cli.errors import Code, KiribiError
from kiribi_cli.private import refuse_stranger

_NAMED_TABLES = ("jobs", "queues", "schedules")
_TOP = (*keys.SETTINGS, "defaults", *_NAMED_TABLES, "on")


def read(path: Path, *, walked: bool = False) -> Config:
    """Read jobs.toml and what it includes; raise KiribiError(CONFIG) with all problems as details.

    `walked`: the file was found by walking up, so its includes and env_files must be trusted too (else REFUSED).
    What is wrong on this machine only (a missing env_file or extra) does not stop anybody here: `check` tells it.
    """
    config, problems = _Reading(sources.load(path, None, walked=walked)).result()
    errors = [problem for problem in problems if problem.severity == "error" and not problem.here_only]
    if config is None or errors:
        count = f"{len(errors)} problem{'s' if len(errors) != 1 else ''}"
        details = tuple(str(problem) for problem in errors)
        raise KiribiError(Code.CONFIG, f"{path} is not valid ({count})", details=details, hint=f"kiribi check {path}")
    if walked:
        _check_env_files(config)
    return config


def _check_env_files(config: Config) -> None:
    """Whoever can write to one decides what PATH means to a job, also where there is none yet."""
    names = {name.removeprefix("?") for definition in config.definitions.values() for name in definition.env_file}
    for path in sorted(Path(name) for name in names):
        if path.exists():
            check_trusted(path)
        else:
            refuse_stranger(path.parent)


def check(path: Path, *, strict: bool = False, text: str | None = None) -> list[Problem]:
    """List all problems, errors and warnings, by file and line. `text` stands for the file's content (`check -`).

    `strict` makes every warning an error and looks for option injection as well.
    """
    reading = _Reading(sources.load(path, text, walked=False), thorough=True, strict=strict)
    _, problems = reading.result()
    return [replace(problem, severity="error") for problem in problems] if strict else problems


@dataclass(slots=True)
class _Reading:
    """One reading of all files. `thorough` also looks at this machine, `strict` for option injection."""

    files: sources.Files
    thorough: bool = False
    strict: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    # Where each named thing was defined first, for the message about the second.
    seen: dict[tuple[str, str], str] = field(default_factory=dict)

    def result(self) -> tuple[Config | None, list[Problem]]:
        config = self._config() if self.files.sources else None
        return config, located(self.files.problems, self.files.sources)

    def _config(self) -> Config | None:
        main, *included = self.files.sources
        place = self.files.place(main)
        if main.table.get("version", 1) != 1 or isinstance(main.table.get("version"), (bool, float)):
            message = "this version of kiribi reads version = 1 of jobs.toml"
            (place / "version").error("bad_version", message)
            return None
        self._top_level(main, place)
        for source in included:
            _only_named_tables(source, self.files.place(source))
        config = self._settings(main, place)
        config = replace(config, queues=model.with_standing_queues(self._queues()))
        layers, definitions = self._jobs(config)
        return replace(config, job_layers=layers, definitions=definitions, inputs=dict(self.files.inputs))

    def _top_level(self, main: Source, place: Place) -> None:
        for name, raw in main.table.items():
            if name == "on":
                (place / name).error("unsupported", forms.unsupported("[on] (a hook)"))
            elif name not in _TOP:
                (place / name).error("unknown_key", f'unknown key "{name}"', meant(name, _TOP))
            elif name in keys.SETTINGS:
                value = (place / name).attempt(keys.SETTINGS[name].form.read, raw)
                self.settings |= {name: value} if value is not forms.SKIPPED else {}

    def _settings(self, main: Source, place: Place) -> Config:
        settings = dict(self.settings)
        for name in ("version", "include"):
            settings.pop(name, None)
        retention = {**model.vars_of(Retention()), **settings.pop("retention", {})}
        return Config(
            path=main.path,
            sources=tuple(self.files.sources),
            events_ms=retention.pop("events", Config().events_ms),
            retention=Retention(**retention),
            db=self._db(settings.pop("db", None), place / "db"),
            defaults=self._defaults(main, place / "defaults"),
            **settings,
        )

    def _db(self, named: str | None, place: Place) -> str | None:
        if named is None:
            return None
        scheme, separator, rest = named.partition("://")
        if separator:
            _check_url(scheme, rest, place)
            return named
        if not named:
            place.error("bad_range", "must not be empty")
            return None
        path = forms.absolute(place.folder, named)
        if self.thorough and (kind := discover.network_disk(Path(path))):
            place.error("network_disk", discover.network_sentence(Path(path), kind), here_only=True)
        return path

    def _defaults(self, main: Source, place: Place) -> Layer:
        raw = main.table.get("defaults", {})
        if isinstance(raw, dict):
            for name in [name for name in raw if name in keys.DEFINITION and name not in keys.COMMON]:
                (place / name).error("unknown_key", f'"{name}" cannot stand in [defaults], only in [jobs.NAME]')
            raw = {name: raw[name] for name in raw if name in keys.COMMON or name not in keys.DEFINITION}
            rules.environment(raw, place)
        values = place.attempt(lambda raw, place: forms.read_table(raw, place, keys.COMMON), raw)
        return values if isinstance(values, dict) else {}

    def _queues(self) -> dict[str, Queue]:
        queues = {}
        for place, name, raw in self._named("queues", "queue"):
            values = place.attempt(lambda raw, place: forms.read_table(raw, place, keys.QUEUE), raw)
            if isinstance(values, dict):
                standing = 4 if name == "hooks" else None
                queues[name] = Queue(name, values.pop("concurrency", standing), values, declared=True)
        return queues

    def _jobs(self, config: Config) -> tuple[dict[str, Layer], dict[str, Definition]]:
        for place, name, _ in self._named("schedules", "schedule"):
            place.error("unsupported", forms.unsupported(f"[schedules.{name}]"))
        layers: dict[str, Layer] = {}
        definitions: dict[str, Definition] = {}
        for place, name, raw in self._named("jobs", "job"):
            found = self._job(config, name, raw, place)
            if found:
                layers[name], definitions[name] = found
        return layers, definitions

    def _job(self, config: Config, name: str, raw: Any, place: Place) -> tuple[Layer, Definition] | None:
        long = {"shell": raw} if isinstance(raw, str) else {"command": raw} if isinstance(raw, list) else raw
        if not isinstance(long, dict):
            place.error("bad_type", f"must be a table, a string (shell) or an array (command), got {forms.noun(raw)}")
            return None
        errors = len(self.files.problems)
        kind = rules.kind_of(long, place)
        own = forms.read_table(long, place, keys.DEFINITION, also=("schedules",))
        if kind:
            rules.kind_keys(kind, long, place)
        self._payload_schema(own, place / "payload_schema")
        if kind is None or kind not in own:
            return None
        if any(problem.path[:3] == (*place.path, "params") for problem in self.files.problems[errors:]):
            # Half the parameters would make every placeholder of the others look unknown.
            own.pop("params", None)
        if "cwd" not in config.defaults:
            own.setdefault("cwd", str(place.folder))
        if "redact" in config.defaults:
            own.setdefault("redact", config.defaults["redact"])
        built = replace(config, job_layers={name: own}).definition(name, kind)
        self._rules(config, built, long, place)
        return None if self._errors_since(errors) else (own, built)

    def _errors_since(self, count: int) -> bool:
        return any(problem.severity == "error" and not problem.here_only for problem in self.files.problems[count:])

    def _rules(self, config: Config, definition: Definition, raw: dict[str, Any], place: Place) -> None:
        rules.codes(definition, raw, place)
        rules.templates(definition, raw, place)
        others = any(queue.declared for queue in config.queues.values())
        if others and definition.queue not in config.queues:
            here = place / "queue" if "queue" in raw else place
            here.warning("undeclared_queue", f'the queue "{definition.queue}" is not in [queues]')
        if self.strict:
            rules.option_injection(definition, place)
        if self.thorough:
            rules.this_machine(definition, raw, place)

    def _payload_schema(self, own: dict[str, Any], place: Place) -> None:
        named = own.get("payload_schema")
        if isinstance(named, str):
            own["payload_schema"] = place.attempt(lambda named, _: self._schema_file(named), named)
        if not isinstance(own.get("payload_schema"), dict) or not self.thorough:
            return
        try:
            compile_schema(own["payload_schema"])
        except KiribiError as error:
            code = "missing_extra" if error.code is Code.USAGE else "bad_schema"
            place.error(code, error.message, error.hint, here_only=code == "missing_extra")

    def _schema_file(self, path: str) -> dict[str, Any]:
        try:
            found = payload.parse(sources.read_text(self.files, Path(path)), keys.PAYLOAD_LIMIT)
        except OSError as error:
            raise Wrong("missing_file", f"cannot read {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise Wrong("bad_schema", f"{path} is not UTF-8") from None
        except KiribiError as error:
            reason = error.message.removeprefix("the payload is ")
            raise Wrong("bad_schema", f"{path} is {reason}") from None
        if not isinstance(found, dict):
            raise Wrong("bad_schema", f"{path} is no JSON Schema: it must be an object")
        return found

    def _named(self, table: str, what: str) -> Iterable[tuple[Place, str, Any]]:
        """Go through [jobs.*], [queues.*] or [schedules.*] of all files; report bad and double names."""
        for source in self.files.sources:
            place = self.files.place(source) / table
            entries = source.table.get(table, {})
            if not isinstance(entries, dict):
                place.error("bad_type", f"must be a table, got {forms.noun(entries)}")
                continue
            for name, raw in entries.items():
                first = self.seen.setdefault((table, name), source.shown)
                if not forms.NAME.fullmatch(name):
                    (place / name).error("bad_name", forms.bad_name(what, name), at_key=True)
                elif first != source.shown:
                    (place / name).error("duplicate_name", f"{table}.{name} is in {first} already", at_key=True)
                else:
                    yield place / name, name, raw


def _only_named_tables(source: Source, place: Place) -> None:
    for name in source.table:
        if name not in _NAMED_TABLES:
            message = f'"{name}" cannot stand in an included file, only jobs, queues and schedules'
            (place / name).error("unknown_key", message)


def _check_url(scheme: str, rest: str, place: Place) -> None:
    if scheme not in ("postgresql", "postgres"):
        return place.error("bad_choice", f"{scheme}:// is no database kiribi knows; name a file")
    user, at, _ = rest.partition("/")[0].rpartition("@")
    if at and ":" in user:
        place.warning("password_in_url", "the password can be read by everybody who can read this file")
    message = f'{scheme}:// needs the extra "postgres", which this version does not have yet'
    return place.error("missing_extra", message, here_only=True)


def located(problems: Iterable[Problem], read_sources: Iterable[Source]) -> list[Problem]:
    """Give every problem its line and column, and sort them by file and place."""
    texts = {source.shown: source.text for source in read_sources}
    maps: dict[str, Mapping[positions.Path, positions.Position]] = {}
    order = {name: index for index, name in enumerate(texts)}
    found = []
    for problem in problems:
        if problem.path and problem.file in texts:
            if problem.file not in maps:
                maps[problem.file] = positions.locate(texts[problem.file])
            line, column = _position(maps[problem.file], problem)
            found.append(replace(problem, line=line, column=column))
        else:
            found.append(problem)
    return sorted(found, key=lambda p: (order.get(p.file, len(order)), p.file, p.line, p.column))


def _position(known: Mapping[positions.Path, positions.Position], problem: Problem) -> tuple[int, int]:
    path = problem.path
    while path:
        if path in known:
            # What is missing, or stands in a short form, is shown where its table does.
            return known[path].key if problem.at_key else known[path].value
        short = path[:2] + path[3:]
        if path[0] == "jobs" and path[2:3] in (("command",), ("shell",)) and path[:3] not in known and short in known:
            return known[short].value
        path = path[:-1]
    return 1, 1
