"""What every page uses and no app owns: htmx, errors, fields, words for numbers."""
