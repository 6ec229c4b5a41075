"""A secret that a program hands to the one it starts: through a pipe, so that no environment or command line shows it."""

import os
from functools import cache

KEY = "ATTUNE_GENERATION_KEY"  # in the environment of a worker: what servers of models ask for
HANDLE = "ATTUNE_KEY_HANDLE"  # in the environment of who is started: the pipe's end that it reads
MOST = 4096  # bytes, which a pipe takes without anybody reading


def hand_over(secret: str) -> int:
    """The end to read of a pipe with the secret in it; whoever is started inherits it by this number."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(secret.encode()[:MOST])
    return reading


@cache
def handed_over() -> str:
    """The secret that we were started with, read once; empty where there is none."""
    if not (handle := os.environ.pop(HANDLE, "")):
        return ""
    with os.fdopen(int(handle)) as pipe:
        return pipe.read()
