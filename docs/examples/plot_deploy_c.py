"""
Deploy an anomaly detector as C
===============================

`linmem export` writes a fitted estimator or a network as one C file without dependencies, for microcontrollers. Here it
is compiled for this machine and fed one sample at a time.
"""

import ctypes
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import linmem

random = np.random.default_rng(0)
series = np.sin(0.3 * np.arange(600)) + 0.1 * random.standard_normal(600)
series[450] += 1.5
detector = linmem.MemoryAnomalyDetector(memory_size=8).fit(series[:300])

# %%
# Save it, and export it. The command compares the C program with Python before it ends, where there is a C compiler.

folder = Path(tempfile.mkdtemp())
detector.save(folder / "detector")
command = [sys.executable, "-m", "linmem", "export", str(folder / "detector"), "--format", "c", "--name", "detector"]
print(subprocess.run([*command, "--out", str(folder)], capture_output=True, text=True, check=True).stdout)
print((folder / "detector.h").read_text())

# %%
# Compile it as a library and call it.

compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
scores = detector.score_samples(series)
fig, ax = plt.subplots()
ax.plot(scores, label="Python")
if compiler:
    library = folder / "detector.so"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", folder / "detector.c", "-o", library, "-lm"], check=True)
    program, output = ctypes.CDLL(str(library)), (ctypes.c_float * 1)()
    program.detector_reset()
    from_c = np.empty(len(series))
    for step, value in enumerate(series):
        program.detector_step((ctypes.c_float * 1)(value), output)
        from_c[step] = output[0]
    print(f"largest difference, relative to the largest score: {abs(from_c - scores).max() / scores.max():.1e}")
    ax.plot(from_c, ".", label="C, single precision")
else:
    print("no C compiler on this machine")
ax.set(xlabel="step", ylabel="anomaly score")
ax.legend()
plt.show()
