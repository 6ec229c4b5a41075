"""Settings that several kinds of run share."""
