"""Run the command from a checkout: `python -m app.command`."""

from .main import main

main()
