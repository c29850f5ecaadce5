"""Compiled loops of integers."""
