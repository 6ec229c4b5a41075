"""Align several divergences from one pool of completions."""
