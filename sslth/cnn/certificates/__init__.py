"""How far a ticket and its target can be apart: proved above, attained below, stated for data."""
