"""Training: `loop.py` is the training loop.

A task (`tasks.py`) turns a data set into inputs and targets, and names loss and metrics (`metrics.py`). `batching.py`
makes batches, `checkpoint.py` keeps the state of training, `pretraining.py` initializes an LMN in closed form, and
`solved.py` fits models of which only the readout is trained.
"""
