"""jobs.toml to a Config, or to the list of everything that is wrong with it."""

from pathlib import Path

from kiribi_cli.config.model import Config
from kiribi_cli.config.problems import Problem


def read(path: Path, *, walked: bool = False) -> Config:
    """Read jobs.toml and what it includes; raise KiribiError(CONFIG) with all problems as details.

    `walked`: the file was found by walking up, so the files it includes must be trusted too (else REFUSED).
    What is wrong on this machine only (a missing env_file or extra) does not stop anybody here: `check` tells it.
    """
    raise NotImplementedError


def check(path: Path, *, strict: bool = False, text: str | None = None) -> list[Problem]:
    """List all problems, errors and warnings, by file and line. `text` stands for the file's content (`check -`).

    `strict` makes every warning an error and looks for option injection as well.
    """
    raise NotImplementedError
