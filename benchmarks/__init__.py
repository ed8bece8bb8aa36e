"""Slow studies and timings; nothing here is a test."""
