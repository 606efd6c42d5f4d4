"""
Classify vowels of unequal length
=================================

Nine speakers say two Japanese vowels; each utterance is a series of 12 cepstral coefficients, 7 to 29 steps long. The
task is to name the speaker. `MemoryClassifier` takes series of any length, and nothing is trained by gradient.
"""

import matplotlib.pyplot as plt
from sklearn.decomposition import PCA
from sklearn.metrics import ConfusionMatrixDisplay
from sktime.datasets import load_japanese_vowels

import linmem

# %%
# The data ship inside sktime (`pip install sktime`), as a list of data frames.

frames, labels = load_japanese_vowels(split="train", return_type="df-list")
train = [frame.to_numpy() for frame in frames]
frames, expected = load_japanese_vowels(split="test", return_type="df-list")
test = [frame.to_numpy() for frame in frames]
print(len(train), "training and", len(test), "test series; lengths", sorted({len(x) for x in train}))

# %%
# Fit and predict.

classifier = linmem.MemoryClassifier().fit(train, labels)
predicted = classifier.predict(test)
print(f"accuracy on the test split: {classifier.score(test, expected):.3f}")

fig, ax = plt.subplots(figsize=(4.6, 4.2))
ConfusionMatrixDisplay.from_predictions(expected, predicted, ax=ax, cmap="Blues", colorbar=False)
ax.grid(False)
ax.set(xlabel="predicted speaker", ylabel="speaker")
plt.show()

# %%
# The features alone, as input of any scikit-learn model: `MemoryFeatures` gives one row per series. Their first two
# principal components already separate some of the speakers.

features = linmem.MemoryFeatures(n_projections=500).fit_transform(train)
points = PCA(2).fit_transform(features)
print(features.shape)

fig, ax = plt.subplots()
for speaker in sorted(set(labels)):
    x, y = points[labels == speaker].T
    ax.plot(x, y, "o", label=speaker)
ax.set(xlabel="first component", ylabel="second component")
ax.legend(ncols=3, title="speaker")
plt.show()
