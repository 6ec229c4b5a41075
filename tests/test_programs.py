"""Programs that are forked stand where fresh ones would."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.programs import Loaded

TELL = """
    import json, os, sys
    from django.conf import settings
    told = {
        "environment": dict(os.environ), "arguments": sys.argv, "parent": os.getppid(), "session": os.getsid(0),
        "folder": os.getcwd(), "settings": settings.configured, "torch": "torch" in sys.modules,
        "celery": "celery" in sys.modules, "handle": os.read(int(sys.argv[1]), 9).decode(),
        "open": sorted(int(name) for name in os.listdir("/proc/self/fd")),
    }
    print(json.dumps(told), flush=True)
    sys.stdin.read()
    sys.exit(3)
"""


@pytest.fixture
def begin(loaded, tmp_path):
    """Start a program of these lines; what it says is in a file."""

    def start(lines, *arguments, handles=(), **environment):
        (tmp_path / "program.py").write_text(dedent(lines))
        command = (sys.executable, str(tmp_path / "program.py"), *arguments)
        with (tmp_path / "said").open("wb") as said:
            return loaded.start(command, environment, said.fileno(), handles)

    return start


def test_it_is_where_it_was_told_and_ends_when_we_are_gone(begin, tmp_path):
    reading, writing = os.pipe()
    os.write(writing, b"handed")
    program = begin(TELL, str(reading), handles=[reading], NAME="value")
    program.stdin.close()
    assert program.wait(30) == program.poll() == 3
    told = json.loads((tmp_path / "said").read_text())
    assert told["environment"] == {"NAME": "value"}
    assert told["arguments"] == [str(tmp_path / "program.py"), str(reading)]
    assert (told["parent"], told["session"]) == (os.getpid(), program.pid)
    assert (told["folder"], told["handle"]) == (str(Path.cwd()), "handed")
    assert (told["settings"], told["torch"], told["celery"]) == (False, False, True)
    assert {0, 1, 2, reading} <= set(told["open"])
    assert len(told["open"]) == 5  # and the list of them
    for handle in (reading, writing):
        os.close(handle)


def test_it_is_waited_for_and_signalled(begin):
    program = begin("import sys; sys.stdin.read()")
    with pytest.raises(subprocess.TimeoutExpired):
        program.wait(0.01)
    assert program.poll() is None
    program.terminate()
    assert program.wait() == -signal.SIGTERM
    program.terminate()  # it has ended: nobody else is meant
    assert program.poll() == -signal.SIGTERM


def test_who_loads_ends_with_us():
    loaded = Loaded()
    loaded.end()
    assert loaded.program.returncode == 0
