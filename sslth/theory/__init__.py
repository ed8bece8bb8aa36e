"""What the papers state: bounds, moments, floors. NumPy and SciPy only."""
