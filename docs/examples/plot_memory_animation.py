"""
A memory fills and fades while a chorale plays
==============================================

The picture moves with the music: above, what a memory of 60 units with lag decay 0.95 remembers after each step of
the chorale; below, its 60 numbers. New chords enter on the right, and old ones fade.
"""

import matplotlib.pyplot as plt
import torch
from matplotlib.animation import FuncAnimation, PillowWriter

import linmem

chorales = linmem.data.load("chorales:120")
memory = linmem.LinearAutoencoder(memory_size=60, lag_decay=0.95).fit(chorales.train)

chorale = chorales.test[0][:48]
states = memory.encode([chorale])[0]
shown = 32  # steps of the past in each frame
pasts = memory.decode(states, length=shown)
played = torch.cat([torch.zeros(shown, chorale.shape[1]), chorale])

# %%
# One frame per quarter note.

low, high = 20, 60
fig, (top, middle, bottom) = plt.subplots(3, 1, figsize=(5.6, 4.8), height_ratios=(3, 3, 2))
extent = (-shown + 0.5, 0.5, low + 20.5, high + 21.5)
options = {"origin": "lower", "aspect": "auto", "cmap": "Greys", "vmin": 0, "vmax": 1, "extent": extent}
sound = top.imshow(played[:shown, low : high + 1].T, **options)
decoded = middle.imshow(pasts[0, :, low : high + 1].T, **options)
bars = bottom.bar(range(60), states[0].numpy(), color="#0072B2")
limit = float(states.abs().max())
top.set(title="played", ylabel="MIDI note")
middle.set(title="remembered", xlabel="steps back", ylabel="MIDI note")
bottom.set(title="the memory: 60 numbers", ylim=(-limit, limit), xticks=[])
for ax in (top, middle, bottom):
    ax.grid(False)


def draw(step):
    """Draw the memory after a step."""
    sound.set_data(played[step + 1 : step + 1 + shown, low : high + 1].T)
    decoded.set_data(pasts[step, :, low : high + 1].T)
    for bar, value in zip(bars, states[step].tolist(), strict=True):
        bar.set_height(value)


FuncAnimation(fig, draw, frames=len(chorale)).save("memory.gif", writer=PillowWriter(fps=3), dpi=80)
plt.close(fig)

# %%
# The same 16 seconds as sound:

from linmem.data.midi import to_score  # noqa: E402
from linmem.music.audio import synthesize, write_wav  # noqa: E402

write_wav(synthesize(to_score(chorale), tempo=180, rate=11_025), "chorale.wav", rate=11_025)
