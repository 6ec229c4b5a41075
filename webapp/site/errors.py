"""Refusals: what a service will not do, in words for the person who asked."""


class Refusal(Exception):
    """Something is not possible now; the message says why and what to try."""
