"""The model lab: what happens to a model before and after it is aligned, and what that costs."""
