"""
Eigenvalues of solved memories
==============================

The eigenvalues of B say how a memory forgets: their modulus is the share that is left after one step, their angle a
frequency. A lag decay γ keeps all of them inside the circle of radius γ, so the memory is stable at any length.
"""

import matplotlib.pyplot as plt
import numpy as np

import linmem

chorales = linmem.data.load("chorales:120")
circle = np.exp(1j * np.linspace(0, 2 * np.pi, 200))

fig, axes = plt.subplots(1, 3, figsize=(9, 3.2), sharex=True, sharey=True)
for ax, lag_decay in zip(axes, (1.0, 0.9, 0.5), strict=True):
    memory = linmem.LinearAutoencoder(memory_size=50, lag_decay=lag_decay).fit(chorales.train)
    eigenvalues = np.linalg.eigvals(memory.B_.numpy())
    ax.plot(lag_decay * circle.real, lag_decay * circle.imag, color="#999999", linewidth=1)
    ax.plot(eigenvalues.real, eigenvalues.imag, "o")
    ax.set(title=f"γ = {lag_decay:g}: largest modulus {abs(eigenvalues).max():.3f}", aspect="equal", xlabel="real part")
axes[0].set_ylabel("imaginary part")
plt.show()
