"""The papers' pretraining: solve the memory, then train.

An LMN [L18 §4.1] in three steps: train an unfolded network, whose memory is the plain list of its last k hidden states;
fit a linear autoencoder to its hidden-state sequences; move both into the LMN. An RNN or an LMN [P14, S20] from the
autoencoder of the inputs, with a readout by least squares. Fine-tuning is `train`, as for any other model.

Letters: a inputs, f functional units, p memory units, k lags, o outputs.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.data import PairedSplits
from linmem.nn.initialize import answer_constant_, check_transfer, fit_readout_, from_autoencoder_, from_unfolded_
from linmem.nn.lmn import LMN
from linmem.nn.unfolded import UnfoldedNetwork
from linmem.sequences import check_sequences
from linmem.training.loop import History, TrainingOptions, train
from linmem.training.tasks import Examples, GivenFrames, Task

ENCODED = 500  # sequences at once: all states of MNIST's 50,000 would take 20 GB at p = 128


class Pretrained(NamedTuple):
    """What the three steps leave behind besides the filled layer."""

    unfolded: UnfoldedNetwork
    autoencoder: LinearAutoencoder  # of the unfolded network's hidden states on the training set
    history: History  # of the unfolded network's training


def pretrain(
    lmn: LMN,
    readout: nn.Linear,
    sequences: list[Tensor],
    targets: list[Tensor],
    *,
    valid: tuple[list[Tensor], list[Tensor]] | None = None,
    lags: int = 10,
    nonlinearity: str = "selu",
    dropout: tuple[float, float] = (0.0, 0.0),
    memory_decay: float = 1.0,
    options: TrainingOptions | None = None,
    task: Task | None = None,
    autoencoder: LinearAutoencoder | None = None,
    checkpoint: Path | None = None,
    progress: bool = False,
) -> Pretrained:
    """Fill `lmn` and `readout` by L18's three steps; fine-tune them with `train` afterwards.

    Parameters
    ----------
    lmn : LMN
        One layer, `output="memory"`.
    readout : Linear
        p → o.
    sequences, targets : list of Tensor
        The training set, (T_i, a) and (T_i, o); targets 0 or 1 unless `task` says otherwise.
    valid : two lists of Tensor, optional
        The same for early stopping; by default every tenth training sequence is held out for it.
    lags : int
        k, past hidden states that the unfolded network sees; 10 in the paper.
    nonlinearity : str
        Of the unfolded network, SELU in the paper. With the LMN's own, p = rank and memory_decay 1 step 3 is exact.
    dropout : two floats
        Probability of zeroing an input, and a hidden unit that the readout sees, in step 1; none in the paper.
    memory_decay : float
        See `initialize.from_unfolded_`; 1 in the paper.
    options : TrainingOptions, optional
        Of the unfolded network; with `truncate` it is trained on pieces of so many steps, and the autoencoder is fitted
        to pieces as long: what lies further back, no gradient would reach later.
    task : Task, optional
        The loss; by default 0/1 targets behind a sigmoid.
    autoencoder : LinearAutoencoder, optional
        Unfitted; by default `LinearAutoencoder(p, decoder="tied")`, uncentred.
    checkpoint : Path, optional
        File in which the unfolded network's training is kept, and taken up again.
    progress : bool
        Show a progress bar, on a terminal.

    Returns
    -------
    Pretrained

    Raises
    ------
    ValueError
        The sizes of layer, readout and data do not fit, or there are too few sequences to hold any out.
    """
    options, task = options or TrainingOptions(), task or GivenFrames()
    for name, module, wanted in (("lmn", lmn, LMN), ("readout", readout, nn.Linear)):
        if not isinstance(module, wanted):
            raise TypeError(f"{name} is a {type(module).__name__}: {wanted.__module__}.{wanted.__name__} was wanted")
    splits = _as_splits(sequences, targets, valid, readout.weight)
    check_transfer(lmn, readout, readout.out_features, memory_decay)
    unfolded = build_unfolded(lmn, readout, lags, nonlinearity, options.seed)
    if readout.bias is not None:
        answer_constant_(unfolded, readout.bias)  # it answers for the readout at first, and gives back what it learnt
    if autoencoder is None:  # only its encoder is needed
        autoencoder = LinearAutoencoder(lmn.memory_size, decoder="tied", random_state=options.seed)
    steps = options.truncate
    if steps:  # it looks k steps back, whatever was carried on
        splits, options = _cut(splits, steps), replace(options, truncate=0)
    model = _Dropping(unfolded, *dropout)
    history = train(model, splits, cast(Task, _Given(task)), options, checkpoint=checkpoint, progress=progress)
    states = hidden_states(unfolded, check_sequences(sequences))
    autoencoder.fit([piece for whole in states for piece in (whole.split(steps) if steps else [whole])])
    from_unfolded_(lmn, readout, unfolded, autoencoder, memory_decay)
    return Pretrained(unfolded, autoencoder, history)


def pretrain_on_inputs(
    layer: LMN | nn.RNN,
    readout: nn.Linear,
    sequences: list[Tensor],
    targets: list[Tensor],
    *,
    task: Task | None = None,
    seed: int = 0,
) -> LinearAutoencoder:
    """Fill `layer` from the autoencoder of its inputs, `readout` by least squares [P14, S20]; returns the autoencoder.

    Parameters
    ----------
    layer : LMN or torch.nn.RNN
        One layer; an LMN with f = p.
    readout : Linear
        p → o.
    sequences, targets : list of Tensor
        The training set, (T_i, a) and (n_i, o), n_i answers in the last n_i steps; 0 or 1 unless `task` says otherwise.
    task : Task, optional
        What the readout should give for a target; by default 0/1 targets behind a sigmoid.
    seed : int
        Of the autoencoder's solver.
    """
    size = layer.memory_size if isinstance(layer, LMN) else layer.hidden_size
    autoencoder = LinearAutoencoder(size, decoder="tied", random_state=seed).fit(sequences)
    from_autoencoder_(layer, autoencoder)
    states = []
    for start in range(0, len(sequences), ENCODED):
        part = slice(start, start + ENCODED)
        encoded = zip(autoencoder.encode(sequences[part]), targets[part], strict=True)
        states += [y[len(y) - len(z) :].clone() for y, z in encoded]
    wanted = (task or GivenFrames()).as_outputs(torch.cat(targets), readout.out_features)
    fit_readout_(readout, torch.cat(states), wanted)
    return autoencoder


class _Dropping(nn.Module):
    """An unfolded network that drops inputs, and hidden units on their way to the readout."""

    def __init__(self, unfolded: UnfoldedNetwork, input_dropout: float, readout_dropout: float) -> None:
        super().__init__()
        self.unfolded = unfolded
        self.input_dropout, self.readout_dropout = nn.Dropout(input_dropout), nn.Dropout(readout_dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.unfolded.hidden_states(self.input_dropout(x))
        return self.unfolded.readout(self.readout_dropout(hidden)), hidden


def build_unfolded(lmn: LMN, readout: nn.Linear, lags: int, nonlinearity: str, seed: int) -> UnfoldedNetwork:
    """Build the unfolded network that fits `lmn` and `readout`, on their device, its weights drawn from `seed`."""
    f = lmn.hidden_size
    assert isinstance(f, int)  # checked before
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unfolded = UnfoldedNetwork(lmn.input_size, f, readout.out_features, lags=lags, nonlinearity=nonlinearity)
    return unfolded.to(readout.weight)


@torch.no_grad()
def hidden_states(unfolded: UnfoldedNetwork, sequences: list[Tensor]) -> list[Tensor]:
    """Run the network over each sequence (T_i, a) and keep its hidden states, (T_i, f) each."""
    return [unfolded(sequence.to(unfolded.weight_xh))[1] for sequence in sequences]


class _Given:
    """A task whose questions and answers are made already: (inputs, targets) in place of sequences."""

    def __init__(self, task: Task) -> None:
        self.loss, self.count = task.loss, task.count

    def examples(self, splits: PairedSplits, split: str) -> Examples:
        return Examples(getattr(splits, split), splits.targets[split])


def _cut(splits: PairedSplits, steps: int) -> PairedSplits:
    """Training sequences in pieces of so many steps, where every step has its own target."""
    kept = [
        pair
        for x, y in zip(splits.train, splits.targets["train"], strict=True)
        for pair in (zip(x.split(steps), y.split(steps), strict=True) if len(x) == len(y) else [(x, y)])
    ]
    targets = {**splits.targets, "train": [y for _, y in kept]}
    return replace(splits, train=[x for x, _ in kept], targets=targets)


def _as_splits(sequences: Any, targets: Any, valid: Any, like: Tensor) -> PairedSplits:
    sequences, targets = _pairs(sequences, targets, like)
    if valid is not None:
        held, answers = _pairs(valid[0], valid[1], like)
        return PairedSplits("pairs", sequences, held, [], targets={"train": targets, "valid": answers})
    if len(sequences) < 2:
        raise ValueError(f"{len(sequences)} sequence(s) came: at least 2 are wanted to hold one out, or give valid=")
    kept, out = ([i for i in range(len(sequences)) if (i % 10 == 0) == held] for held in (False, True))
    parts = {"train": kept, "valid": out}
    return PairedSplits(
        "pairs",
        [sequences[i] for i in kept],
        [sequences[i] for i in out],
        [],
        targets={name: [targets[i] for i in part] for name, part in parts.items()},
    )


def _pairs(sequences: Any, targets: Any, like: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    sequences, targets = check_sequences(sequences), [torch.as_tensor(y) for y in targets]
    if len(sequences) != len(targets):
        raise ValueError(f"{len(sequences)} sequences came with {len(targets)} targets: one for each was wanted")
    for index, (x, y) in enumerate(zip(sequences, targets, strict=True)):
        if not 1 <= len(y) <= len(x):
            raise ValueError(f"sequence {index} has {len(x)} steps but {len(y)} targets: at most one a step was wanted")
    numbers = [y.to(like) if y.is_floating_point() else y.to(like.device) for y in targets]  # classes stay integers
    return [x.to(like) for x in sequences], numbers
