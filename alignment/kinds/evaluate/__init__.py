"""Measure a policy against its reference."""
