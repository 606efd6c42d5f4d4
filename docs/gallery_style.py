"""Reset matplotlib before each script of the gallery to linmem's figure style."""

import matplotlib
import torch

from linmem.reporting.style import STYLE


def reset(gallery_conf, fname):
    """Start every script with the same style, seed and number of threads."""
    matplotlib.use("agg")
    matplotlib.rcdefaults()
    matplotlib.rcParams.update(STYLE | {"figure.figsize": (6.4, 3.6), "figure.constrained_layout.use": True})
    torch.manual_seed(0)
    torch.set_num_threads(1)
