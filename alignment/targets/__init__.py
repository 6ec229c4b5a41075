"""What a policy is brought to: rewards, rules, wished means."""
