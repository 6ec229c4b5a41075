"""SQLite as Django has it, but for how it waits."""
