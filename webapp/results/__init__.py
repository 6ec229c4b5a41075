"""The page of a run: its curves, numbers, samples and verdict."""
