"""Running an installation: all programs at once, backups."""
