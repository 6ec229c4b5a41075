"""Rows that people bring: how each kind is recognised, what is read of it, and a word for what is not.

Torch-free, and the one reader of them: of the web app's imports and of the command line. `formats.py` lists
the kinds; each is a module.
"""
