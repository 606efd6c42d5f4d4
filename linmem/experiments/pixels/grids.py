"""Grids of `smnist` and `psmnist`: what each size of run tries. See `pixels` for what the names mean."""

from __future__ import annotations

from typing import Any

from linmem.estimators.readouts import POWERS

MLPS = [(100,), (100, 100), (100, 100, 100)]
ROWS = ["LSTM", "LMN-B, LAES", "LMN-B", "LMN-B, LAES, detach", "LMN-B, orthogonal", "LMN-B, detach"]
WIDE = {"widths": [1024, 1024], "input_dropout": 0.2, "dropout": 0.5}
NARROW = {"widths": [512, 512], "input_dropout": 0.1, "dropout": 0.3}


def grids(name: str) -> dict[str, dict[str, Any]]:
    """The grids of one set; `small` tries less on smnist, whose figures are the easier ones."""
    permuted = name == "psmnist"
    small_readouts = {
        "ridge": {"grid": {"alpha": [1.0]}},
        "logistic": {"grid": {"C": [4.0**-3, 4.0**-1]}},
        "linear_svm": {"grid": {"C": [4.0**-4]}, "pictures": 5_000, "seeds": 1},
        "svm": {"grid": {"C": [4.0], "gamma": ["scale"]}, "pictures": 10_000, "seeds": 1},
        "mlp": {"grid": {"hidden_layer_sizes": MLPS[:2]}},
    }
    wide = {"learning_rate": 1e-3, "batch_size": 128, "ema_decay": 0.999}
    return {
        "smoke": {
            "set": "digits",
            "seeds": 2,
            "fitted": 60,
            "sizes": [6, 16],
            "readouts": {
                "ridge": {"grid": {"alpha": [1.0, 10.0]}},
                "svm": {"grid": {"C": [1.0], "gamma": ["scale"]}, "pictures": 200, "seeds": 1},
                "mlp": {"grid": {"hidden_layer_sizes": [(10,)]}, "pictures": 200, "seeds": 1},
            },
            "deep": {
                "sizes": [16],
                "variants": [{"widths": [20], "input_dropout": 0.0, "dropout": 0.1}],
                "training": {"batch_size": 64, "max_epochs": 2},
            },
            "networks": {
                "data": "digits:100:40:40",
                "seeds": 1,
                "units": 8,
                "rows": ["LSTM", "LMN-B, LAES, detach"],
                "rates": [1e-3],
                "detach": [0.25],
                "epochs": 1,
                "memory_lr_scale": 0.1,
            },
        },
        "small": {
            "set": name,
            "seeds": 3,
            "fitted": 10_000,
            "sizes": [128, 468, 32] if permuted else [128, 32],
            "readouts": small_readouts,
            "deep": {
                "sizes": [128, 468] if permuted else [128],
                "variants": [NARROW],
                "training": wide | {"max_epochs": 15},
            },
            "networks": {
                "data": f"{name}:3000:500",
                "seeds": 1,
                "units": 128,
                "rows": ROWS if permuted else ROWS[:3],
                "rates": [1e-3, 1e-4],
                "detach": [0.25],
                "epochs": 4,
                "memory_lr_scale": 0.1,
            },
        },
        "paper": {
            "set": name,
            "seeds": 3,
            "fitted": 10_000,
            "sizes": [32, 64, 128, 256, 468],
            "readouts": {
                "ridge": {"grid": {"alpha": [1 / c for c in POWERS]}},
                "logistic": {"grid": {"C": POWERS}},
                "linear_svm": {"grid": {"C": POWERS}},
                "svm": {"grid": {"C": POWERS, "gamma": ["scale", *POWERS]}},
                "mlp": {"grid": {"hidden_layer_sizes": MLPS}},
            },
            "deep": {
                "sizes": [128, 256, 468],
                "variants": [NARROW, WIDE, WIDE | {"widths": [2048, 2048]}],
                "training": wide | {"max_epochs": 100},
            },
            "networks": {
                "data": name,
                "seeds": 3,
                "units": 128,
                "rows": ROWS,
                "rates": [1e-3, 1e-4],
                "detach": [0.1, 0.25, 0.5, 1.0],
                "orthogonality": [0.0, 1e-4, 1e-3, 1e-2, 1e-1],
                "epochs": 100,
                "memory_lr_scale": 0.1,
            },
        },
    }
