"""Drawing completions, and the log-probabilities of completions."""
