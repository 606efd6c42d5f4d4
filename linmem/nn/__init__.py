"""PyTorch modules: Linear Memory Networks, related networks, their initialization, and the models built from them.

`lmn.py` holds the layer `LMN`; its two equations, as code, are `step` in `scan/lmn_equations.py`, and `scan` computes
them fast. `registry.py` lists all models by name: a new one is one builder and one row there. A model of a run is a
recurrent layer with a readout (`sequence_model.py`). `initialize.py` fills layers with solved weights.
"""
