"""Answer prompts."""
