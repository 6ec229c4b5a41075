"""Kinds of run: a folder each, with its settings, its results and what computes it."""
