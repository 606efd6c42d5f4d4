"""The command line: finds the command, parses its options, calls it, and turns errors into one line.

Bad input and lost workers end with exit status 2, an interrupt with 130, a closed pipe with 141.
`LINMEM_TRACEBACK=1` shows tracebacks.
"""

from __future__ import annotations

import os
import re
import sys
from argparse import Action, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, NoReturn

import torch
from jsonargparse import (  # type: ignore[attr-defined]
    ActionConfigFile,
    ArgumentParser,
    DefaultHelpFormatter,
    Namespace,
)

from linmem.cli.commands import COMMANDS
from linmem.cli.flags import flags_of, without_values
from linmem.cli.parse_errors import explain
from linmem.cli.plain_warnings import plain_warnings
from linmem.cli.signature import add_options, call, description
from linmem.storage.documents import check_object, read_yaml
from linmem.storage.messages import reason_of, shortened
from linmem.training import data_parallel
from linmem.training.loop import DivergenceError
from linmem.validation import check_count, shown
from linmem.workers import WorkerLostError

_EXPECTED = (ValueError, TypeError, OSError, ImportError, DivergenceError, WorkerLostError)
MOST_THREADS = 1024
CLOSED_PIPE = 141  # exit status of programs that SIGPIPE ends


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name = next((argument for argument in arguments if argument in COMMANDS), "")
    try:
        options = vars(_parse(name, arguments)[name])
        if options.get("out") == "":
            raise ValueError("out must be a path, got ''. Leave it out for the default.")
        command, device = _function(name), options.pop("device", "cpu")
        _set_machine(device, options.pop("threads", 1))
        with plain_warnings(name, _one_line), data_parallel.join_workers(device) as own_device:
            call(command, options | {"device": own_device})
    except BrokenPipeError:  # the reader of the pipe has closed it
        with suppress(OSError):  # of what is flushed at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    except (*_EXPECTED, RuntimeError, MemoryError) as error:
        out_of_memory = "allocate" in str(error) or isinstance(error, torch.OutOfMemoryError | MemoryError)
        unexpected = isinstance(error, RuntimeError) and not isinstance(error, (*_EXPECTED, RecursionError))
        if os.environ.get("LINMEM_TRACEBACK") or (unexpected and not out_of_memory):
            raise
        print(f"linmem {name}: {_one_line(_message(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"linmem {name}: interrupted; {_how_to_continue(name)}", file=sys.stderr)
        return 130
    return 0


def _message(error: Exception) -> str:
    """The message of an exception; Python's and NumPy's MemoryErrors do not say what to do."""
    if not isinstance(error, MemoryError) or " must fit into memory" in str(error):
        return str(error)
    remedy = "Lower the sizes of the model or of the batches, or split the data."
    return f"data and model must fit into memory, got: {reason_of(error)}. {remedy}"


def _how_to_continue(name: str) -> str:
    if name in ("sweep", "reproduce"):
        return "the same command continues"
    resumable = name in COMMANDS and "resume" in signature(_function(name)).parameters
    return "continue with --resume" if resumable else "run the command again"


def _parse(name: str, arguments: Sequence[str]) -> Namespace:
    top = parser(name)
    command = top._subcommands_action._name_parser_map.get(name) if top._subcommands_action else None
    try:
        return top.parse_args(without_values(arguments, flags_of(command._actions if command else [])), defaults=False)
    except (ValueError, RecursionError) as error:  # the parser reports all but these
        raise ValueError(f"config: {error}") from None


class _Parser(ArgumentParser):
    """A parser that reports an error in one line."""

    shown_name = ""  # in messages, where it is not that of the usage line

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        name = self.shown_name or self.prog.replace(" [options]", "")
        text = explain(message or str(ex), [*COMMANDS, *_option_names(self)])
        print(f"{name}: {_one_line(text, 240)} (see {name} --help)", file=sys.stderr)
        raise SystemExit(2)


def _option_names(parser: ArgumentParser) -> list[str]:
    """Names of the options of a parser and of its commands, without dashes."""
    actions = list(parser._actions)
    for command in parser._subcommands_action._name_parser_map.values() if parser._subcommands_action else ():
        actions += command._actions
    return [flag.removeprefix("--") for action in actions for flag in action.option_strings if flag.startswith("--")]


class _ConfigFile(ActionConfigFile):
    """A YAML file that is checked before the parser reads it."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: str | None = None) -> None:
        remedy = "Correct the file or the path."
        if not Path(str(values)).is_file():
            raise ValueError(f"must be an existing file, got {shown(values)}. {remedy}")
        check_object(read_yaml(Path(values), remedy), str(values), remedy)
        super().__call__(parser, cfg, values, option_string)


class _Help(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Help whose description keeps its lines, with types and defaults in plain words."""

    def _expand_help(self, action: Action) -> str:
        text = super()._expand_help(action).replace("%%", "%")
        return re.sub(r" \(((?:required|type: |default: ).*)\)$", _plain_details, text)


def _plain_details(found: re.Match[str]) -> str:
    """Words for `type: int | null, default: null`; text and what is absent need none."""
    types = re.findall(r"type: ([^,]*)", found[1])
    names = [_TYPE_NAMES.get(name, "") for name in (types[0].split(" | ") if types else ())]
    default = re.findall(r"default: (.*)", found[1])
    shown = [" or ".join(filter(None, names))] if any(names) else []
    shown += [f"default: {value}" for value in default if value not in ("null", "False", "[]", "")]
    return f" ({', '.join(shown)})" if shown else ""


_TYPE_NAMES = {"int": "integer", "float": "number"}


def parser(chosen: str) -> ArgumentParser:
    """The parser of all commands; only the chosen one gets its options, which saves the import of the others."""
    top = _Parser(
        prog="linmem",
        description="Linear Memory Networks and the linear autoencoder for sequences.",
        formatter_class=_Help,
        allow_abbrev=False,
    )
    top.shown_name = f"linmem {chosen}".rstrip()
    top.add_argument("--version", action="version", version=_version())
    commands = top.add_subcommands(required=True, dest="command")
    for name in COMMANDS:
        function = _function(name)
        command = _Parser(description=description(function), formatter_class=_Help, allow_abbrev=False)
        if name == chosen:
            _add_shared(command, add_options(command, function))
        commands.add_subcommand(name, command, help=description(function).splitlines()[0])
    return top


def _add_shared(command: ArgumentParser, own: set[str]) -> None:
    """Add the options that every command takes, except those that it declares itself."""
    command.add_argument("--config", action=_ConfigFile, help="YAML file with options")
    command._option_string_actions["--print_config"].help = "print all options as YAML and exit"
    command.add_argument("--threads", type=int, default=1, help="CPU threads")
    if "device" not in own:
        command.add_argument("--device", type=str, default="cpu", help="cpu, cuda, cuda:1, …")
    if "seed" not in own:
        command.add_argument("--seed", type=int, default=0, help="no effect: the command is deterministic")


def _function(name: str) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(import_module(f"linmem.cli.commands.{name}"), name)
    return function


def _one_line(text: str, length: int = 275) -> str:
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return shortened(" ".join(printable.split()), length)


def _set_machine(device: str, threads: int) -> None:
    check_count("threads", threads, most=MOST_THREADS)
    torch.set_num_threads(threads)
    try:
        available = torch.empty(0, device=device).device.type != "meta"
    except (RuntimeError, AssertionError):
        available = False
    if not available:
        raise ValueError(f"device must be one that this machine has, as cpu or cuda, got {device!r}.")


def _version() -> str:
    from importlib.metadata import version

    return version("linear-memory-networks")
