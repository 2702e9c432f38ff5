"""Swift's protocol, with its own tokens (version 1) and with Keystone's (2 and 3)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import urllib3

from quaylab.clients.store_errors import StoreError
from quaylab.secrets.credentials import Credentials
from quaylab.settings.loading import Settings

# Version 2's names of a service's end points, and version 3's.
INTERFACES = {"publicURL": "public", "internalURL": "internal", "adminURL": "admin"}


class Swift:
    """A container, which is Swift's word for a bucket."""

    def __init__(
        self, settings: Settings, credentials: Credentials, http: urllib3.PoolManager
    ) -> None:
        user, password = credentials.storage_access_key, credentials.storage_secret_key
        assert user and password  # the plan asked for them
        self._user, self._password = user.get_secret_value(), password.get_secret_value()
        self._options: Mapping[str, str] = {str(k): v for k, v in settings.swift_options.items()}
        self._version = settings.swift_auth_version
        self._auth_url = settings.swift_auth_url or ""
        self._container = settings.storage_bucket
        self._http = http
        self._session: tuple[str, str] | None = None

    def has_bucket(self) -> bool:
        return self._send("HEAD", "", (200, 204, 404)).status != 404

    def make_bucket(self) -> None:
        self._send("PUT", "", (201, 202, 204))

    def write(self, name: str, content: bytes) -> None:
        self._send("PUT", name, (201,), content)

    def read(self, name: str) -> bytes:
        return self._send("GET", name, (200,)).data

    def delete(self, name: str) -> None:
        self._send("DELETE", name, (200, 204))

    def _send(
        self, method: str, name: str, expect: tuple[int, ...], body: bytes | None = None
    ) -> urllib3.BaseHTTPResponse:
        if self._session is None:
            self._session = {1: self._login_1, 2: self._login_2, 3: self._login_3}[self._version]()
        address, token = self._session
        path = f"/{quote(self._container)}" + (f"/{quote(name)}" if name else "")
        headers = {"X-Auth-Token": token}
        answer = self._http.request(method, address + path, headers=headers, body=body)
        if answer.status in (401, 403):
            raise StoreError(
                "storage_bucket",
                f"the user {self._user} may not use container {self._container}; it belongs to "
                "another, or the user lacks the right",
            )
        if answer.status not in expect:
            raise StoreError(
                "storage_bucket", f"{method} in container {self._container}: HTTP {answer.status}"
            )
        return answer

    def _login_1(self) -> tuple[str, str]:
        headers = {"X-Auth-User": self._user, "X-Auth-Key": self._password}
        answer = self._auth("GET", self._auth_url, headers=headers)
        try:
            return answer.headers["X-Storage-Url"].rstrip("/"), answer.headers["X-Auth-Token"]
        except KeyError as error:
            raise self._no_tokens() from error

    def _login_2(self) -> tuple[str, str]:
        auth: dict[str, Any] = {
            "passwordCredentials": {"username": self._user, "password": self._password}
        }
        for key, name in (("tenant_name", "tenantName"), ("tenant_id", "tenantId")):
            if key in self._options:
                auth[name] = self._options[key]
        answer = self._auth("POST", f"{self._auth_url}/tokens", json={"auth": auth})
        try:
            access = json.loads(answer.data)["access"]
            token, catalog = str(access["token"]["id"]), access["serviceCatalog"]
            kind = self._options.get("endpoint_type", "publicURL")
            return self._end_point(catalog, kind, lambda each: True), token
        except (ValueError, LookupError, TypeError) as error:
            raise self._no_tokens() from error

    def _login_3(self) -> tuple[str, str]:
        user = {
            "name": self._user,
            "password": self._password,
            "domain": self._domain("user_domain"),
        }
        auth: dict[str, Any] = {
            "identity": {"methods": ["password"], "password": {"user": user}},
        }
        project = self._options.get("project_id") or self._options.get("tenant_id")
        name = self._options.get("project_name") or self._options.get("tenant_name")
        if project:
            auth["scope"] = {"project": {"id": project}}
        elif name:
            auth["scope"] = {"project": {"name": name, "domain": self._domain("project_domain")}}
        answer = self._auth("POST", f"{self._auth_url}/auth/tokens", json={"auth": auth})
        kind = self._options.get("endpoint_type", "publicURL")
        wanted = INTERFACES.get(kind, kind)
        try:
            catalog = json.loads(answer.data)["token"]["catalog"]
            token = answer.headers["X-Subject-Token"]
            return self._end_point(catalog, "url", lambda each: each["interface"] == wanted), token
        except (ValueError, LookupError, TypeError) as error:
            raise self._no_tokens() from error

    def _end_point(self, catalog: Any, key: str, fits: Any) -> str:
        """Return the object store's URL in Keystone's catalog, in the region of swift_options."""
        kind = self._options.get("service_type", "object-store")
        region = self._options.get("region_name")
        services = [service for service in catalog if service["type"] == kind]
        found = [each for service in services for each in service["endpoints"] if fits(each)]
        for each in found:
            if region in (None, each.get("region"), each.get("region_id")):
                return str(each[key]).rstrip("/")
        known = ", ".join(sorted({str(each.get("region")) for each in found})) or "none"
        raise StoreError(
            "swift_options", f"no {kind} in the region {region or 'of any name'}; found: {known}"
        )

    def _domain(self, which: str) -> dict[str, str]:
        if f"{which}_name" in self._options:
            return {"name": self._options[f"{which}_name"]}
        return {"id": self._options.get(f"{which}_id", "default")}

    def _auth(self, method: str, url: str, **options: Any) -> urllib3.BaseHTTPResponse:
        answer = self._http.request(method, url, **options)
        if answer.status in (401, 403):
            raise StoreError(
                "storage_secret_key", f"the user {self._user} or the password is refused"
            )
        if answer.status not in (200, 201, 204):
            raise StoreError(
                "swift_auth_url", f"HTTP {answer.status}; is it an address of version "
                f"{self._version}?"
            )  # fmt: skip
        return answer

    def _no_tokens(self) -> StoreError:
        return StoreError("swift_auth_url", f"no tokens of version {self._version} there")
