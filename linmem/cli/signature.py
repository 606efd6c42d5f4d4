"""Command-line options from the signature and the docstring of a function or class.

Positional parameters of a function are positional arguments; keyword-only parameters and those of a class are options
`--name`. A bool is a flag, a tuple takes several values. A parameter `Annotated[Mapping[str, Any], Options(A, B)]`
stands for the parameters of the classes A and B under their own names: the function gets those that the user gave.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import docstring_parser
from jsonargparse import ActionYesNo, ArgumentParser

from linmem.validation import LARGEST_COUNT, check_count

Marker = TypeVar("Marker")


class Options:
    """Marks a parameter that stands for the parameters of some classes.

    Parameters
    ----------
    *classes : type
        Dataclasses or other classes with a numpydoc docstring.
    skip : tuple of str
        Parameters that are not options.
    """

    def __init__(self, *classes: type, skip: tuple[str, ...] = ()) -> None:
        self.classes, self.skip = classes, skip


class Help:
    """The description of a parameter that several commands share."""

    def __init__(self, text: str) -> None:
        self.text = text


def description(function: Callable[..., Any]) -> str:
    """The docstring of a command without its parameters; its examples at the end."""
    text = inspect.getdoc(function) or ""
    sections = re.split(r"\n(\w+)\n-{3,}\n", text)
    examples = dict(zip(sections[1::2], sections[2::2], strict=True)).get("Examples", "")
    lines = [f"  {line.strip()}" for line in examples.splitlines() if line.strip().startswith("linmem")]
    return "\n".join([sections[0].strip(), "", "example:", *lines] if lines else [sections[0].strip()])


def add_options(parser: ArgumentParser, function: Callable[..., Any]) -> set[str]:
    """Add the parameters of a command to its parser; returns their names."""
    added: set[str] = set()
    for name, (hint, parameter, text) in _parameters(function):
        options = _marker(hint, Options)
        if options is None:
            _add(parser, name, hint, parameter, text, positional=parameter.kind is not parameter.KEYWORD_ONLY)
            added.add(name)
            continue
        for one in options.classes:
            group = parser.add_argument_group(_title(one))
            for inner, (inner_hint, inner_parameter, inner_text) in _parameters(one):
                if inner not in options.skip:
                    _add(group, inner, inner_hint, inner_parameter, inner_text, positional=False)
                    added.add(inner)
    return added


def call(function: Callable[..., Any], given: dict[str, Any]) -> Any:
    """Call a command with the values that the user gave; defaults are those of the signature."""
    arguments: dict[str, Any] = {}
    for name, value in given.items():
        if isinstance(value, int) and not isinstance(value, bool):
            check_count(name, value, least=-LARGEST_COUNT)  # of none may torch or NumPy overflow
    for name, (hint, _, _) in _parameters(function):
        options = _marker(hint, Options)
        if options is None:
            if name in given:
                arguments[name] = given[name]
            continue
        names = {inner for one in options.classes for inner, _ in _parameters(one)} - set(options.skip)
        hints = {k: v[0] for one in options.classes for k, v in _parameters(one)}
        arguments[name] = {inner: _converted(value, hints[inner]) for inner, value in given.items() if inner in names}
    return function(**arguments)


def _converted(value: Any, hint: Any) -> Any:
    """A tuple where the hint is one; None for its name, as messages have it, where the hint allows None."""
    if value == "None" and NoneType in get_args(hint):
        return None
    return tuple(value) if get_origin(hint) is tuple else value


def _parameters(owner: Any) -> Iterator[tuple[str, tuple[Any, inspect.Parameter, str]]]:
    """Each parameter of a function or class: its type, its default, its description."""
    documented: dict[str, str] = {}
    for one in docstring_parser.parse(inspect.getdoc(owner) or "").params:
        for name in one.arg_name.split(","):
            documented[name.strip()] = " ".join([*(one.description or "").split(), *_values(one)])
    hints = get_type_hints(owner.__init__ if inspect.isclass(owner) else owner, include_extras=True)
    for name, parameter in inspect.signature(owner).parameters.items():
        hint, text = hints.get(name, Any), documented.get(name, "")
        shared = _marker(hint, Help)
        yield name, (get_args(hint)[0], parameter, shared.text) if shared else (hint, parameter, text)


def _values(documented: docstring_parser.DocstringParam) -> list[str]:
    """The values that the type of a documented parameter lists in quotes, unless its description explains them all."""
    values = re.findall(r'"([\w-]+)"', documented.type_name or "")
    explained = all(f'"{value}"' in (documented.description or "") for value in values)
    return [] if explained else [f"One of {', '.join(values)}."]


def _marker(hint: Any, kind: type[Marker]) -> Marker | None:
    """The object of type `kind` in `Annotated[…, object]`."""
    marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return next((one for one in marks if isinstance(one, kind)), None)


def _add(parser: Any, name: str, hint: Any, parameter: inspect.Parameter, text: str, *, positional: bool) -> None:
    flag = parameter.kind is parameter.KEYWORD_ONLY
    text = text.replace("%", "%%")
    if positional and parameter.default is parameter.empty:
        parser.add_argument(name, type=hint, help=text)
    elif positional:
        parser.add_argument(name, type=hint, nargs="?", default=parameter.default, help=text)
    elif hint is bool and flag:
        parser.add_argument(f"--{name}", action="store_true", help=text)
    elif hint is bool:
        no = ActionYesNo(yes_prefix="", no_prefix="no_")
        parser.add_argument(f"--{name}", action=no, default=parameter.default, help=text)
    elif get_origin(hint) is tuple:
        default = list(parameter.default)
        parser.add_argument(f"--{name}", type=get_args(hint)[0], nargs="+", default=default, help=text)
    else:
        parser.add_argument(f"--{name}", type=hint, default=parameter.default, help=text)


def _title(owner: type) -> str:
    return (inspect.getdoc(owner) or owner.__name__).splitlines()[0].rstrip(".")
