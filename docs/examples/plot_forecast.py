"""
Forecast airline passengers
===========================

`MemoryForecaster` chooses transform, differences and lag decay by rolling-origin validation on the last 40 % of the
series, and solves the rest. Intervals come from its validation errors.
"""

import matplotlib.pyplot as plt
import numpy as np
from sktime.datasets import load_airline

import linmem

passengers = load_airline().to_numpy()  # 144 months; the data ship inside sktime
train, test = passengers[:-24], passengers[-24:]

forecaster = linmem.MemoryForecaster(horizon=24).fit(train)
forecast = forecaster.predict(24)
lower, upper = forecaster.predict_interval(24, coverage=0.9)

naive = train[-12:][np.arange(24) % 12]  # the value of the same month in the last year
for name, values in {"seasonal naive": naive, "memory": forecast}.items():
    print(f"mean absolute error, {name}: {abs(values - test).mean():.1f} thousand passengers")
print(f"share of the months inside the 90 % interval: {((lower <= test) & (test <= upper)).mean():.2f}")

fig, ax = plt.subplots()
months = np.arange(144)
ax.plot(months[60:], passengers[60:], color="#555555", label="observed")
ax.plot(months[-24:], forecast, label="forecast")
ax.fill_between(months[-24:], lower, upper, alpha=0.2, label="90 % interval")
ax.set(xlabel="month", ylabel="passengers (thousands)")
ax.legend()
plt.show()

# %%
# One split says little about a method. :doc:`/guide/estimators` has the errors of 20 origins on four series, and the
# measured coverage, which is lower than 90 % on this one.
