"""Published figures for table 2: frame accuracy and likelihood on the four sets."""

from __future__ import annotations

from collections.abc import Mapping

# Frame accuracy % on test [L18, table 2; its RNN-RBM is B12's expected accuracy].
_ROWS = ("RNN", "pret-RNN", "LSTM", "RNN-RBM", "LMN-A", "LMN-B", "pret-LMN-B")
ACCURACY: Mapping[str, Mapping[str, float]] = {
    "jsb_chorales": dict(zip(_ROWS, (31.00, 30.55, 32.64, 33.12, 30.61, 33.98, 34.49), strict=True)),
    "muse_data": dict(zip(_ROWS, (35.02, 35.47, 34.40, 34.02, 33.15, 35.56, 35.66), strict=True)),
    "nottingham": dict(zip(_ROWS, (72.29, 71.70, 72.45, 75.40, 71.16, 72.71, 74.16), strict=True)),
    "piano_midi": dict(zip(_ROWS, (26.52, 27.31, 25.08, 28.92, 26.69, 28.00, 28.79), strict=True)),
}
# NLL in nats per frame [RNN, LSTM and GRU on JSB and Nottingham: Bai 2018; the rest: B12].
NLL: Mapping[str, Mapping[str, float]] = {
    "jsb_chorales": {"RNN": 8.91, "LSTM": 8.45, "GRU": 8.43, "RNN-RBM": 6.27},
    "nottingham": {"RNN": 4.05, "LSTM": 3.29, "GRU": 3.46, "RNN-RBM": 2.39},
    "piano_midi": {"RNN": 8.37, "RNN-RBM": 7.09},
    "muse_data": {"RNN": 8.13, "RNN-RBM": 6.01},
}
# NLL of other networks with independent notes [TCN: Bai 2018; RRU and its LSTM and GRU, at most 5 million weights and
# 100 search runs each: arXiv 2108.00527, test pieces cut to windows of 200 frames].
OTHERS: Mapping[str, Mapping[str, float]] = {
    "jsb_chorales": {"TCN": 8.10, "RRU": 7.72, "RRU's LSTM": 8.33, "RRU's GRU": 8.20},
    "nottingham": {"TCN": 3.07, "RRU": 2.92, "RRU's LSTM": 3.25, "RRU's GRU": 3.22},
    "muse_data": {"RRU": 7.03, "RRU's LSTM": 7.24, "RRU's GRU": 7.31},
    "piano_midi": {"RRU": 7.38, "RRU's LSTM": 7.54, "RRU's GRU": 7.58},
}
