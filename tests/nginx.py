"""The machine's nginx, with the configuration that docs/operations.md tells people to use."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.postgres import free_port

GUIDE = Path(__file__).parent.parent / "docs" / "nginx.conf"
NAME = "attune.example"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
AROUND = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{}}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/attune.conf;
}}
"""
CERTIFICATE = (
    "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
    "-days", "2", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}",
)  # fmt: skip


class Proxy(NamedTuple):
    """A running one: its ports, and the folder of its logs."""

    plain: int
    secure: int
    folder: Path

    @property
    def url(self) -> str:
        """What people open."""
        return f"https://{NAME}:{self.secure}"

    def logs(self) -> str:
        """All that it wrote."""
        return "".join(path.read_text() for path in self.folder.glob("*.log"))


def configured(folder: Path, upstream: int) -> Proxy:
    """The guide's file, with what it says has to be replaced, and ports that anybody may have."""
    proxy = Proxy(free_port(), free_port(), folder)
    text = GUIDE.read_text()
    for name, value in {
        "127.0.0.1:8000": f"127.0.0.1:{upstream}",
        "/etc/ssl/attune": str(folder),
        "/var/log/nginx": str(folder),
        "listen 80;": f"listen 127.0.0.1:{proxy.plain};",
        "listen 443 ssl": f"listen 127.0.0.1:{proxy.secure} ssl",
        "    listen [::]:80;\n": "",
        "    listen [::]:443 ssl http2;\n": "",
    }.items():
        assert name in text, name
        text = text.replace(name, value)
    (folder / "attune.conf").write_text(text)
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder))
    keys = ("-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem")
    subprocess.run([*CERTIFICATE, *keys], check=True, capture_output=True)
    return proxy


@contextmanager
def before(folder: Path, upstream: int) -> Iterator[Proxy]:
    """nginx before what answers on a port of this machine; the test is left out where there is none."""
    if NGINX is None:
        pytest.skip("nginx: not installed")
    proxy = configured(folder, upstream)
    user = ["-g", "user root;"] if os.geteuid() == 0 else []
    program = subprocess.Popen([NGINX, "-p", folder, "-c", folder / "nginx.conf", *user])
    try:
        end = time.monotonic() + 30
        while not (folder / "nginx.pid").exists() or not (folder / "nginx.pid").read_text():
            assert program.poll() is None, (folder / "error.log").read_text()
            assert time.monotonic() < end
            time.sleep(0.02)
        yield proxy
    finally:
        program.terminate()
        program.wait(20)
