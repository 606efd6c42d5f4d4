"""A run is a folder: `directory.py` lists the files that it holds, `options.py` what a user can set.

`runner.py` loads the data, builds the model, trains and measures it; `load.py` gives the trained model back. `sweep`
executes many runs that share one study.
"""
