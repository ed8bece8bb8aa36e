"""Multidimensional random subset sum: the problem and its solvers. Knows no network."""
