"""One file a result: what is run, what is kept, how it is shown. Tables and pictures come from what was kept."""
