"""kiribi completion: the script for a shell. What stands at the cursor is worked out by complete.py, at every Tab."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kiribi_cli.cli.wiring import here

if TYPE_CHECKING:
    from kiribi_cli.cli.command import Group

BASH = """\
# kiribi completion for bash: source <(kiribi completion bash)
_kiribi_grammar='{grammar}'
_kiribi() {{
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("${{line%%$'\\t'*}}")
    done < <(printf '%s' "$_kiribi_grammar" | kiribi __complete "$COMP_CWORD" "${{COMP_WORDS[@]}}" 2>/dev/null)
}}
complete -o default -F _kiribi kiribi
"""
ZSH = """\
#compdef kiribi
# kiribi completion for zsh: source <(kiribi completion zsh), after compinit
_kiribi_grammar='{grammar}'
_kiribi() {{
    local -a values descriptions
    local value description
    while IFS=$'\\t' read -r value description; do
        values+=("$value")
        descriptions+=("$value  $description")
    done < <(printf '%s' "$_kiribi_grammar" | kiribi __complete "$((CURRENT - 1))" "${{words[@]}}" 2>/dev/null)
    if (( ${{#values}} )); then
        compadd -l -d descriptions -- "${{values[@]}}"
    else
        _files
    fi
}}
compdef _kiribi kiribi
"""
FISH = """\
# kiribi completion for fish: kiribi completion fish | source
set -g _kiribi_grammar '{grammar}'
function _kiribi
    set -l words (commandline -opc) (commandline -ct)
    printf '%s' $_kiribi_grammar | kiribi __complete (math (count $words) - 1) $words 2>/dev/null
end
complete -c kiribi -a '(_kiribi)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}

# What a value is, by option or by what stands where an argument is expected.
KINDS = {
    "--status": "statuses", "--job": "names", "--queue": "queues", "-Q": "queues", "--tag": "tags",
    "--worker": "workers", "JOB": "names", "NAME": "names", "GLOB": "names", "ID": "ids", "WORKER": "workers",
}  # fmt: skip


def completion(
    ctx: typer.Context,
    shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish", help="Your shell.")],
) -> int:
    """Print the completion script for a shell.

    It completes commands, options, names, ids with their job, queues, statuses and tags.

    Examples:
        source <(kiribi completion bash)
        kiribi completion bash > ~/.local/share/bash-completion/completions/kiribi
        kiribi completion zsh > ~/.zfunc/_kiribi
        kiribi completion fish > ~/.config/fish/completions/kiribi.fish
    """
    from kiribi_cli.cli.command import Group
    from kiribi_cli.cli.main import ALIASES, COMMANDS
    from kiribi_cli.errors import Code, KiribiError

    if shell not in SCRIPTS:
        raise KiribiError(Code.USAGE, f'there is no completion for "{shell}"', hint="one of bash, zsh, fish")
    grammar = "\n".join(
        f"{path}\t{' '.join(items)}" for path, items in grammar_of(Group(COMMANDS, aliases=ALIASES), ctx)
    )
    at = here(ctx)
    at.out.line(SCRIPTS[shell].format(grammar=grammar).rstrip("\n"))
    return 0


def grammar_of(group: "Group", ctx: typer.Context, path: str = "") -> Iterator[tuple[str, list[str]]]:
    """Walk through all commands: each path with its items, in the form that complete.py reads."""
    from kiribi_cli.cli.command import Group

    names = group.list_commands(ctx)
    yield path, [*names, *(_items(group, ctx) if not path else ())]
    for name in names:
        command = group.get_command(ctx, name)
        place = f"{path} {name}".strip()
        if isinstance(command, Group):
            yield from grammar_of(command, ctx, place)
        else:
            yield place, [*_items(command, ctx), *_extra(place)]


def _items(command: Any, ctx: typer.Context) -> list[str]:
    items = []
    for param in command.get_params(ctx):
        if param.param_type_name == "argument":
            word = (param.metavar or param.name or "").lstrip("[").partition("]")[0].partition(" ")[0].rstrip(".")
            items += [f"@{KINDS[word]}"] if word in KINDS else []
        elif not getattr(param, "hidden", False):
            flag = getattr(param, "is_flag", False) or getattr(param, "count", False)
            items += [option if flag else f"{option}={_kind(param)}" for option in param.opts]
    return items


def _kind(param: Any) -> str:
    for option in param.opts:
        if option in KINDS:
            return KINDS[option]
    meta = str(param.metavar or "")
    # A metavar such as auto|always|never names all that can be written.
    return meta.replace("|", ",") if "|" in meta and meta == meta.lower() else ""


def _extra(place: str) -> list[str]:
    if place == "help":
        from kiribi_cli.cli.help import topics

        return topics()
    return list(SCRIPTS) if place == "completion" else []
