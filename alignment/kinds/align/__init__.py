"""Align a policy to a target by its own completions."""
