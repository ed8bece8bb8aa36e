"""Compiled loops on arrays: no checks, no classes, no printing."""
