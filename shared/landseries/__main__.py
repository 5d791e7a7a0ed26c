"""`python -m landseries`: the command line."""

from landseries.cli import main

main()
