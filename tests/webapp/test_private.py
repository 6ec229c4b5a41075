"""What Attune writes is read by nobody else on its machine."""

import os
import stat
import subprocess
import sys
from importlib import reload
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.forks import Fork
from webapp import settings as program

LISTS = "import os, sys; os.setuid(65534); print(os.listdir(sys.argv[1]))"


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def folder():
    """Below a folder that everybody may enter, which those of pytest are not."""
    with TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        yield Path(place) / "var"


def start(folder):
    """What every program does first, where others may read what is written by default."""
    assert Fork(lambda: begin(folder)).wait() == 0


def begin(folder):
    """Read the settings as a program does, and write."""
    os.umask(0o022)
    os.environ["ATTUNE_VAR"] = str(folder)
    logs = reload(program).VAR / "logs"
    logs.mkdir()
    (logs / "web.log").write_text("said")


def test_a_new_folder_and_all_in_it_is_private(folder):
    start(folder)
    found = [folder, folder / "logs", folder / "logs" / "web.log", folder / "secret_key"]
    assert [mode(path) for path in found] == [0o700, 0o700, 0o600, 0o600]


def test_a_folder_of_before_is_closed(folder):
    folder.mkdir()
    folder.chmod(0o755)
    start(folder)
    assert mode(folder) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_cannot_list_it(folder):
    folder.mkdir()
    folder.chmod(0o755)
    ask = [sys.executable, "-I", "-S", "-c", LISTS, str(folder)]
    assert subprocess.run(ask, capture_output=True, check=False).returncode == 0
    start(folder)
    refused = subprocess.run(ask, capture_output=True, text=True, check=False)
    assert "PermissionError" in refused.stderr


def test_a_folder_that_others_share_stays_open(folder):
    folder.mkdir()
    folder.chmod(0o1777)
    start(folder)
    assert mode(folder) == 0o1777
    assert mode(folder / "logs") == 0o700


def test_programs_that_start_at_once_share_one_key(tmp_path, monkeypatch):
    """The second starts while the first draws; neither reads half a key, and the first's is not kept apart."""
    draw, drawn = program.secrets.token_urlsafe, []

    def draw_beside_another(size):
        if not drawn:
            drawn.append(draw(size))
            drawn.append(program.secret_key(tmp_path))
            return drawn[0]
        return draw(size)

    monkeypatch.setattr(program.secrets, "token_urlsafe", draw_beside_another)
    key = program.secret_key(tmp_path)
    assert key == drawn[1] == program.secret_key(tmp_path) != drawn[0]
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]
