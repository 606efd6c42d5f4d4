"""L18's table 2: the models on the four sets of polyphonic music; the experiments are table2_paper and table2_fair."""
