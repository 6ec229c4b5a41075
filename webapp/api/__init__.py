"""The interface for programs: tokens, and what pages do as JSON."""
