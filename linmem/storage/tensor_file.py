"""Named tensors and a JSON description in one safetensors file with a checksum over every byte.

No pickle: tensors are stored as safetensors, everything else as JSON in the file's header. The header holds the SHA-256
of the whole file, computed with zeros in its own place, so that a truncated or altered file is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from linmem.storage.atomic import write_bytes
from linmem.storage.parsing import parsing

FORMAT = "linmem/2"
_KEY = "linmem"
_UNSIGNED = "0" * 64  # stands where the checksum goes while it is computed


def write(path: str | os.PathLike[str], tensors: dict[str, Tensor], description: dict[str, Any]) -> None:
    """Write `tensors` and `description` to `path` atomically.

    Parameters
    ----------
    path : str or Path
        The file. Its folder must exist.
    tensors : dict of Tensor
        Any shapes and devices. Tensors that share memory are written one by one.
    description : dict
        Any content that `json.dumps` accepts.

    Raises
    ------
    FileNotFoundError
        The folder of `path` does not exist.
    ValueError
        `path` is a folder, a device or a pipe.
    """
    path = checked_path(path)
    header = json.dumps({"format": FORMAT, "sha256": _UNSIGNED, "description": description})
    content = save_tensors(_apart(tensors), metadata={_KEY: header})
    write_bytes(path, _signed(content, _UNSIGNED, hashlib.sha256(content).hexdigest()))


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write` wrote: the tensors (on the CPU) and the description.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    ValueError
        The file is truncated, altered, or was not written by this version of linmem.
    """
    path = checked_path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path must be an existing file, got {path}")
    content = path.read_bytes()
    header = _header(content)
    if header.get("format") != FORMAT:
        raise ValueError(
            f"{path} must be a file of format {FORMAT!r}, got {header.get('format', 'another kind of file')!r}. "
            "Write it again with this version of linmem."
        )
    stored = str(header.get("sha256"))
    computed = hashlib.sha256(_signed(content, stored, _UNSIGNED)).hexdigest()
    if computed != stored:
        raise ValueError(f"{path} must have the SHA-256 {stored}, got {computed}. Write it again.")
    with parsing(path, "a whole safetensors file", "Write it again."):
        tensors, description = load_tensors(content), header["description"]
        if not isinstance(description, dict):
            raise TypeError(f"a description of type {type(description).__name__}")
        return tensors, description


def checked_path(path: object, name: str = "path") -> Path:
    """Return a path given as text or path; anything else, as None, must not become the name of a file."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{name} must be a str or a path, got {type(path).__name__}. Give the path of the file.")
    return Path(path)


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, each in memory of its own: safetensors refuses shared weights."""
    apart, used = {}, set()
    for name, tensor in tensors.items():
        apart[name] = tensor.detach().cpu().contiguous()
        if (place := apart[name].untyped_storage().data_ptr()) in used:
            apart[name] = apart[name].clone()
        used.add(place)
    return apart


def _header(content: bytes) -> dict[str, Any]:
    """The JSON that `write` put into the header; empty if there is none."""
    try:
        size = int.from_bytes(content[:8], "little")
        header = json.loads(json.loads(content[8 : 8 + size])["__metadata__"][_KEY])
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return header if isinstance(header, dict) else {}


def _signed(content: bytes, old: str, new: str) -> bytes:
    """`content` with the first occurrence of the checksum `old`, which is the header's, replaced by `new`."""
    return content.replace(old.encode(), new.encode(), 1)
