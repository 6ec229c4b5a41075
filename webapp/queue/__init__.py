"""Work that waits, and the one worker that has it: what jobs and runs have in common."""
