"""The directory for the running container's sockets and rendered files."""

import os
import tempfile
from pathlib import Path
from typing import NoReturn

FOLDER = Path(tempfile.gettempdir()) / "quay"
CA_BUNDLE = FOLDER / "ca.pem"
REGISTRY_SOCKET = FOLDER / "registry.sock"
WEB_SOCKET = FOLDER / "web.sock"
SYSTEM_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def prepare(bundle: Path) -> None:
    """Make the directory and the CA bundle: the system's CAs and those of extra_ca_certs."""
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    extra = bundle / "extra_ca_certs"
    certificates = [SYSTEM_CA_BUNDLE]
    if extra.is_dir():
        certificates += sorted(file for file in extra.iterdir() if file.is_file())
    CA_BUNDLE.write_bytes(b"\n".join(file.read_bytes() for file in certificates))


def name_server() -> str:
    """Return the address of the container's name server, in the notation of nginx."""
    lines = (line.split() for line in Path("/etc/resolv.conf").read_text().splitlines())
    found = next((words[1] for words in lines if words[:1] == ["nameserver"]), "127.0.0.1")
    return f"[{found}]" if ":" in found else found


def write(name: str, content: str) -> Path:
    """Write a rendered file, which may have secrets, readable for this user only."""
    file = FOLDER / name
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(content)
    return file


def become(*command: str) -> NoReturn:
    """Replace this process by a program, so that it gets the container's signals."""
    os.execvp(command[0], command)
