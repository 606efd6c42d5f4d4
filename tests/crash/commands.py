"""The commands that are interrupted, on small data, and the comparison of what two of their runs have written."""

import json
import shutil

import numpy as np
import pytest

from linmem.storage import tensor_file
from tests.crash.processes import run

# Locks, what other files are computed from, and a folder's random name.
NOT_COMPARED = ("run.lock", "study.journal", "study.journal.lock", "study.journal.start.lock", "identity", "table.md")
TRAIN = ["--model=lmn-b", "--hidden_size=6", "--memory_size=8", "--lags=2", "--batch_size=2", "--ema_decay=0.9"]


class Commands:
    """Data, a fit and a run in `folder`, and the arguments of every command that write to a given folder."""

    def __init__(self, folder, *, epochs=12, fresh=True):
        self.folder, self.epochs = folder, epochs
        self.pieces, random = folder / "pieces", np.random.default_rng(0)
        self.pieces.mkdir(parents=True)
        for index in range(10):
            np.save(self.pieces / f"{index}.npy", (random.random((30, 88)) < 0.05).astype(np.float32))
        (folder / "space.json").write_text(
            json.dumps({"model": "gru", "hidden_size": 3, "seed": [0, 1, 2], "max_epochs": epochs})
        )
        for name, out in (("fit", "a-fit"), ("train", "a-run")):
            status, lines = run(self.arguments(name, folder / out), folder / "log", fresh=fresh)
            assert status == 0, lines

    def arguments(self, name, out):
        """Start the command, or continue it after a kill."""
        pieces = str(self.pieces)
        match name:
            case "train":
                epochs = [f"--max_epochs={self.epochs}", "--pretrain=unfolded", "--pretrain_epochs=4"]
                return ["train", pieces, *TRAIN, *epochs, "--resume", "--out", str(out)]
            case "fit":
                return ["fit", pieces, "--memory_size=8", "--force", "--out", str(out)]
            case "sweep":
                return ["sweep", pieces, "--space", str(self.folder / "space.json"), "--out", str(out)]
            case "encode":
                inputs = [str(self.folder / "a-fit"), pieces]
                return ["encode", *inputs, "--every_step", "--force", "--out", str(out / "encoded.csv")]
            case "predict":
                inputs = [str(self.folder / "a-run"), pieces]
                return ["predict", *inputs, "--every_step", "--force", "--out", str(out / "predicted.csv")]
        raise AssertionError(name)


NAMES = ("train", "fit", "sweep", "encode", "predict")
# In the ordinary suite two commands stand for all; `make crash` runs the others, too.
EACH = [pytest.param(name, marks=() if name in ("train", "encode") else pytest.mark.slow) for name in NAMES]


def difference(first, second):
    """The first file of two output folders that differs in more than measured seconds; None if there is none."""
    files = [contents(folder) for folder in (first, second)]
    if files[0].keys() != files[1].keys():
        return f"files {sorted(files[0].keys() ^ files[1].keys())}"
    return next((name for name in files[0] if files[0][name] != files[1][name]), None)


def contents(folder):
    """What is compared: every file, JSON without seconds, tensors bit for bit."""
    return {
        str(path.relative_to(folder)): content(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in NOT_COMPARED and path.parent.name != "locks" and not is_partial(path)
    }


def content(path):
    if path.suffix == ".safetensors":
        tensors, description = tensor_file.read(path)
        bits = {name: (str(tensor.dtype), tensor.numpy().tobytes()) for name, tensor in tensors.items()}
        return bits, without_seconds(description)
    if path.suffix in (".json", ".jsonl"):
        return [without_seconds(json.loads(line)) for line in json_documents(path)]
    return path.read_bytes()


def json_documents(path):
    text = path.read_text()
    return text.splitlines() if path.suffix == ".jsonl" else [text]


def without_seconds(value):
    if isinstance(value, dict):
        return {key: without_seconds(each) for key, each in value.items() if "seconds" not in key}
    return [without_seconds(each) for each in value] if isinstance(value, list) else value


def is_partial(path):
    """Whether this is a file that a process was writing when it was killed."""
    return path.suffix == ".partial"


def partial_files(folder):
    return [path for path in folder.rglob("*") if is_partial(path)]


def remove(folder):
    shutil.rmtree(folder, ignore_errors=True)
