"""Table 2 under L18's protocol, as far as it is published. [L18, table 2.]

Adam at 1e-3 for all weights, W_mm included; the initialization of torch.nn.Linear for LMNs and torch's own for all
other layers, also for the readout; tanh; one layer; L2 in {0, 1e-7 … 1e-4} and all sizes of L18's lists searched, an
LSTM's forget bias in {0, 1}; early stopping on valid with a patience of 20 epochs and a limit of 1000. A pretrained
LMN-B starts from an unfolded network with 10 lags and SELU units and keeps the whole past. L18 does not give its batch
size, its patience and whether the accuracy is pooled over a split: here 16, 20 and pooled. L2 is relative to a loss in
nats per frame.

Valid chooses among all runs of a row by NLL; the chosen options are trained with three seeds, and test is read once
for each. Grid "up_to_100" is JSB with the sizes of at most 100 units, "up_to_250" that of at most 250, "small" all of
JSB; runs that two grids have are trained once. The first two also have controls, which are not L18's: LMN-A and LMN-B
with the same options and limits on the norms of their weights. The RNN-RBM is left out: L18's row is B12's. The GRU is
not in L18.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from linmem.experiments.table2.experiment import plan_runs, run
from linmem.experiments.table2.grids import PAPER, SETS, SMOKE, Config, Part
from linmem.experiments.table2.summary import show
from linmem.experiments.table2.targets import targets as targets_of_protocols
from linmem.runs.options import RunOptions

TITLE = "Table 2 under L18's protocol"
PROTOCOLS = ("paper",)
_PAPER = replace(PAPER, protocol="paper")
_JSB = replace(_PAPER, data="jsb_chorales")


def _up_to(most: int) -> Part:
    """JSB with the sizes of at most `most` units."""
    pairs = tuple(pair for pair in _JSB.lmn_sizes if max(pair) <= most)
    units = tuple(units for units in _JSB.units if units <= most)
    return replace(_JSB, units=units, lmn_sizes=pairs, controls=("LMN-A", "LMN-B"))


GRIDS = {
    "smoke": Config((replace(SMOKE, protocol="paper"),)),
    "up_to_100": Config((_up_to(100),)),
    "up_to_250": Config((_up_to(250),)),
    "small": Config((_JSB,)),
    "paper": Config(tuple(replace(_PAPER, data=name) for name in SETS)),
}
targets = partial(targets_of_protocols, protocols=PROTOCOLS)


def plan(config: Config, seed: int) -> Mapping[tuple[str, str], list[RunOptions]]:
    """Return the training runs of the search, by data set and row; those of other seeds follow the choice."""
    return {(part.data, row): runs for part in config.parts for row, runs in plan_runs(part, seed).items()}


__all__ = ["GRIDS", "TITLE", "plan", "run", "show", "targets"]
