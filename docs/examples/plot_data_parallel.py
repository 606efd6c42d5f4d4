"""
One fit on two processes
========================

Each worker reads its own sequences, and all end with the same autoencoder: the Gram matrix of the histories is a sum
over sequences, so one all-reduce is enough. The same command works across machines.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

import linmem

# %%
# The worker's script:

print(Path("fit_shards.py").read_text())

# %%
# Run it with two workers.

folder = Path(tempfile.mkdtemp())
command = ["torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
finished = subprocess.run(
    [sys.executable, "-m", *command, "fit_shards.py", str(folder / "shared")],
    capture_output=True,
    text=True,
    check=True,
)
print(finished.stdout)
shared = linmem.LinearAutoencoder.load(folder / "shared")

# %%
# One process with all sequences finds the same memory up to rounding.

alone = linmem.LinearAutoencoder(memory_size=50, lag_decay=0.9).fit(linmem.data.load("chorales").train)
difference = abs(shared.singular_values_ - alone.singular_values_).max() / alone.singular_values_[0]
print(f"largest difference of the singular values, relative to the first: {difference:.1e}")

fig, ax = plt.subplots()
ax.plot(range(1, 51), alone.singular_values_, label="one process")
ax.plot(range(1, 51), shared.singular_values_, "o", label="two processes")
ax.set(xlabel="direction", ylabel="singular value", yscale="log")
ax.legend()
plt.show()
