"""Logs without secrets: the tokens of one-time links are left out of every line."""

import logging
import re
from urllib.parse import unquote

LINK = re.compile(r"(/(?:setup|join|reset)/)[^/\s?#\"']+")


def without_tokens(line: str) -> str:
    """The line with every one-time link cut after its purpose, however its address is written."""
    plain = unquote(line)
    cut = LINK.sub(r"\1…", plain)
    if cut == plain:
        return line
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "?" for sign in cut)


class PlainFormatter(logging.Formatter):
    """Writes records, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        """One entry."""
        return without_tokens(super().format(record))
