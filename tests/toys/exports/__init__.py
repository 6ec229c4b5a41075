"""Toy formats of export, a folder each."""
