"""Policies and what they are made of: how they are loaded, tried, trained and saved."""
