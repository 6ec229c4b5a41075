"""What a model wrote, shown to people: rendered once and stored, or as written where that would lose any of it."""
