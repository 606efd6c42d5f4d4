"""Files of tensors with a JSON description: checkpoints, autoencoders, estimators."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from tests.fuzz.doors import material
from tests.fuzz.mutations import _mutated_part, choose, mutated_bytes
from tests.fuzz.oracle import Door


def prepare() -> None:
    """Make the files."""
    material.fit_file()
    material.run_files()
    material.estimator_files()


def changed(rng: Random, content: bytes) -> bytes:
    """The file with a changed description or tensor, and the checksum of its new content."""
    from safetensors.torch import load, save

    size = int.from_bytes(content[:8], "little")
    header = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["linmem"])
    tensors = load(content)
    if rng.random() < 0.6:
        header["description"] = _mutated_part(rng, header["description"])
    else:
        name = choose(rng, sorted(tensors))
        one = tensors.pop(name)
        replaced = choose(
            rng,
            (None, one.double(), one.float() * float("nan"), one.flatten(), one.reshape(-1)[:1], one.long(), one[None],
             torch.zeros(0), torch.zeros(()), torch.cat([one.reshape(-1), one.reshape(-1)]), one.to(torch.complex64)),
        )  # fmt: skip
        if replaced is not None:
            tensors[name if rng.random() < 0.8 else "x"] = replaced.contiguous()
    header["sha256"] = "0" * 64
    found = save(tensors, metadata={"linmem": json.dumps(header)})
    return found.replace(b"0" * 64, hashlib.sha256(found).hexdigest().encode(), 1)


def make(rng: Random, folder: Path) -> dict[str, Any]:
    """A file with mutated bytes, which the checksum must notice, or with changed content and the right checksum."""
    kind = choose(rng, ("LinearAutoencoder", "LinearAutoencoder", "run", "run", *material.estimator_files()))
    whole = {"LinearAutoencoder": material.fit_file(), "run": material.run_files()["state.safetensors"]}
    content = (whole | material.estimator_files())[kind]
    content = changed(rng, content) if rng.random() < 0.7 else mutated_bytes(rng, content, head=400)
    if kind == "run":
        material.write(folder / "run", dict(material.run_files()) | {"state.safetensors": content})
    else:
        (folder / "a.safetensors").write_bytes(content)
    return {"kind": kind}


def use(folder: Path, out: Path, arguments: dict[str, Any]) -> None:
    """Load the object and apply it."""
    import linmem

    kind = arguments["kind"]
    if kind == "run":
        model = linmem.load(folder / "run")
        with torch.no_grad():
            assert model(torch.zeros(1, 4, 2))[0].shape == (1, 4, 2)
        return
    loaded = getattr(linmem, kind).load(folder / "a.safetensors")
    cases = [material.series(0), material.series(1)]
    if kind == "LinearAutoencoder":
        states = loaded.encode(cases)
        loaded.decode(states[0], 3)
    elif kind == "MemoryClassifier":
        loaded.predict(cases)
    elif kind == "MemoryForecaster":
        loaded.predict(3)
    else:
        assert len(np.asarray(loaded.score_samples(cases[0]))) == len(cases[0])


DOOR = Door("tensors", make, use, prepare, names_file=False)
