"""A double of a Kubernetes API server, for the real kubectl: HTTP over TLS, in a thread.

It is no API server. It has discovery, strict validation by Kubernetes' published schemas,
server-side apply with owners of fields and conflicts, dry runs, rights, quotas' reports,
admission, and the Status bodies of its refusals. Its controllers (controllers.py) say of pods what
a test has them say; nothing runs in them.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.authority import Authority
from tests.openshift import fields
from tests.openshift.storage import Manifest, Refused, Storage

TOKEN = "the-double-s-token"
# Seconds between two looks of a watch.
WATCH_INTERVAL = 0.05
# Plural, kind, whether it is in a namespace, by group and version.
KINDS: Mapping[str, tuple[tuple[str, str, bool], ...]] = {
    "v1": (
        ("namespaces", "Namespace", False),
        ("secrets", "Secret", True),
        ("configmaps", "ConfigMap", True),
        ("services", "Service", True),
        ("serviceaccounts", "ServiceAccount", True),
        ("persistentvolumeclaims", "PersistentVolumeClaim", True),
        ("pods", "Pod", True),
        ("resourcequotas", "ResourceQuota", True),
        ("limitranges", "LimitRange", True),
        ("events", "Event", True),
    ),
    "apps/v1": (("deployments", "Deployment", True),),
    "batch/v1": (("jobs", "Job", True),),
    "networking.k8s.io/v1": (
        ("networkpolicies", "NetworkPolicy", True),
        ("ingresses", "Ingress", True),
    ),
    "policy/v1": (("poddisruptionbudgets", "PodDisruptionBudget", True),),
    "storage.k8s.io/v1": (("storageclasses", "StorageClass", False),),
    "authorization.k8s.io/v1": (("selfsubjectaccessreviews", "SelfSubjectAccessReview", False),),
}
# What is added to a type of content for the discovery of a whole API by one question.
DISCOVERY = "g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
# The group that only this discovery has.
UNLISTED = "security.openshift.io"
OPENSHIFT: Mapping[str, tuple[tuple[str, str, bool], ...]] = {
    "route.openshift.io/v1": (("routes", "Route", True),),
    # kubectl keeps no discovery of a group without resources.
    "security.openshift.io/v1": (
        ("securitycontextconstraints", "SecurityContextConstraints", False),
    ),
}
# What the Operator Lifecycle Manager brings, and NooBaa, of which the operator gets a bucket.
OLM: Mapping[str, tuple[tuple[str, str, bool], ...]] = {
    "operators.coreos.com/v1": (("operatorgroups", "OperatorGroup", True),),
    "operators.coreos.com/v1alpha1": (
        ("subscriptions", "Subscription", True),
        ("clusterserviceversions", "ClusterServiceVersion", True),
    ),
    "packages.operators.coreos.com/v1": (("packagemanifests", "PackageManifest", True),),
    "objectbucket.io/v1alpha1": (("objectbucketclaims", "ObjectBucketClaim", True),),
}
# What Quay's operator brings as it is installed.
QUAY: Mapping[str, tuple[tuple[str, str, bool], ...]] = {
    "quay.redhat.com/v1": (("quayregistries", "QuayRegistry", True),),
}


class Api(ThreadingHTTPServer):
    """The server. ``before`` is called before each request and may wait, raise :class:`Refused`, or
    return True to cut the connection."""

    daemon_threads = True

    def __init__(self, is_openshift: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.storage = Storage()
        self.kinds = {**KINDS, **(OPENSHIFT if is_openshift else {})}
        self.token = TOKEN
        self.denied = self.storage.denied
        self.logs: dict[str, str] = {}
        self.before: Callable[[str], bool] = lambda request: False
        # Method and path of each request, and those that changed something.
        self.seen: list[str] = []
        self.writes: list[str] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """kubectl resets connections as it ends."""

    def add(self, plural: str, manifest: Manifest, namespace: str = "") -> None:
        """Put an object there, as somebody else would."""
        key = (plural, namespace, manifest["metadata"]["name"])
        self.storage.objects[key], self.storage.owners[key] = manifest, {}

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_port}"


@contextmanager
def serving(folder: Path, is_openshift: bool = True) -> Iterator[Api]:
    """Run a double with a certificate of its own CA, and write a kubeconfig for it."""
    authority = Authority.new("Double of a cluster")
    certificate, key = authority.sign("localhost", "127.0.0.1")
    (folder / "api.pem").write_text(certificate + key)
    authority.save(folder / "api-ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "api.pem")
    with Api(is_openshift) as api:
        # In the connection's own thread: a client that is cut off would keep all others waiting.
        api.socket = context.wrap_socket(
            api.socket, server_side=True, do_handshake_on_connect=False
        )
        write_kubeconfig(folder / "kubeconfig", api, folder / "api-ca.pem")
        thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield api
        finally:
            api.shutdown()
            thread.join()


def write_kubeconfig(path: Path, api: Api, ca: Path, token: str = TOKEN) -> None:
    """Write a kubeconfig whose current context leads nowhere: it must never be used."""
    cluster = {"server": api.url, "tls-server-name": "localhost", "certificate-authority": str(ca)}
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "another",
                "clusters": [
                    {"name": "double", "cluster": cluster},
                    {"name": "another", "cluster": {"server": "https://127.0.0.1:9"}},
                ],
                "users": [{"name": "me", "user": {"token": token}}],
                "contexts": [
                    {"name": "lab", "context": {"cluster": "double", "user": "me"}},
                    {"name": "another", "context": {"cluster": "another", "user": "me"}},
                ],
            }
        )
    )
    path.chmod(0o600)


class _Handler(BaseHTTPRequestHandler):
    server: Api
    protocol_version = "HTTP/1.1"
    # Otherwise the body waits until the client has acknowledged the headers, which takes 40 ms.
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_PATCH = do_PUT = do_DELETE = do_GET  # noqa: N815

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urlsplit(self.path)
        self.query = {key: values[0] for key, values in parse_qs(url.query).items()}
        request = f"{self.command} {url.path}"
        self.server.seen.append(request)
        try:
            if self.server.before(request):
                self.close_connection = True
                return
            if self.headers["Authorization"] != f"Bearer {self.server.token}":
                raise Refused(401, "Unauthorized", "Unauthorized")
            with self.server.storage.lock:
                code, answer = self._answer(url.path.strip("/").split("/"), body)
            if self.query.get("watch") == "true":
                self._stream(answer)
                return
        except Refused as refused:
            code = refused.code
            answer = {
                "apiVersion": "v1",
                "kind": "Status",
                "metadata": {},
                "status": "Failure",
                "message": refused.message,
                "reason": refused.reason,
                "details": refused.details,
                "code": code,
            }
        self._send(code, answer)

    def _stream(self, listed: Manifest) -> None:
        """Answer a watch: tell that each of the listed objects is deleted, until all are or the
        client's time is over."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        left, end = listed["items"], time.monotonic() + int(self.query.get("timeoutSeconds", 300))
        while left and time.monotonic() < end:
            time.sleep(WATCH_INTERVAL)
            with self.server.storage.lock:
                there = {
                    each["metadata"].get("uid") for each in self.server.storage.objects.values()
                }
            for each in left:
                if each["metadata"].get("uid") not in there:
                    event = json.dumps({"type": "DELETED", "object": each}).encode()
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            left = [each for each in left if each["metadata"].get("uid") in there]
        self.wfile.write(b"0\r\n\r\n")

    def _send(self, code: int, answer: Any) -> None:
        data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", _type_of(answer))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _answer(self, parts: list[str], body: bytes) -> tuple[int, Any]:
        match parts:
            case ["version"]:
                return 200, {"major": "1", "minor": "32", "gitVersion": "v1.32.3"}
            case ["api"]:
                return 200, self._discovery(each for each in self.server.kinds if "/" not in each)
            case ["apis"] if DISCOVERY in self.headers["Accept"]:
                return 200, self._discovery(each for each in self.server.kinds if "/" in each)
            case ["apis"]:
                return 200, self._groups()
            case ["openapi", "v3"]:
                return 200, self._openapi_index()
            case ["openapi", "v3", *version]:
                return 200, self._openapi("/".join(version[1:]))
            case ["api", "v1", *rest]:
                return self._object("v1", rest, body)
            case ["apis", group, version, *rest]:
                return self._object(f"{group}/{version}", rest, body)
        raise Refused(404, "NotFound", "the server could not find the requested resource")

    # --- discovery ---

    def _groups(self) -> Manifest:
        """Answer those who don't ask for the discovery, as MicroShift does: without all groups."""
        groups = [each.partition("/")[0] for each in self.server.kinds if "/" in each]
        return {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [{"name": each} for each in groups if each != UNLISTED],
        }

    def _discovery(self, versions: Iterable[str]) -> Manifest:
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": "apidiscovery.k8s.io/v2",
            "items": [self._group(*each.rpartition("/")[::2]) for each in versions],
        }

    def _group(self, group: str, number: str) -> Manifest:
        kinds = self.server.kinds[f"{group}/{number}".strip("/")]
        resources = [
            {
                "resource": plural,
                "singularResource": kind.lower(),
                "responseKind": {"group": group, "version": number, "kind": kind},
                "scope": "Namespaced" if namespaced else "Cluster",
                "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
            }
            for plural, kind, namespaced in kinds
        ]
        version = {"version": number, "freshness": "Current", "resources": resources}
        return {"metadata": {"name": group}, "versions": [version]}

    def _openapi_index(self) -> Manifest:
        return {
            "paths": {
                path: {"serverRelativeURL": f"/openapi/v3/{path}"}
                for path in map(_root, self.server.kinds)
            }
        }

    def _openapi(self, version: str) -> Manifest:
        """Say no more than that the parameters of a dry run and of strict validation are known."""
        known = [{"name": "dryRun", "in": "query"}, {"name": "fieldValidation", "in": "query"}]
        group, _, number = version.rpartition("/")
        return {
            "openapi": "3.0.0",
            "info": {"title": "double", "version": "1"},
            "paths": {
                f"/{_root(version)}/{plural}/{{name}}": {
                    "patch": {
                        "parameters": known,
                        "x-kubernetes-group-version-kind": {
                            "group": group,
                            "version": number,
                            "kind": kind,
                        },
                    }
                }
                for plural, kind, _ in self.server.kinds.get(version, ())
            },
        }

    # --- objects ---

    def _object(self, version: str, rest: list[str], body: bytes) -> tuple[int, Any]:
        namespace = ""
        if len(rest) > 2 and rest[0] == "namespaces":
            namespace, rest = rest[1], rest[2:]
        plural, name, part, *_ = [*rest, "", ""]
        if plural not in [each[0] for each in self.server.kinds.get(version, ())]:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        if plural == "selfsubjectaccessreviews":
            return 201, self._review(json.loads(body))
        self._check_right(plural, name, part)
        storage, key = self.server.storage, (plural, namespace, name)
        dry = self.query.get("dryRun") == "All"
        manager = self.query.get("fieldManager", "unknown")
        if self.command != "GET" and not dry:
            self.server.writes.append(f"{self.command} {plural} {name}".strip())
        match self.command:
            case "GET" if part == "log":
                return 200, self.server.logs.get(name, "")
            case "GET" if name:
                return 200, storage.get(key)
            case "GET":
                return 200, self._list(version, plural, namespace)
            case "POST":
                manifest = json.loads(body)
                key = (plural, namespace, manifest["metadata"]["name"])
                return 201, storage.create(key, manifest, manager, dry)
            case "PATCH" if self.headers["Content-Type"] == "application/apply-patch+yaml":
                force = self.query.get("force") == "true"
                manifest, is_new = storage.apply(key, yaml.safe_load(body), manager, force, dry)
                return (201 if is_new else 200), manifest
            case "PATCH":
                live = storage.get(key)
                return 200, storage.replace(key, _patched(live, json.loads(body)), manager, dry)
            case "PUT":
                return 200, storage.replace(key, json.loads(body), manager, dry)
            case "DELETE":
                policy = json.loads(body or b"{}").get("propagationPolicy")
                return 200, storage.begin_deletion(key, policy)
        raise Refused(405, "MethodNotAllowed", "the server does not allow this method")

    def _list(self, version: str, plural: str, namespace: str) -> Manifest:
        pairs = (pair.partition("=") for pair in self.query.get("labelSelector", "").split(","))
        selector = {key: value for key, _, value in pairs if key}
        kind = next(each[1] for each in self.server.kinds[version] if each[0] == plural)
        found = list(self.server.storage.list(plural, namespace, selector))
        if plural == "packagemanifests":
            # Catalogues are for all namespaces: each has their packages as its own.
            found = list(self.server.storage.list(plural, "", selector))
            for each in found:
                each["metadata"]["namespace"] = namespace
        return {
            "apiVersion": version,
            "kind": f"{kind}List",
            "metadata": {"resourceVersion": str(self.server.storage.version)},
            "items": [
                each for each in found if _matches(each, self.query.get("fieldSelector", ""))
            ],
        }

    # --- rights ---

    def _review(self, review: Manifest) -> Manifest:
        asked = review["spec"]["resourceAttributes"]
        resource = "/".join(asked[key] for key in ("resource", "subresource") if key in asked)
        # Roles name groups, and those of a namespace hold there alone. They may name kinds that
        # are not there yet.
        known = {
            (version.rpartition("/")[0], plural): namespaced
            for version, kinds in {**self.server.kinds, **QUAY}.items()
            for plural, _, namespaced in kinds
        }
        is_in_namespace = known.get((asked.get("group", ""), asked["resource"]))
        allowed = (
            is_in_namespace is not None
            and is_in_namespace == bool(asked.get("namespace"))
            and f"{asked['verb']} {resource}" not in self.server.denied
        )
        return {**review, "metadata": {}, "status": {"allowed": allowed}}

    def _check_right(self, plural: str, name: str, part: str) -> None:
        verbs = {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}
        verb = verbs.get(self.command, "get" if name else "list")
        resource = f"{plural}/{part}" if part else plural
        if f"{verb} {resource}" in self.server.denied:
            raise Refused(
                403,
                "Forbidden",
                f'{plural} "{name}" is forbidden: User "me" cannot {verb} resource "{resource}"',
            )


