"""
Pretrain and fine-tune
======================

An LMN can start from a memory that is solved in closed form [L18]: train an unfolded network, fit a linear
autoencoder to its hidden states, copy both. `linmem.pretrain` takes these three steps.
"""

import matplotlib.pyplot as plt
import torch
from torch import nn

import linmem
from linmem.nn.sequence_model import SequenceModel
from linmem.training.options import TrainingOptions
from linmem.training.tasks import NextFrame

chorales = linmem.data.load("chorales:120:40:40")
inputs = [x[:-1] for x in chorales.train]
targets = [x[1:] for x in chorales.train]
options = TrainingOptions(learning_rate=3e-3, max_epochs=15, patience=15)


def new_model():
    """An LMN with a linear readout, the same initial weights each time."""
    torch.manual_seed(0)
    lmn = linmem.LMN(88, 50, 100, nonlinearity="relu", batch_first=True, limit_norms=False)
    return SequenceModel(lmn, nn.Linear(100, 88))


# %%
# From random weights, and from a solved memory. `memory_decay` multiplies W_mm: 1 is the paper's value.

curves = {}
model = new_model()
curves["random start"] = linmem.train(model, chorales, NextFrame(), options)

model = new_model()
steps = linmem.pretrain(
    model.recurrent, model.readout, inputs, targets, lags=4, nonlinearity="relu", memory_decay=0.3, options=options
)
print("singular values of the autoencoder:", steps.autoencoder.singular_values_[:4])
curves["pretrained"] = linmem.train(model, chorales, NextFrame(), options)

# %%
# The validation loss by epoch of the fine-tuning:

fig, ax = plt.subplots()
for name, history in curves.items():
    losses = [epoch.valid_loss for epoch in history.epochs]
    ax.plot(range(1, len(losses) + 1), losses, label=f"{name}: best {min(losses):.2f}")
ax.set(xlabel="epoch", ylabel="NLL on valid (nats per frame)")
ax.legend()
plt.show()

# %%
# A small training set and one seed; the pretraining's own 15 epochs come on top. :doc:`/guide/training` has the
# search with which the options of `make demo` were chosen.
