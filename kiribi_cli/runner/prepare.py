"""From a definition and a claimed job to a Launch: argv, environment, folder, program. Starts nothing."""

from kiribi_cli.core.definition import Definition
from kiribi_cli.core.outcome import Ended
from kiribi_cli.runner.launch import Launch, Place, Work


def prepare(definition: Definition, work: Work, place: Place) -> Launch | Ended:
    """Make the Launch of an attempt, or the Ended (NeverStarted) that says why there is none."""
    raise NotImplementedError
