"""Linear Memory Networks: memory that is solved, not trained."""

from linmem import baselines, data, initialize
from linmem.autoencoder import LinearAutoencoder
from linmem.cell import LMNCell
from linmem.layers import LMN
from linmem.pretraining import pretrain
from linmem.training import train
from linmem.unfolded import ExplicitMemoryNetwork, UnfoldedNetwork

__version__ = "0.1.0"

__all__ = [
    "LMN",
    "ExplicitMemoryNetwork",
    "LMNCell",
    "LinearAutoencoder",
    "UnfoldedNetwork",
    "baselines",
    "data",
    "initialize",
    "pretrain",
    "train",
]
