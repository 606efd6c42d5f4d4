"""Named tensors and a JSON description in one safetensors file, written whole or not at all.

No pickle anywhere: tensors are safetensors, all else is JSON in the file's own header. The header carries a SHA-256 of
the tensors' bytes, so that a truncated or altered file is refused instead of loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

_FORMAT = "linmem/1"


def write(path: str | Path, tensors: dict[str, Tensor], description: dict[str, Any]) -> None:
    """Write `tensors` and `description` to `path`; a reader sees the old file or the new one, never a half.

    Parameters
    ----------
    path : str or Path
        Where to write; its folder must exist.
    tensors : dict of Tensor
        Any shapes and devices.
    description : dict
        Anything that `json.dumps` takes.

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent} is no folder: make it first, or name another")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {"format": _FORMAT, "description": json.dumps(description), "sha256": _digest(tensors)}
    partial = path.with_name(path.name + ".partial")
    save_file(tensors, partial, metadata=header)
    os.replace(partial, path)


def read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write` wrote: the tensors (on the CPU) and the description.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is truncated, altered, or not one of linmem's.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except SafetensorError as error:
        raise ValueError(f"{path} is truncated or not a safetensors file ({error}): write it again") from None
    if header.get("format") != _FORMAT:
        raise ValueError(
            f"{path} has format {header.get('format')!r}, wanted {_FORMAT!r}: it was not written by linmem"
        )
    if (digest := _digest(tensors)) != header["sha256"]:
        raise ValueError(f"{path} was altered: its checksum is {digest}, wanted {header['sha256']}: write it again")
    return tensors, json.loads(header["description"])


def _digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
