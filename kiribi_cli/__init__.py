"""kiribi: a local job runner for shell and cron. This module imports nothing."""

__version__ = "0.1.0"
