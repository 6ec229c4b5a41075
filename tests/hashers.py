"""Passwords of tests, which have nothing to protect."""

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class QuickHasher(PBKDF2PasswordHasher):
    """Production's format, which other processes read, at a millionth of its cost."""

    iterations = 1