def _type_of(answer: Any) -> str:
    if isinstance(answer, str):
        return "text/plain"
    is_discovery = answer.get("kind") == "APIGroupDiscoveryList"
    return f"application/json;{DISCOVERY}" if is_discovery else "application/json"


def _root(version: str) -> str:
    return f"apis/{version}" if "/" in version else f"api/{version}"


def _matches(manifest: Manifest, field_selector: str) -> bool:
    """Whether an object has all values of a field selector, such as ``involvedObject.uid=1``."""
    for pair in filter(None, field_selector.split(",")):
        path, _, wanted = pair.partition("=")
        if fields.get(manifest, tuple(path.split("."))) != wanted:
            return False
    return True


def _has_names(items: list[Any]) -> bool:
    return bool(items) and isinstance(items[0], dict) and "name" in items[0]


def _patched(live: Manifest, patch: Mapping[str, Any]) -> Manifest:
    """Return an object changed by a JSON merge patch, or by a strategic one whose lists have
    names."""
    result = dict(live)
    for key, value in patch.items():
        found = result.get(key)
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(found, dict):
            result[key] = _patched(found, value)
        elif isinstance(value, list) and isinstance(found, list) and _has_names(value):
            named = {each["name"]: each for each in found}
            for each in value:
                named[each["name"]] = _patched(named.get(each["name"], {}), each)
            result[key] = list(named.values())
        else:
            result[key] = value
    return result
