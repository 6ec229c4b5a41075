"""Train a policy on pairs without a reward model."""
