"""Classifiers: which texts they learn from, the model, and how well it tells classes."""
