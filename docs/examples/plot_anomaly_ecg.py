"""
Find an anomaly in an ECG
=========================

A detector learns how an electrocardiogram continues, and scores each sample as it arrives. Here half a second of
mains hum is added to a real recording.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import sktime

import linmem

# %%
# A recording of the MIT-BIH database, 360 samples per second; the file ships inside sktime. The first eight seconds
# have no fault.

file = Path(sktime.__file__).parent / "datasets" / "data" / "mitdb" / "mitdb.csv"
ecg = np.genfromtxt(file, delimiter=",", skip_header=1, usecols=0)
train, series = ecg[:3000], ecg[3000:].copy()
fault = slice(1900, 2080)
series[fault] += 0.1 * np.sin(2 * np.pi * 60 / 360 * np.arange(180))

# %%
# `update` takes one sample in constant time and memory, and gives the numbers of `score_samples`.

detector = linmem.MemoryAnomalyDetector().fit(train)
scores = detector.score_samples(series)
streamed = np.array([detector.update(x_t) for x_t in series])
print("largest difference between stream and batch:", abs(scores - streamed).max())

# %%
# A heart beat is a short peak of the score. The fault is a long one, so we average over half a second.

smooth = np.convolve(scores, np.ones(180) / 180, mode="same")
print(
    f"largest mean score: {smooth.max():.1f} at sample {smooth.argmax()}; the fault is at {fault.start} to {fault.stop}"
)

seconds = np.arange(len(series)) / 360
fig, (top, bottom) = plt.subplots(2, 1, sharex=True, figsize=(8, 4))
top.plot(seconds, series, linewidth=0.8)
bottom.plot(seconds, smooth)
for ax in (top, bottom):
    ax.axvspan(fault.start / 360, fault.stop / 360, color="#D55E00", alpha=0.2, label="fault")
top.set(ylabel="millivolt")
bottom.set(xlabel="seconds", ylabel="mean score")
top.legend()
plt.show()
