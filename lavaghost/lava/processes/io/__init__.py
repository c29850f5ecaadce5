"""Lava processes that bring samples in and outputs back."""
