"""One matplotlib style for all figures: colours that colour-blind readers can tell apart, thin lines, no frame.

The colours are those of Okabe and Ito (2008), *Color Universal Design*. `STYLE` is a dictionary of matplotlib settings
for `matplotlib.rc_context(STYLE)` or `matplotlib.pyplot.style.use(STYLE)`.
"""

from __future__ import annotations

from typing import Any

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, AMBER, YELLOW, BLACK = "#56B4E9", "#E69F00", "#F0E442", "#000000"

STYLE: dict[Any, Any] = {
    # Quoted, because an unquoted # begins a comment in matplotlib's own style files.
    "axes.prop_cycle": f"cycler('color', ['{BLUE}', '{ORANGE}', '{GREEN}', '{PURPLE}', '{SKY}', '{AMBER}'])",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": "medium",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E5E5E5",
    "grid.linewidth": 0.6,
    "image.cmap": "viridis",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "font.size": 10,
}
