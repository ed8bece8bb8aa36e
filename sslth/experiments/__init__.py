"""Experiments: grids of cells, the store of their results, and the tables, figures and pages made of it."""
