"""Many runs, one study: the space of runs, the list that processes share, and the sweep that does what is left."""
