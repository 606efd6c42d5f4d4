"""Table 2 under one protocol for all models: the two larger sets, Nottingham and MuseData.

The protocol is that of `table2_fair`, but trials are halved: all are trained for a few epochs, the best quarter on
valid for four times as many, and the best of these in full; the same for every model. These sets have 13 and 18 times
the training frames of JSB, so that the unfolded network of a pretrained LMN-B is trained for 5 epochs in place of 25.
Grid "small" has at most 50,000 weights, therefore one comparison, and one seed on MuseData.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from linmem.experiments.table2.fair import Search
from linmem.experiments.table2.targets import targets as targets_of_protocols
from linmem.experiments.table2_fair import PROTOCOLS, SMALL_WEIGHTS, SMOKE_ROWS, Config, plan, run, show

TITLE = "Table 2 under one protocol for all models: the larger sets"
_NOTTINGHAM = Search("nottingham", trials=16, seeds=3, max_epochs=200, pretrain_epochs=5, truncate=200, rungs=(3, 12))
_MUSE_DATA = Search("muse_data", trials=8, seeds=1, max_epochs=200, pretrain_epochs=5, truncate=200, rungs=(2, 8))
_SMOKE = Search("chorales:8:4:4", 3, 1, 2, 1, 1, weights=(12_500, 25_000), rows=SMOKE_ROWS, rungs=(1,))
GRIDS = {
    "smoke": Config((_SMOKE,)),
    "small": Config(tuple(replace(one, weights=SMALL_WEIGHTS) for one in (_NOTTINGHAM, _MUSE_DATA))),
    "paper": Config((_NOTTINGHAM, replace(_MUSE_DATA, trials=16, seeds=3))),
}
targets = partial(targets_of_protocols, protocols=PROTOCOLS[:1], sets=("nottingham", "muse_data"))

__all__ = ["GRIDS", "TITLE", "plan", "run", "show", "targets"]
