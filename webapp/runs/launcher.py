"""Become a trainer that dies with its supervisor. Run by path, before any of our packages is imported.

`python launcher.py PARENT COMMAND…`; PDEATHSIG survives exec, and is tied to the thread that forked.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel for SIGKILL when the parent dies, then become the command."""
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # it died before we could ask
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - the command of settings.TRAINER_COMMAND


if __name__ == "__main__":
    main()
