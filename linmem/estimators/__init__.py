"""Estimators with scikit-learn's interface, solved in closed form: `features.py`, `classifier.py`, `regressor.py`,
`forecaster.py` and `anomaly.py` hold one public class each; the other files are their parts.
"""
