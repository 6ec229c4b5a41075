"""What a run tells programs that people follow runs with; none of it can fail a run."""
