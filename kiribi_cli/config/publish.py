"""What a jobs.toml says to the view `enqueue`: each definition, in each queue that a job of it may go to."""

from collections.abc import Iterator

from kiribi_cli.config.model import Config
from kiribi_cli.core.definition import Definition
from kiribi_cli.core.plan import plan_of
from kiribi_cli.core.published import Published, published


def all_published(config: Config) -> list[Published]:
    """List what there is to publish."""
    queues = dict.fromkeys([*config.queues, *(definition.queue for definition in config.definitions.values())])
    return [row for definition in config.definitions.values() for row in _in_queues(config, definition, queues)]


def _in_queues(config: Config, definition: Definition, queues: dict[str, None]) -> Iterator[Published]:
    own = published(plan_of(definition), own=True)
    for queue in queues:
        if queue == definition.queue:
            yield own
        elif _has_defaults(config, queue) or _has_defaults(config, definition.queue):
            yield published(plan_of(config.effective(definition, queue)), own=False)
        else:
            yield {**own, "queue": queue, "own": 0}


def _has_defaults(config: Config, queue: str) -> bool:
    return queue in config.queues and bool(config.queues[queue].settings)
