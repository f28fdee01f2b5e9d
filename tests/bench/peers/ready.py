"""Install the peers, start what they need, and answer those that work; the others are named with their reason."""

import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.peers import servers
from tests.bench.peers.environment import Environment, sentence
from tests.bench.peers.kinds import SCRIPTED, SERVERS
from tests.bench.peers.peer import Kind, Peer, Scripted
from tests.bench.peers.shell import COMMANDS

START = {"redis": servers.redis, "postgres": servers.postgres}


@dataclass(frozen=True, slots=True)
class Company:
    """Who is measured, and who is not and why."""

    peers: tuple[Peer, ...] = ()
    absent: dict[str, str] = field(default_factory=dict)

    def of(self, part: str) -> list[Peer]:
        return [peer for peer in self.peers if part in peer.parts]


def names() -> list[str]:
    return [kind.name for kind in SCRIPTED] + [command.name for command in COMMANDS]


@contextmanager
def ready(wanted: Iterable[str], environment: Environment, folder: Path) -> Iterator[Company]:
    """Peers by name, in folders of their own; their servers end with the context."""
    wanted = set(wanted)
    kinds = [kind for kind in SCRIPTED if kind.name in wanted]
    commands = [command for command in COMMANDS if command.name in wanted]
    needed = {kind.server for kind in kinds if kind.server}
    debian = {command.program: command.package for command in commands}
    for server in needed:
        debian |= SERVERS[server]
    environment.install(
        {kind.packages for kind in kinds if kind.script.endswith(".py")},
        debian,
        {package for kind in kinds if kind.script.endswith(".mjs") for package in kind.packages},
    )
    absent: dict[str, str] = {}
    with ExitStack() as stack:
        running = {name: _started(stack, name, environment, folder) for name in sorted(needed)}
        peers: list[Peer] = []
        for number, command in enumerate(commands):
            if environment.which(command.program):
                peers.append(command(environment, folder / f"c{number}"))
                stack.callback(peers[-1].clear)
            else:
                absent[command.name] = environment.missing.get(command.package, "not installed")
        for number, kind in enumerate(kinds):
            found = running.get(kind.server, {})
            why = _why_not(kind, environment, found)
            try:
                if not why and not isinstance(found, str):
                    variables = servers.of_one(found, number)
                    peers.append(Scripted(kind, environment, variables, folder / f"s{number}"))
            except (OSError, subprocess.SubprocessError) as error:
                why = sentence(error)
            if why:
                absent[kind.name] = why
        yield Company(tuple(peers), absent)


def _why_not(kind: Kind, environment: Environment, found: Mapping[str, str] | str) -> str:
    for package in kind.packages:
        if package in environment.missing:
            return f"{package}: {environment.missing[package]}"
    return f"{kind.server}: {found}" if isinstance(found, str) else ""


def _started(stack: ExitStack, name: str, environment: Environment, folder: Path) -> Mapping[str, str] | str:
    """The variables that lead to the server, or why there is none."""
    for program, package in SERVERS[name].items():
        if not environment.which(program):
            return environment.missing.get(package, f"no {program}")
    place = folder / name
    place.mkdir()
    try:
        return stack.enter_context(START[name](environment, place))
    except (OSError, subprocess.SubprocessError) as error:
        return sentence(error)
