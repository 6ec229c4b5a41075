"""Divergences, estimators and losses: tensors and numbers in, tensors and numbers out."""
