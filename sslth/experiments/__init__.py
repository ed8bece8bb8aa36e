"""Experiments: grids of cells, the store that keeps their results, and the tables, figures and pages made of it."""
