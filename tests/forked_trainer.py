"""`python forked_trainer.py SOCKET FOLDER` asks for a trainer (tests/trainers.py), and ends as it does.

With `answer HANDLE …` instead of a folder it asks for the program that answers at once, through that socket.
"""

import json
import os
import socket
import sys


def main(place: str, folder: str, *answering: str) -> None:
    """Ask for it with our environment and our input and output."""
    files, arguments = [0, 1, 2], ["run", folder]
    if folder == "answer":  # its socket is the first of its files that comes behind these
        files, arguments = [*files, int(answering[0])], ["answer", "3", *answering[1:]]
        folder = os.curdir
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(place)
        question = {"folder": folder, "environment": dict(os.environ), "arguments": arguments}
        socket.send_fds(server, [json.dumps(question).encode()], files)
        for handle in files[3:]:
            os.close(handle)  # it is the program's alone: its end is heard
        status = int(server.recv(100) or 1)
    if status < 0:
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])
