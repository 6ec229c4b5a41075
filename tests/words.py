"""The words that the tiny tokenizer knows, for tests that load none."""

WORDS = ["good", "bad", "day", "night", "sun", "rain", "please", "now", "a", "b"]
