"""`python forked_trainer.py SOCKET FOLDER` asks for a trainer (tests/trainers.py), and ends as it does."""

import json
import os
import socket
import sys


def main(place: str, folder: str) -> None:
    """Ask for it with our environment and our input and output."""
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(place)
        question = {"folder": folder, "environment": dict(os.environ)}
        socket.send_fds(server, [json.dumps(question).encode()], [0, 1, 2])
        status = int(server.recv(100) or 1)
    if status < 0:
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])
