"""Formats of spiking neurons."""
