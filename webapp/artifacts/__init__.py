"""Stored folders by hash, and what they were made from."""
