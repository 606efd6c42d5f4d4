"""Pretraining: compute the initial memory in closed form, then train as usual.

`pretrain` initializes an LMN in the three steps of L18 §4.1: train an unfolded network, which reads its last k hidden
states; fit a linear autoencoder to its hidden-state sequences; copy both into the LMN. `pretrain_on_inputs` initializes
an RNN or an LMN from the autoencoder of the inputs, and fits the readout by ridge regression [P14, S20]. Both are
followed by `train`.

Symbols: a inputs, f functional units, p memory units, k lags, o outputs, γ lag decay.
"""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.data import PairedSplits
from linmem.nn.initialize import (
    fit_readout_,
    from_autoencoder_,
    from_unfolded_,
    set_output_bias_,
)
from linmem.nn.lmn import LMN
from linmem.nn.scan.checks import check_dense_memory
from linmem.nn.transfer_checks import check_memory_output, check_size, check_trainable_transfer, check_transfer
from linmem.nn.unfolded import UnfoldedNetwork
from linmem.training.loop import (
    History,
    train,
)
from linmem.training.options import TrainingOptions
from linmem.training.pairs import as_splits, checked_pairs, unzipped
from linmem.training.tasks import Examples, GivenFrames, Task
from linmem.training.transposition import for_fits
from linmem.validation import check_number, shown

ENCODED = 500  # sequences encoded at once: all states of MNIST's 50,000 images take 20 GB at p = 128


class Pretrained(NamedTuple):
    """Intermediate results of the three steps."""

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
    lag_decay: float = 1.0,
    memory_decay: float = 1.0,
    options: TrainingOptions | None = None,
    task: Task | None = None,
    autoencoder: LinearAutoencoder | None = None,
    checkpoint: str | PathLike[str] | None = None,
    progress: bool = False,
) -> Pretrained:
    """Initialize an LMN and its readout by L18's three steps; fine-tune them with `train` afterwards.

    Parameters
    ----------
    lmn : LMN
        One layer with biases, `output="memory"`, `memory="dense"`.
    readout : Linear
        p → o, with a bias.
    sequences, targets : list of arrays or tensors
        The training set, (T_i, a) and (n_i, o), n_i targets for the last n_i steps; 0 or 1 unless `task` is given.
    valid : two lists of arrays or tensors, optional
        Validation set for early stopping; by default every tenth training sequence.
    lags : int
        k, past hidden states that the unfolded network reads; 10 in the paper.
    nonlinearity : str
        Nonlinearity of the unfolded network, SELU in the paper. If it is the LMN's own, p = rank and `memory_decay` is
        1, then step 3 is exact.
    dropout : two floats
        Probability of zeroing an input, and a hidden unit that the readout reads, in step 1; 0 in the paper.
    lag_decay : float
        γ in (0, 1], the weight of a lag in the autoencoder's history matrix. Below 1 the memory is most accurate for
        the last steps, which the unfolded network reads, and the transfer loses less. 1 in the paper.
    memory_decay : float
        Factor on W_mm, see `initialize.from_unfolded_`; 1 in the paper.
    options : TrainingOptions, optional
        Of the unfolded network. With `truncate` the network is trained and the autoencoder fitted on pieces of that
        many steps, because fine-tuning has no gradient beyond them. With `transpose` the unfolded network is trained
        on transposed pieces, and the autoencoder is fitted to every piece as it is and at one random shift.
    task : Task, optional
        The loss; by default cross-entropy of 0/1 targets with a sigmoid.
    autoencoder : LinearAutoencoder, optional
        Not fitted, `center=False`; by default `LinearAutoencoder(p, decoder="tied", lag_decay=lag_decay)`.
    checkpoint : str or path, optional
        File of the unfolded network's training state, from which an interrupted training resumes.
    progress : bool
        Whether to show a progress bar on a terminal.

    Returns
    -------
    Pretrained

    Raises
    ------
    ValueError
        The sizes of layer, readout, autoencoder and data do not match, targets are not numbers that the task needs,
        the layer has a diagonal memory, layer or readout have no bias, the autoencoder is centered, or there are too
        few sequences to hold any out. All this is checked before training, but for an autoencoder whose size depends
        on the data.

    Examples
    --------
    >>> import linmem
    >>> rolls = [(torch.rand(20, 5) > 0.5).float() for _ in range(6)]
    >>> inputs, targets = [x[:-1] for x in rolls], [x[1:] for x in rolls]
    >>> lmn, readout = LMN(5, 8, 16, batch_first=True), nn.Linear(16, 5)
    >>> how = TrainingOptions(max_epochs=2)
    >>> pretrained = pretrain(lmn, readout, inputs, targets, lags=3, lag_decay=0.8, options=how)
    >>> len(pretrained.history.epochs)
    2
    """
    options, task = options or TrainingOptions(), task or GivenFrames()
    for name, module, expected in (("lmn", lmn, LMN), ("readout", readout, nn.Linear)):
        if not isinstance(module, expected):
            raise TypeError(f"{name} must be a {expected.__name__}, got a {type(module).__name__}.")
    check_transfer(lmn, readout, readout.out_features, memory_decay)
    check_trainable_transfer(lmn, readout, autoencoder)
    if not isinstance(dropout, tuple | list) or len(dropout) != 2:
        raise ValueError(f"dropout must be two numbers, of inputs and of hidden units, got {shown(dropout)}.")
    for probability in dropout:
        check_number("dropout", probability, 0, 1)
    if valid is not None and not (isinstance(valid, tuple | list) and len(valid) == 2):
        raise ValueError(f"valid must be a pair of two lists, sequences and targets, got {shown(valid)}.")
    training = checked_pairs(sequences, targets, lmn.input_size, readout, task)
    held_out = None if valid is None else checked_pairs(*valid, lmn.input_size, readout, task)
    splits = as_splits(training, held_out)
    unfolded = build_unfolded(lmn, readout, lags, nonlinearity, options.seed)
    set_output_bias_(unfolded, readout.bias)  # `from_unfolded_` copies it back
    if autoencoder is None:  # only its encoder is used
        autoencoder = LinearAutoencoder(lmn.memory_size, decoder="tied", lag_decay=lag_decay, random_state=options.seed)
    steps = options.truncate
    if steps:  # the unfolded network has no state to carry across pieces
        splits, options = _cut(splits, steps), replace(options, truncate=0)
    options = replace(options, orthogonality=0.0)  # it has no W_mm either
    model = _UnfoldedWithDropout(unfolded, *dropout)
    history = train(
        model, splits, cast(Task, _PreparedExamples(task)), options, checkpoint=checkpoint, progress=progress
    )
    fitted = for_fits(unzipped(training), options.transpose, options.seed)
    states = hidden_states(unfolded, fitted.inputs)
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
    center: bool = True,
    seed: int = 0,
    transpose: int = 0,
) -> LinearAutoencoder:
    """Initialize a layer from the autoencoder of its inputs, and its readout by ridge regression [P14, S20].

    Parameters
    ----------
    layer : LMN or torch.nn.RNN
        One layer; an LMN with f = p and `memory="dense"`.
    readout : Linear
        p → o.
    sequences, targets : list of Tensor
        The training set, (T_i, a) and (n_i, o), n_i targets for the last n_i steps; 0 or 1 unless `task` is given.
    task : Task, optional
        Turns targets into outputs of the readout; by default logits of 0/1 targets.
    center : bool
        Whether to subtract the mean of the inputs, as the papers do: `b = −A mean`.
    seed : int
        Of the autoencoder's solver and of transposition.
    transpose : int
        N: fit autoencoder and readout to every piece as it is and at one random shift of −N to N semitones, for piano
        rolls; 0 for the pieces as they are.

    Returns
    -------
    LinearAutoencoder
        Fitted to `sequences`.

    Raises
    ------
    ValueError
        The layer has a diagonal memory, or its output is not the memory; or the readout reads another number of units.
    """
    check_dense_memory(layer)
    check_memory_output(layer)
    size = layer.memory_size if isinstance(layer, LMN) else layer.hidden_size
    check_size("readout.in_features", readout.in_features, size)
    sequences, targets = for_fits(Examples(sequences, targets), transpose, seed)
    autoencoder = LinearAutoencoder(size, center=center, decoder="tied", random_state=seed).fit(sequences)
    from_autoencoder_(layer, autoencoder)
    states = []
    for start in range(0, len(sequences), ENCODED):
        part = slice(start, start + ENCODED)
        encoded = zip(autoencoder.encode(sequences[part]), targets[part], strict=True)
        states += [y[len(y) - len(z) :].clone() for y, z in encoded]
    outputs = (task or GivenFrames()).as_outputs(torch.cat(targets), readout.out_features)
    fit_readout_(readout, torch.cat(states), outputs)
    return autoencoder


