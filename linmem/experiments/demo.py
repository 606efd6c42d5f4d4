"""The demo: is a solved memory worth it? Three models learn Bach's chorales at equal effort, in minutes.

Each of LSTM, LMN-B and pretrained LMN-B gets the same data, optimizer, batch size, patience and number of epochs; the
validation split alone chooses the best epoch and the threshold; the test split is read once, for the table. What
differs between the models is in MODELS below and was chosen, for each by the same search, on the validation split
(`benchmarks/demo_search.py`).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from linmem import data, plots, runs, tables
from linmem.autoencoder import LinearAutoencoder
from linmem.experiments import continuation
from linmem.experiments.folders import figure
from linmem.model import ModelOptions
from linmem.run_folder import HISTORY, PretrainingOptions, RunOptions, write_json, write_text
from linmem.training import TrainingOptions
