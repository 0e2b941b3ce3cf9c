"""nginx, HAProxy and Caddy with the files of deploy/proxies, edited only at the places marked EDIT."""

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import httpx
import pytest

from tests.support.live_deployment import Program
from tests.support.settings import LOOPBACK, free_port

FOLDER = Path(__file__).parents[2] / "deploy/proxies"
FILES = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg", "caddy": "Caddyfile"}
"""By the name of the program, which is also the name of Debian's package."""
NAME = "localhost"
"""The server's name in tests."""


def needed(program: str) -> str:
    """Where a program is; without it the test is skipped, but fails in CI, which says that it must run."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])  # where Debian has nginx and HAProxy, and users do not look
    return shutil.which(program, path=path) or _missing(f"{program} is not installed (Debian's package {program})")


def _missing(why: str) -> NoReturn:
    if os.environ.get("CURBSIDE_PROXY_TESTS") == "required":
        pytest.fail(f"the tests of the proxies must run here: {why}")
    pytest.skip(f"no test of this proxy: {why}")


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate for `NAME`, its key, and both in one file."""

    chain: Path
    key: Path
    both: Path


class Proxy(Program):
    """One of the three before these upstreams, such as `127.0.0.1:8080`. Its files and its log are in `folder`."""

    def __init__(self, name: str, folder: Path, upstreams: Sequence[str], certificate: Certificate) -> None:
        self.name, self.port = name, free_port()
        self.url = f"https://{NAME}:{self.port}"
        self._program, self._certificate = needed(name), certificate
        self.file = folder / FILES[name]
        self.file.write_text(edited(name, _edits(name, folder, self.port, upstreams, certificate)))
        start = {
            "nginx": ["-c", f"{self.file}", "-e", f"{folder}/nginx.log", "-g", "daemon off;"],
            "haproxy": ["-db", "-f", f"{self.file}"],
            "caddy": ["run", "--adapter", "caddyfile", "--config", f"{self.file}"],
        }
        home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        super().__init__([self._program, *start[name]], home, folder / f"{name}.log")

    def check(self) -> "subprocess.CompletedProcess[str]":
        """What the program itself says of the file."""
        arguments = {
            "nginx": ["-t", "-c", f"{self.file}"],
            "haproxy": ["-c", "-f", f"{self.file}"],
            "caddy": ["validate", "--adapter", "caddyfile", "--config", f"{self.file}"],
        }
        return subprocess.run([self._program, *arguments[self.name]], check=False, capture_output=True, text=True)

    @property
    def trust(self) -> ssl.SSLContext:
        """A client's, that trusts this server's certificate alone."""
        return ssl.create_default_context(cafile=str(self._certificate.chain))

    def connect(self, source: str = LOOPBACK, *, http2: bool = False) -> ssl.SSLSocket:
        """A TLS connection from this address of the loopback range."""
        context = self.trust
        context.set_alpn_protocols(["h2" if http2 else "http/1.1"])
        plain = socket.create_connection((LOOPBACK, self.port), timeout=30, source_address=(source, 0))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(plain, server_hostname=NAME)

    def client(self) -> httpx.Client:
        """An honest client of it."""
        return httpx.Client(base_url=self.url, verify=self.trust, timeout=30)

    def stop(self) -> None:
        """End it and all its processes."""
        if self.is_running:
            self.terminate()
            self.wait()

    def _reports_ready(self) -> bool:
        try:
            self.connect().close()
        except OSError:
            return False
        return True


def edited(name: str, edits: dict[str, str]) -> str:
    """The file with these edits, each in a line that says EDIT or follows a comment that does."""
    lines = (FOLDER / FILES[name]).read_text().splitlines(keepends=True)
    for old, new in edits.items():
        found = [number for number, line in enumerate(lines) if old in line and _may_be_edited(lines, number)]
        assert found, f"no line of {FILES[name]} that may be edited holds {old!r}"
        for number in found:
            lines[number] = lines[number].replace(old, new)
    return "".join(lines)


def _may_be_edited(lines: list[str], number: int) -> bool:
    above = lines[number - 1].strip() if number else ""
    return "EDIT" in lines[number] or (above.startswith("#") and "EDIT:" in above)


def _edits(name: str, folder: Path, port: int, upstreams: Sequence[str], certificate: Certificate) -> dict[str, str]:
    """What a user edits, and what needs root: the user to become, and folders of the system."""
    between = {"nginx": "; server ", "haproxy": "\n    server another ", "caddy": " "}
    everywhere = {"hooks.example.com": NAME, "127.0.0.1:8080": between[name].join(upstreams)}
    if name == "nginx":
        others = "".join(f"{kind}_temp_path {folder}; " for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
        return everywhere | {
            "user www-data;": "user root;" if os.geteuid() == 0 else "",  # who else could not reach the test's folder
            "/run/nginx.pid": f"{folder}/pid",
            "/var/log/nginx/error.log": "stderr",
            "/var/log/nginx/curbside.log": "/dev/stderr",
            "client_body_temp_path /var/lib/nginx/body;": f"client_body_temp_path {folder}; {others}",
            "listen 443 ": f"listen {LOOPBACK}:{port} ",
            "/etc/ssl/curbside/fullchain.pem": str(certificate.chain),
            "/etc/ssl/curbside/privkey.pem": str(certificate.key),
        }
    if name == "haproxy":
        root = dict.fromkeys(("user haproxy", "group haproxy", "chroot /var/lib/haproxy"), "")
        return everywhere | root | {"bind :443": f"bind {LOOPBACK}:{port}", "/etc/haproxy/curbside.pem": str(certificate.both)}
    return everywhere | {
        ":443 {": f":{port} {{",
        "unix//var/lib/caddy/admin.sock": f"unix/{folder}/admin.sock",
        "bind 0.0.0.0": f"bind {LOOPBACK}",
        "/etc/caddy/curbside/fullchain.pem": str(certificate.chain),
        "/etc/caddy/curbside/privkey.pem": str(certificate.key),
    }


@contextmanager
def proxied(name: str, folder: Path, certificate: Certificate, *upstreams: str) -> Iterator[Proxy]:
    """A proxy that is ready; on leaving all its processes have ended."""
    proxy = Proxy(name, folder, upstreams, certificate)
    proxy.start()
    try:
        proxy.wait_until_ready()
        yield proxy
    finally:
        proxy.stop()
