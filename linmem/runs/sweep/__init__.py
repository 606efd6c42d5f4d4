"""Many runs in one study: the search space, the list of runs that processes share, and the loop over it."""
