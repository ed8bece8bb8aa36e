"""Data sets: the digits bundled with scikit-learn."""
