"""The three processes of a running container, kept by supervisord as in Quay."""

import os
from pathlib import Path
from string import Template
from typing import NoReturn

import yaml

from standin import drivers, runtime, storage, version
from standin.config import Settings

# One of Quay's worker processes serves about what eight threads do here.
THREADS = 8

SUPERVISOR = """\
[supervisord]
nodaemon = true
logfile = /dev/null
logfile_maxbytes = 0
loglevel = error
silent = true
pidfile = $folder/supervisord.pid

[program:registry]
command = docker-registry serve $registry
environment = SSL_CERT_FILE="$ca_bundle"
priority = 10
$common

[program:web]
# As in Quay, the application is made once, and its workers share what it has opened.
command = gunicorn --bind unix:$web_socket --preload --workers $workers --worker-class gthread
    --threads $threads --timeout 120 --graceful-timeout 5 --worker-tmp-dir /dev/shm
    --log-level warning "standin.web:create_app()"
priority = 20
$common

[program:nginx]
command = nginx -c $nginx
# As in Quay, nginx gets TERM, which cuts what is under way.
priority = 30
$common
"""
COMMON = """\
startretries = 1000000
stopwaitsecs = 6
stdout_logfile = /dev/stdout
stdout_logfile_maxbytes = 0
redirect_stderr = true"""


class _Template(Template):
    """nginx has its own use for $."""

    delimiter = "@"


def execute(settings: Settings) -> NoReturn:
    """Render the configurations and become supervisord."""
    registry = runtime.write(
        "registry.yaml", yaml.safe_dump(drivers.registry_configuration(settings))
    )
    supervisor = Template(SUPERVISOR).substitute(
        common=COMMON,
        folder=runtime.FOLDER,
        ca_bundle=runtime.CA_BUNDLE,
        registry=registry,
        web_socket=runtime.WEB_SOCKET,
        workers=os.environ.get("WORKER_COUNT", "1"),
        threads=THREADS,
        nginx=runtime.write("nginx.conf", nginx_configuration(settings)),
    )
    # A socket left by a container that was killed would stop docker-registry from listening.
    runtime.REGISTRY_SOCKET.unlink(missing_ok=True)
    configuration = runtime.write("supervisord.conf", supervisor)
    runtime.become("supervisord", "--configuration", str(configuration))


def nginx_configuration(settings: Settings) -> str:
    """Render nginx's configuration: TLS, Quay's rate limits, and blobs from docker-registry."""
    listen = "listen 8080;"
    redirect = ""
    limits = settings.values.get("FEATURE_RATE_LIMITS") is True
    if settings.serves_tls:
        listen = (
            "listen 8443 ssl;\n        http2 on;\n"
            f"        ssl_certificate {settings.certificate};\n"
            f"        ssl_certificate_key {settings.key};\n"
            '        add_header Strict-Transport-Security "max-age=63072000; preload" always;'
        )
        redirect = "server { listen 8080; return 301 https://$host$request_uri; }"
    template = _Template(Path(__file__).with_name("nginx.conf").read_text())
    return template.substitute(
        LISTEN=listen,
        TRUSTED=" ".join(
            f"set_real_ip_from {network};"
            for network in settings.values.get("TRUSTED_PROXY_CIDR") or ["0.0.0.0/0"]
        ),
        LIMITED_CLIENT="$binary_remote_addr" if limits else '""',
        REDIRECT=redirect,
        FOLDER=runtime.FOLDER,
        WEB_SOCKET=runtime.WEB_SOCKET,
        REGISTRY_SOCKET=runtime.REGISTRY_SOCKET,
        BLOBS=storage.BLOBS,
        RESOLVER=runtime.name_server(),
        VERSION=version(),
    )
