"""The history matrix as an operator: in memory, out of core, or distributed over processes. It is never built."""
