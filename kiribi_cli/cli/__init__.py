"""The command line: one command, one file; main.py is the tree, command.py parsing and help, wiring.py the rest."""
