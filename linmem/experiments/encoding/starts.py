"""What the networks of the experiment `encoding` start from: memories that are solved, fixed or trained from the start.

Symbols: f functional units, p memory units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from linmem.experiments.encoding.tasks import Problem
from linmem.experiments.static_memories.memories import Memory, candidates, generators
from linmem.experiments.static_memories.readouts import choose, encode_split
from linmem.nn.initialize import fit_readout_
from linmem.nn.lmn import LMN
from linmem.nn.sequence_model import SequenceModel
from linmem.training.options import TrainingOptions
from linmem.training.pretraining import pretrain, pretrain_on_inputs

LARGEST_WRITE = 0.9  # the largest functional unit when an impulse writes the initial state into the memory


@dataclass(frozen=True)
class Row:
    """A model and how its memory is initialised."""

    model: str
    pretrain: str = "none"  # none, inputs, variant or unfolded
    fixed: bool = False  # whether W_mm stays as solved
    released: bool = False  # whether W_mm is trained though the model fixes it
    steps: int = 0  # of a delay line


class Start(NamedTuple):
    """What a row starts from: the variant of a LAES, and the epochs that an unfolded network trained before."""

    variant: str | None = None
    epochs: int = 0


def initialize(model: SequenceModel, row: Row, problem: Problem, options: TrainingOptions, seed: int) -> Start:
    """Fill memory and readout as `row` says."""
    layer: Any = model.recurrent
    inputs, targets = problem.task.examples(problem.splits, "train")
    if row.released:
        layer.get_parameter("weight_mm_l0").requires_grad_(True)
    if row.pretrain == "none":
        return Start()
    if row.pretrain == "unfolded":
        valid = problem.task.examples(problem.splits, "valid")
        pretrained = pretrain(
            layer, model.readout, inputs, targets, valid=valid, lags=10, options=options, task=problem.task
        )
        return Start(epochs=len(pretrained.history.epochs))
    if row.pretrain == "inputs" and problem.waveform is None:
        pretrain_on_inputs(layer, model.readout, inputs, targets, task=problem.task, seed=seed)
        return Start()
    memory = _best_variant("LAES" if row.pretrain == "variant" else "LAES as solved", problem, layer.memory_size, seed)
    if problem.waveform is not None:
        _initialize_generator_(layer, memory)
        with torch.no_grad():
            states = layer(inputs[0][None])[0][0]
        fit_readout_(model.readout, states, targets[0], ridge=1e-6)
    else:
        _initialize_encoder_(layer, memory)
        found = encode_split(memory, problem.splits, problem.task, "train")
        fit_readout_(model.readout, found.states, problem.task.as_outputs(found.targets, model.readout.out_features))
    return Start(memory.label)


def _best_variant(kind: str, problem: Problem, p: int, seed: int) -> Memory:
    if problem.waveform is not None:
        memories = generators(kind, problem.waveform, p, seed)
    else:
        memories = candidates(kind, problem.task.examples(problem.splits, "train").inputs, p, seed)
    return choose(memories, problem.splits, problem.task).memory


def _initialize_generator_(layer: LMN, memory: Memory) -> None:
    """Let the impulse write the state that decodes to the waveform: f = p, W_mh = 0, W_mm = C_y, W_hm ∝ I."""
    share = LARGEST_WRITE / memory.A.abs().max()
    write = torch.atanh(share * memory.A)  # the only non-zero input is the impulse, so tanh is inverted exactly
    _fill(layer, write, torch.eye(layer.memory_size) / share, memory.B)


def _initialize_encoder_(layer: LMN, memory: Memory) -> None:
    """Write A x into the memory, as far as tanh is linear: f = p, W_xh = A, W_mh = 0, W_mm = B, W_hm = I."""
    _fill(layer, memory.A, torch.eye(layer.memory_size), memory.B)


@torch.no_grad()
def _fill(layer: LMN, W_xh: Tensor, W_hm: Tensor, W_mm: Tensor) -> None:
    values = {"xh": W_xh, "mh": torch.zeros_like(W_mm), "hm": W_hm, "mm": W_mm}
    for name, value in values.items():
        layer.get_parameter(f"weight_{name}_l0").copy_(value)
    layer.get_parameter("bias_h_l0").zero_()
    layer.get_parameter("bias_m_l0").zero_()
    layer.norm_limits.reset()
