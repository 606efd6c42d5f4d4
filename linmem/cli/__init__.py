"""The command line. It is the only place that parses arguments."""

from linmem.cli.main import main

__all__ = ["main"]
