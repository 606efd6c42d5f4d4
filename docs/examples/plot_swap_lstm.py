"""
Swap nn.LSTM for an LMN
=======================

`linmem.LMN` takes the place of `torch.nn.LSTM` in a training loop. Both read 8 × 8 images of digits pixel by pixel.
"""

import time

import matplotlib.pyplot as plt
import torch
from torch import nn

import linmem

digits = linmem.data.load("digits")
x = {split: torch.stack(getattr(digits, split)) for split in ("train", "test")}  # (n, 64, 1)
labels = {split: torch.as_tensor(digits.labels[split]) for split in ("train", "test")}


# %%
# Nothing in this loop knows which layer it trains.


class Classifier(nn.Module):
    """A recurrent layer, and a linear readout of its output after the last step."""

    def __init__(self, layer, width):
        super().__init__()
        self.layer, self.readout = layer, nn.Linear(width, 10)

    def forward(self, x):
        """Logits of the classes, (B, 10)."""
        outputs, _ = self.layer(x)
        return self.readout(outputs[:, -1])


def fit(model, epochs=12):
    """Train with Adam; returns the accuracy on the test split after each epoch."""
    optimizer, accuracies = torch.optim.Adam(model.parameters(), lr=3e-3), []
    for _ in range(epochs):
        model.train()
        for batch in torch.randperm(len(labels["train"])).split(32):
            loss = nn.functional.cross_entropy(model(x["train"][batch]), labels["train"][batch])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        model.eval()
        with torch.no_grad():
            accuracies.append((model(x["test"]).argmax(1) == labels["test"]).float().mean().item())
    return accuracies


# %%
# The swap:

layers = {
    "nn.LSTM(1, 96)": (nn.LSTM(1, 96, batch_first=True), 96),
    "LMN(1, 32, 64)": (linmem.LMN(1, 32, 64, batch_first=True), 64),
    'LMN(1, 32, 64, memory="diagonal")': (linmem.LMN(1, 32, 64, memory="diagonal", batch_first=True), 64),
}

fig, ax = plt.subplots()
for name, (layer, width) in layers.items():
    torch.manual_seed(0)
    began = time.process_time()
    accuracies = fit(Classifier(layer, width))
    weights = sum(p.numel() for p in layer.parameters())
    print(f"{name}: {weights:,} weights, {time.process_time() - began:.1f} s, accuracy {accuracies[-1]:.3f}")
    ax.plot(range(1, 13), accuracies, label=name)
ax.set(xlabel="epoch", ylabel="accuracy on test", ylim=(0, 1))
ax.legend()
plt.show()

# %%
# One seed, one learning rate and few epochs: this shows how to swap the layers, not which of them is better. Measured
# comparisons are in :doc:`/reproduction`.
