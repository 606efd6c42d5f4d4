"""
The memory of a chorale
=======================

A linear autoencoder reads a chorale and keeps 100 numbers. From the numbers after the last step it decodes the whole
piece again: the recent past well, the distant past less well.
"""

import matplotlib.pyplot as plt

import linmem
from linmem.reporting.figures import error_per_step, piano_roll

# %%
# Bach's chorales are piano rolls (T, 88): one row per quarter note, one column per key. They are inside the package.

chorales = linmem.data.load("chorales")
memory = linmem.LinearAutoencoder(memory_size=100).fit(chorales.train)
print(chorales)
print(f"relative error {memory.training_error_:.3f}, lowest possible with 100 numbers {memory.optimal_error_:.3f}")

# %%
# `encode` gives the state after every step. `decode` goes back in time from one state.

chorale = chorales.test[0]
states = memory.encode([chorale])[0]
past = memory.decode(states[-1:], length=len(chorale))[0]
print(tuple(chorale.shape), "→", tuple(states[-1].shape), "→", tuple(past.shape))

fig, (top, middle, bottom) = plt.subplots(3, 1, figsize=(6.4, 6.4), sharex=True)
piano_roll(top, chorale, notes=(20, 60))
piano_roll(middle, past.clamp(0, 1), notes=(20, 60))
error_per_step(bottom, ((chorale - past) ** 2).sum(1))
top.set(title="the chorale", xlabel="")
middle.set(title="decoded from the state after its last step", xlabel="")
for ax in (top, middle):
    ax.grid(False)
plt.show()
