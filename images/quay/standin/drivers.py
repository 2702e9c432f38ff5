"""Quay's storage drivers in terms of docker-registry."""

from typing import Any

from standin import StartError, minor_version, runtime
from standin.config import Settings

# Google's S3-compatible interface, for which GoogleCloudStorage's keys are made.
GOOGLE_ENDPOINT = "https://storage.googleapis.com"
# Until then Quay's check of a store of S3's kind knows no endpoint_url.
WITHOUT_ENDPOINT_URL = (3, 16)


def registry_configuration(settings: Settings) -> dict[str, Any]:
    """Return docker-registry's configuration for the preferred storage location."""
    driver, arguments = settings.storage
    return {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {
            **_driver(driver, arguments),
            "delete": {"enabled": True},
            "redirect": {"disable": not signs(settings)},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": {
            "net": "unix",
            "addr": str(runtime.REGISTRY_SOCKET),
            "relativeurls": True,
            # An upload that began on one node may go on on another.
            "secret": settings.derived_key("registry").hex(),
        },
    }


def check(settings: Settings) -> None:
    """Require the keys that Quay's own check of the store needs."""
    driver, arguments = settings.storage
    if driver == "SwiftStorage" and int(arguments.get("auth_version", 2)) == 3:
        options = arguments.get("os_options") or {}
        for key in ("user_domain_name", "tenant_id"):
            if not isinstance(options.get(key), str):
                raise StartError(f"Swift auth v3 requires {key} (string) in os_options")
    named = "s3_region" in arguments or "host" in arguments
    if driver == "S3Storage" and not named and minor_version() <= WITHOUT_ENDPOINT_URL:
        raise StartError("S3Storage lacks host: Quay looks for the bucket at s3.amazonaws.com")


def signs(settings: Settings) -> bool:
    """Return whether the store lets clients fetch blobs, by S3's signed addresses."""
    driver, _ = settings.storage
    return driver in ("RadosGWStorage", "S3Storage", "GoogleCloudStorage")


def _driver(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        match name:
            case "LocalStorage":
                return {"filesystem": {"rootdirectory": arguments["storage_path"]}}
            case "RadosGWStorage":
                secure = bool(arguments.get("is_secure", True))
                endpoint = f"{'https' if secure else 'http'}://{arguments['hostname']}"
                if "port" in arguments:
                    endpoint += f":{arguments['port']}"
                return _s3(arguments, "access_key", "secret_key", "bucket_name", endpoint)
            case "S3Storage":
                endpoint = str(arguments.get("endpoint_url", ""))
                if "host" in arguments and not endpoint:
                    endpoint = f"https://{arguments['host']}"
                    endpoint += f":{arguments['port']}" if "port" in arguments else ""
                # s3_region overrides the end point, as in Quay.
                if "s3_region" in arguments:
                    endpoint = ""
                return _s3(arguments, "s3_access_key", "s3_secret_key", "s3_bucket", endpoint)
            case "GoogleCloudStorage":
                return _s3(arguments, "access_key", "secret_key", "bucket_name", GOOGLE_ENDPOINT)
            case "SwiftStorage":
                options = arguments.get("os_options") or {}
                return {
                    "swift": {
                        "username": arguments["swift_user"],
                        "password": arguments["swift_password"],
                        "authurl": arguments["auth_url"],
                        "container": arguments["swift_container"],
                        "authversion": int(arguments.get("auth_version", 3)),
                        "tenant": options.get("tenant_name", ""),
                        "region": options.get("region_name", ""),
                        "domain": options.get("user_domain_name", ""),
                        "rootdirectory": arguments["storage_path"],
                    }
                }
    except KeyError as error:
        raise StartError(f"storage driver {name} lacks {error.args[0]}") from error
    # Upstream turns an unknown name silently into a fake store in memory.
    raise StartError(f"storage driver {name} is unknown to the stand-in")


def _s3(
    arguments: dict[str, Any], access_key: str, secret_key: str, bucket: str, endpoint: str
) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bucket": arguments[bucket],
        "region": arguments.get("s3_region") or arguments.get("region_name", "us-east-1"),
        "rootdirectory": arguments["storage_path"],
    }
    # Only S3 needs no keys, if the machine has a role at AWS.
    if access_key != "s3_access_key" or access_key in arguments:
        options |= {"accesskey": arguments[access_key], "secretkey": arguments[secret_key]}
    if endpoint:
        options["regionendpoint"] = endpoint
        options["secure"] = endpoint.startswith("https:")
    return {"s3": options}
