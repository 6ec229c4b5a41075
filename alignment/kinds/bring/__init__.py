"""Bring somebody's own model."""
