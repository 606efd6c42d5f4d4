"""Why an RNN-RBM falls short of B12's likelihood on JSB: one change at a time, from both ends.

    python benchmarks/rnn_rbm.py --case all          # one case, or a list; every row is kept in --out
    python benchmarks/rnn_rbm.py --table             # prints the rows in --out
    python benchmarks/rnn_rbm.py --case "all, 150 epochs" --test      # reads test with the weights of a trained case

`start` are the options of the RNN-RBM in the retired protocol "plain" of table 2 (commit 95d6377: Adam 1e-3, CD-15, no
dropout, constant rate, biases at the marginals); `all` has every change; "+ x" is `start` with x alone, "- x" is `all`
without x. Models are those with the lowest validation loss. NLL on valid in nats per frame, frames 2..T, by annealed
importance sampling with `CHAINS` chains and `TEMPERATURES` temperatures; the AIS error is the root mean square over
frames of the standard error of one frame's log Z. An estimate is low by about half its square. One seed. Test is sealed
but for `--test`, which records every reading in a file beside --out.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import nn

from linmem import data
from linmem.data.sealed import open_test, sealed_test
from linmem.nn.baselines import RNNRBM
from linmem.nn.initialize import set_output_bias_
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.sequence_model import SequenceModel
from linmem.reporting import tables
from linmem.training.loop import count, train_on_examples
from linmem.training.options import TrainingOptions
from linmem.training.rbm_task import NextFrameRBM
from linmem.training.tasks import Examples, NextFrame

CHAINS, TEMPERATURES = 10, 200
UNITS = 150


@dataclass(frozen=True)
class Case:
    """What differs between the runs."""

    learning_rate: float = 1e-3
    cd_steps: int = 15
    dropout: float = 0.0  # of the layer's outputs; half of it for the inputs
    schedule: str = "constant"
    ema_decay: float = 0.0
    marginals: bool = True  # visible biases start at the log-odds of the notes
    initialization: str = (
        "none"  # rbm: weights of an RBM of single frames; rbm and rnn: the layer of a trained RNN, too
    )
    max_epochs: int = 50


START = Case()
ALL = Case(learning_rate=1.5e-2, cd_steps=5, dropout=0.3, schedule="cosine", ema_decay=0.99)
CHANGES: dict[str, tuple[str, ...]] = {
    "rate": ("learning_rate",),
    "CD-5": ("cd_steps",),
    "dropout": ("dropout",),
    "cosine and average": ("schedule", "ema_decay"),
}
CASES = {"start": START, "all": ALL}
CASES |= {f"+ {name}": replace(START, **{key: getattr(ALL, key) for key in keys}) for name, keys in CHANGES.items()}
CASES |= {f"- {name}": replace(ALL, **{key: getattr(START, key) for key in keys}) for name, keys in CHANGES.items()}
CASES |= {
    "start, no marginals": replace(START, marginals=False),
    "+ rbm": replace(START, initialization="rbm"),
    "+ rbm and rnn": replace(START, initialization="rbm and rnn"),
    "all, no marginals": replace(ALL, marginals=False),
    "all + rbm": replace(ALL, initialization="rbm"),
    "all + rbm and rnn": replace(ALL, initialization="rbm and rnn"),
    "all, CD-1": replace(ALL, cd_steps=1),
    "all, rate 6e-3": replace(ALL, learning_rate=6e-3),
    "all, rate 3e-2": replace(ALL, learning_rate=3e-2),
    "all, 150 epochs": replace(ALL, max_epochs=150),
}


def initialize_rbm_(model: RNNRBM, frames: torch.Tensor, epochs: int = 6) -> None:
    """Train the weights and constant biases as an RBM of single frames."""
    nn.init.normal_(model.weight, std=0.01)
    with torch.no_grad():
        model.biases.weight.mul_(0.1)
    optimizer = torch.optim.Adam([model.weight, model.biases.bias], 5e-3)
    for epoch in range(epochs):
        for index in torch.randperm(len(frames)).split(250):
            outputs = model.biases.bias.expand(len(index), -1)
            loss = model.loss(outputs, frames[index], 1 if epoch < 3 else 5) / len(index)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def initialize_rnn_(model: RNNRBM, training: Examples, valid: Examples) -> None:
    """Copy the layer of an RNN that was trained on independent notes, and its readout to the visible biases."""
    network = build_model(ModelOptions("rnn", UNITS, readout_dropout=0.2), 88, 88)
    assert isinstance(network, SequenceModel)
    set_output_bias_(network, NextFrame().constant(torch.cat(training.targets), 88))
    train_on_examples(network, NextFrame(), training, valid, TrainingOptions(learning_rate=2e-3, max_epochs=30))
    model.recurrent.load_state_dict(network.recurrent.state_dict())
    with torch.no_grad():
        model.biases.weight[:88] = network.readout.weight


def model_of(case: Case, seed: int) -> RNNRBM:
    """Model of a case before training."""
    options = ModelOptions(
        "rnn-rbm",
        UNITS,
        UNITS,
        input_dropout=case.dropout / 2,
        readout_dropout=case.dropout,
        cd_steps=case.cd_steps,
    )
    model = build_model(options, 88, 88, seed)
    assert isinstance(model, RNNRBM)
    return model


def run(case: Case, weights: Path, seed: int = 0) -> dict[str, object]:
    """Train one case, save its weights and measure it on valid."""
    torch.manual_seed(seed)
    task = NextFrame()
    with sealed_test():
        splits = data.load("jsb_chorales")
    training, valid = task.examples(splits, "train"), task.examples(splits, "valid")
    model = model_of(case, seed)
    started = time.process_time()
    if case.marginals:
        set_output_bias_(model, task.constant(torch.cat(training.targets), 88))
    if case.initialization != "none":
        initialize_rbm_(model, torch.cat(training.targets))
    if case.initialization == "rbm and rnn":
        initialize_rnn_(model, training, valid)
    history = train_on_examples(
        model,
        NextFrameRBM.fast(model),
        training,
        valid,
        TrainingOptions(
            learning_rate=case.learning_rate,
            max_epochs=case.max_epochs,
            patience=case.max_epochs,
            clip=1.0,
            ema_decay=case.ema_decay,
            schedule=case.schedule,
            seed=seed,
        ),
    )
    seconds = time.process_time() - started
    weights.parent.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), weights)
    counts = count(model, valid, NextFrameRBM(model, chains=CHAINS, temperatures=TEMPERATURES), 16)
    scores = counts.scores(counts.choice())
    return {
        "valid joint NLL": scores.nll,
        "AIS error": scores.ais_error,
        "expected %": 100 * scores.expected_accuracy,
        "best epoch": history.best_epoch,
        "CPU s": seconds,
    }


def evaluate_test(name: str, weights: Path, record: Path, seed: int = 0) -> dict[str, object]:
    """NLL on test of a trained case: the only function that reads test. Every reading is recorded."""
    with open_test():
        test = NextFrame().examples(data.load("jsb_chorales"), "test")
    model = model_of(CASES[name], seed)
    model.load_state_dict(torch.load(weights, weights_only=True))
    counts = count(model.eval(), test, NextFrameRBM(model, chains=CHAINS, temperatures=TEMPERATURES), 16)
    scores = counts.scores(counts.choice())
    row: dict[str, object] = {"case": name, "test joint NLL": scores.nll, "AIS error": scores.ais_error}
    with record.open("a") as file:
        file.write(json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds")} | row) + "\n")
    return row


def main() -> None:
    """Run cases that --out lacks, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--table", action="store_true", help="print the rows in --out and run nothing")
    parser.add_argument("--test", action="store_true", help="read test with the weights of --case, which are trained")
    parser.add_argument("--out", type=Path, default=Path("runs/rnn-rbm.jsonl"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [json.loads(line) for line in arguments.out.read_text().splitlines()] if arguments.out.exists() else []
    folder = arguments.out.with_suffix("")  # of the weights
    if arguments.test:
        readings = [evaluate_test(name, folder / f"{name}.pt", folder / "test.jsonl") for name in arguments.case]
        print(tables.markdown(readings, {"test joint NLL": 3, "AIS error": 3}))
        return
    for name in [] if arguments.table else arguments.case:
        if not any(row["case"] == name for row in rows):
            rows.append({"case": name} | run(CASES[name], folder / f"{name}.pt"))
            with arguments.out.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            print(rows[-1], flush=True)
    print(tables.markdown(rows, {"valid joint NLL": 3, "AIS error": 3, "CPU s": 0}))


if __name__ == "__main__":
    main()
