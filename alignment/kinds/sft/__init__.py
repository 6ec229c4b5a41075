"""Imitate answers."""
