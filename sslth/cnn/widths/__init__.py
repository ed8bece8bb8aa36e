"""Widths for a wished error, time or size: a pilot, the error law, a frontier, a rehearsal."""
