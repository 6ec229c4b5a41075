"""Train a reward model on labels."""
