"""Texts with classes: files that classifiers learn from."""
