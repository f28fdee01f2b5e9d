"""The command line: one command, one file; the framework is main.py (the tree), command.py (parsing, help) and wiring.py."""
