"""Kinds that only tests know, to show that a kind is added by one folder."""
