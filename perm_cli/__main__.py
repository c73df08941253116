"""Run the command line with `python -m perm_cli`."""

from perm_cli.cli import main

main()
