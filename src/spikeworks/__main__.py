"""``python -m spikeworks``: the command line."""

from .cli import main

main()
