"""Who acts: recorded with every job and every move."""

from kiribi_cli.actions.origin import user_at_host

__all__ = ["user_at_host"]
