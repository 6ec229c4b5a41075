"""The machine that Attune runs on: its programs, its disk, and whether it answers."""
