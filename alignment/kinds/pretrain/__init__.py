"""Train a small model from nothing."""
