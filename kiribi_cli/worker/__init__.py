"""The daemon: claim, run, settle, and its duties."""
