"""The interface from a Python program."""
