"""What the gallery does around a script: set linmem's figure style, show the sounds and animations that it writes."""

import base64
from pathlib import Path

import matplotlib
import torch
from sphinx_gallery.scrapers import figure_rst

from linmem.reporting.style import STYLE

EXAMPLES = Path(__file__).parent / "examples"
ORDER = (
    *("chorale_memory", "memory_animation", "error_by_lag", "eigenvalues"),
    *("classify_vowels", "forecast", "anomaly_ecg"),
    *("swap_lstm", "pretrain", "continue_chorale", "data_parallel", "deploy_c"),
)


class ReadingOrder:
    """Order of the scripts in the gallery: that of `ORDER`, then all others by name."""

    def __init__(self, src_dir):
        self.src_dir = src_dir

    def __call__(self, filename):
        """The place of a script."""
        name = filename.removeprefix("plot_").removesuffix(".py")
        return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def reset(gallery_conf, fname):
    """Start every script with the same style, seed and number of threads."""
    matplotlib.use("agg")
    matplotlib.rcdefaults()
    matplotlib.rcParams.update(STYLE | {"figure.figsize": (6.4, 3.6), "figure.constrained_layout.use": True})
    torch.manual_seed(0)
    torch.set_num_threads(1)


def written_files(block, block_vars, gallery_conf):
    """Show the GIF and WAV files that a block has written into its folder, and remove them from there."""
    parts = []
    for path in sorted(EXAMPLES.glob("*.gif")):
        target = Path(next(block_vars["image_path_iterator"])).with_suffix(".gif")
        target.write_bytes(path.read_bytes())
        parts.append(figure_rst([str(target)], gallery_conf["src_dir"]))
        path.unlink()
    for path in sorted(EXAMPLES.glob("*.wav")):
        sound = base64.b64encode(path.read_bytes()).decode()
        parts.append(f'.. raw:: html\n\n    <audio controls src="data:audio/wav;base64,{sound}"></audio>\n')
        path.unlink()
    for path in EXAMPLES.glob("*.mid"):
        path.unlink()
    return "\n".join(parts)
