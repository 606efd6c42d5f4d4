"""Commands: one file per command, named as the command, with one function of the same name.

The function's signature is the command line and its docstring is the help (`cli.signature`). A new command is a new
file and its name here.
"""

COMMANDS = (
    "demo",
    "fit",
    "encode",
    "train",
    "evaluate",
    "predict",
    "forecast",
    "export",
    "generate",
    "harmonize",
    "sweep",
    "reproduce",
    "report",
    "bench",
)
