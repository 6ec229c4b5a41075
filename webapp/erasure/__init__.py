"""Erasing a person's data: what would go, who may ask for it, the work, and where copies are left."""
