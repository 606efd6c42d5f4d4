"""JSON and YAML files of the user: limited in size, depth and numbers, with keys and types that are checked.

YAML's aliases and merge keys (`<<`) can stand for exponentially many values in a few lines: merged keys are counted
before they are copied, and the values that a document stands for before anything walks through them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from linmem.storage.limits import require_size
from linmem.storage.messages import shortened
from linmem.storage.parsing import parsing

DEEPEST = 200  # nested values of a YAML document: its parser is recursive
MOST_VALUES = 20_000  # that a YAML document may stand for
Schema = Mapping[str, Any]  # name of a key: type, or a union of types
_BYTES_PER_BYTE = 64  # memory of the parsed values per byte of text


def read_json_object(path: Path, remedy: str, schema: Schema | None = None) -> dict[str, Any]:
    """Read a JSON object, and check that it has the keys of `schema` with values of their types.

    Raises
    ------
    ValueError
        The file is not JSON in UTF-8, is another value than an object, lacks a key, or has a value of another type.
    """
    require_size(_BYTES_PER_BYTE * path.stat().st_size, path)
    with parsing(path, "JSON", remedy):
        content = json.loads(path.read_text(encoding="utf-8"))
    return check_object(content, str(path), remedy, schema)


def check_object(content: Any, source: str, remedy: str, schema: Schema | None = None) -> dict[str, Any]:
    """Return `content` if it is a dictionary that fits `schema`; a bool is no number.

    Examples
    --------
    >>> check_object({"seconds": 2.0}, "a.json", "Delete it.", {"seconds": float})
    {'seconds': 2.0}
    """
    if not isinstance(content, dict):
        raise ValueError(f"{source} must be a JSON object, got {type(content).__name__}. {remedy}")
    for name, kind in (schema or {}).items():
        if name not in content:
            raise ValueError(f"{source} must be a JSON object with {name!r}, got one without it. {remedy}")
        value = content[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            expected = getattr(kind, "__name__", str(kind)).replace("int | float", "number")
            raise ValueError(f"{name} in {source} must be a {expected}, got {shortened(repr(value), 40)}. {remedy}")
    return content


def read_yaml(path: Path, remedy: str) -> Any:
    """Read a YAML or JSON document of plain values.

    Raises
    ------
    ValueError
        The file is not YAML in UTF-8, is nested too deeply, or stands for more than 20,000 values.
    """
    import yaml

    require_size(_BYTES_PER_BYTE * path.stat().st_size, path)
    with parsing(path, "YAML or JSON in UTF-8", remedy):
        text = path.read_text(encoding="utf-8")
        try:
            content = _load_yaml(text)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            raise ValueError(f"{error.problem}" + (f" in line {mark.line + 1}" if mark else "")) from None
    if (count := count_values(content)) > MOST_VALUES:
        raise ValueError(f"{path} must stand for at most {MOST_VALUES:,} values, got {shortened(count, 20)}. {remedy}")
    return content


def _load_yaml(text: str) -> Any:
    """Parse a YAML document with PyYAML's safe loader, and stop where values are nested too deeply or merges grow."""
    import yaml

    class Loader(yaml.SafeLoader):
        depth = 0
        keys = 0  # of all mappings, once for the mapping itself and once for each merge of it

        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            # Called for every mapping that a merge names, before the keys of these mappings are copied.
            super().flatten_mapping(node)
            self.keys += len(node.value)
            if self.keys > MOST_VALUES:
                raise ValueError(f"mappings with more than {MOST_VALUES:,} keys, those of merges counted each time")

        def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
            self.depth += 1
            if self.depth > DEEPEST:
                raise ValueError(f"more than {DEEPEST} nested values")
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

    loader = Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def count_values(content: Any) -> int:
    """Number of values in nested dictionaries and lists, those reached by several ways counted each time.

    Examples
    --------
    >>> ten = [0] * 9
    >>> count_values([ten] * 5)
    51
    """
    known: dict[int, int] = {}

    def count(value: Any) -> int:
        if not isinstance(value, dict | list | tuple | set):
            return 1
        if id(value) not in known:
            known[id(value)] = MOST_VALUES + 1  # of a value that contains itself
            parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value
            known[id(value)] = 1 + sum(map(count, parts))
        return known[id(value)]

    return count(content)
