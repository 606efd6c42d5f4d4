"""
Error against lag for three lag decays
======================================

A memory of p numbers cannot hold the whole past. The lag decay γ decides which part it holds: in the error that the
closed form minimizes, the squared error at lag i has the weight γ²ⁱ.
"""

import matplotlib.pyplot as plt

import linmem

chorales = linmem.data.load("chorales:100")

fig, ax = plt.subplots()
for lag_decay in (1.0, 0.9, 0.5):
    memory = linmem.LinearAutoencoder(memory_size=50, lag_decay=lag_decay).fit(chorales.train)
    errors = memory.reconstruction_error(chorales.train, per_lag=True)
    ax.plot(errors[:50], label=f"γ = {lag_decay:g}, {memory.lags_} lags")
ax.set(xlabel="lag (steps back)", ylabel="relative error", ylim=(0, 1.05))
ax.legend()
plt.show()

# %%
# With γ = 1 all lags count alike, and the newest input is reconstructed hardly better than one of ten steps ago. With
# γ = 0.5 the last two or three inputs are reconstructed almost exactly, and the distant past is lost. 0.9 is between
# them. See :doc:`/guide/choosing_a_memory`.
