"""Our solvers and other people's on the same instances: the grid, the pinned worker, the tables and the figures."""
