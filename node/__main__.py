"""python -m node: the command line."""

from node.cli import main

main()
