"""All ways to a ticket side by side: cells, choices by validation, one table, findings and one page."""