class _UnfoldedWithDropout(nn.Module):
    """An unfolded network with dropout of its inputs and of the readout's inputs."""

    def __init__(self, unfolded: UnfoldedNetwork, input_dropout: float, readout_dropout: float) -> None:
        super().__init__()
        self.unfolded = unfolded
        self.input_dropout, self.readout_dropout = nn.Dropout(input_dropout), nn.Dropout(readout_dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.unfolded.hidden_states(self.input_dropout(x))
        return self.unfolded.readout(self.readout_dropout(hidden)), hidden


def build_unfolded(lmn: LMN, readout: nn.Linear, lags: int, nonlinearity: str, seed: int) -> UnfoldedNetwork:
    """Build an unfolded network with the sizes and device of `lmn` and `readout`, and random weights from `seed`."""
    f = lmn.hidden_size
    assert isinstance(f, int)  # `check_transfer` has raised otherwise
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # that of CUDA devices does not change
        unfolded = UnfoldedNetwork(lmn.input_size, f, readout.out_features, lags=lags, nonlinearity=nonlinearity)
    return unfolded.to(readout.weight)


@torch.no_grad()
def hidden_states(unfolded: UnfoldedNetwork, sequences: list[Tensor]) -> list[Tensor]:
    """Hidden states (T_i, f) of each sequence (T_i, a)."""
    return [unfolded(sequence.to(unfolded.weight_xh))[1] for sequence in sequences]


class _PreparedExamples:
    """A task whose inputs and targets are given instead of computed from sequences."""

    def __init__(self, task: Task) -> None:
        self.loss, self.count = task.loss, task.count

    def examples(self, splits: PairedSplits, split: str) -> Examples:
        return Examples(getattr(splits, split), splits.targets[split])


def _cut(splits: PairedSplits, steps: int) -> PairedSplits:
    """Split training sequences into pieces of `steps` steps, where every step has a target."""
    kept = [
        pair
        for x, y in zip(splits.train, splits.targets["train"], strict=True)
        for pair in (zip(x.split(steps), y.split(steps), strict=True) if len(x) == len(y) else [(x, y)])
    ]
    targets = {**splits.targets, "train": [y for _, y in kept]}
    return replace(splits, train=[x for x, _ in kept], targets=targets)
