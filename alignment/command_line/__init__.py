"""Commands with their options, rows from files, and what a terminal is told."""
