"""jobs.toml: found, read, checked, and turned into definitions."""
