"""S3's protocol, as AWS, Ceph and Google speak it, through boto3 as in Quay."""

from __future__ import annotations

import json
import os
from typing import Any

import botocore.session
import urllib3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from quaylab.clients.store_errors import StoreError
from quaylab.endpoints import StoreEndpoint
from quaylab.secrets.credentials import Credentials
from quaylab.settings.loading import Settings

# AWS' metadata service, which knows a machine's role; from a container it is one hop farther.
METADATA = "http://169.254.169.254/latest"
ROLES = f"{METADATA}/meta-data/iam/security-credentials/"
MISSING = ("NoSuchBucket", "404")
REGION_CODES = (
    "301",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "InvalidLocationConstraint",
    "PermanentRedirect",
    "TemporaryRedirect",
)


class S3:
    """A bucket.

    Args:
        http: the client for the store.
        direct: a client without a proxy, for a role's keys.
    """

    def __init__(
        self,
        settings: Settings,
        store: StoreEndpoint,
        credentials: Credentials,
        http: urllib3.PoolManager,
        direct: urllib3.PoolManager,
    ) -> None:
        self._settings = settings
        self._credentials = credentials
        self._http = http
        self._direct = direct
        self._url = store.url
        # Quay's driver sends this with each object; a bucket's policy may require it.
        self._options = {"ServerSideEncryption": "AES256"} if store.kind == "s3" else {}
        self._cached_client: Any = None

    def has_bucket(self) -> bool:
        try:
            # A listing, as errors of HEAD, which Quay uses, have no text. Version 1, as Google's.
            self._call("list_objects", Prefix=self._settings.storage_path.strip("/"), MaxKeys=1)
        except ClientError as error:
            if _code(error) in MISSING:
                return False
            raise self._refusal(error) from error
        return True

    def make_bucket(self) -> None:
        region = self._settings.storage_region
        options: dict[str, Any] = {}
        if region and region != "us-east-1":
            options["CreateBucketConfiguration"] = {"LocationConstraint": region}
        try:
            self._call("create_bucket", **options)
        except ClientError as error:
            if _code(error) != "BucketAlreadyOwnedByYou":
                raise self._refusal(error, "make") from error

    def write(self, name: str, content: bytes) -> None:
        self._do("put_object", Key=name, Body=content, **self._options)

    def read(self, name: str) -> bytes:
        content: bytes = self._do("get_object", Key=name)["Body"].read()
        return content

    def delete(self, name: str) -> None:
        self._do("delete_object", Key=name)

    def _do(self, operation: str, **options: Any) -> Any:
        try:
            return self._call(operation, **options)
        except ClientError as error:
            raise self._refusal(error, operation.partition("_")[0]) from error

    def _call(self, operation: str, **options: Any) -> Any:
        try:
            self._cached_client = self._cached_client or self._client()
            call = getattr(self._cached_client, operation)
            return call(Bucket=self._settings.storage_bucket, **options)
        except BotoCoreError as error:
            raise StoreError("storage", str(error)) from error

    def _client(self) -> Any:
        # Ignore this machine's own configuration and credentials for AWS.
        nothing = (None, None, None, None)
        session = botocore.session.Session(
            session_vars={
                "profile": nothing,
                "region": nothing,
                "config_file": (None, None, os.devnull, None),
                "credentials_file": (None, None, os.devnull, None),
            }
        )
        client = session.create_client(
            "s3",
            endpoint_url=self._url,
            region_name=self._settings.storage_region,
            config=Config(
                # Quay's S3 driver signs so; its other drivers leave it to boto3.
                signature_version="s3v4" if self._options else None,
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                ignore_configured_endpoint_urls=True,
                proxies={},
            ),
            **self._keys(),
        )
        client.meta.events.register("before-send.s3", self._send)
        # Without it boto3 corrects a wrong region, but Quay's signed URLs would have the wrong one.
        client.meta.events.register_first("needs-retry.s3", _stop)
        return client

    def _keys(self) -> dict[str, str]:
        if self._settings.storage_iam_role:
            return self._role()
        access, secret = (
            self._credentials.storage_access_key,
            self._credentials.storage_secret_key,
        )
        assert access and secret  # the plan asked for them
        return {
            "aws_access_key_id": access.get_secret_value(),
            "aws_secret_access_key": secret.get_secret_value(),
        }

    def _role(self) -> dict[str, str]:
        """Return the keys of the role of Quay's machine, as boto3 gets them there."""
        lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        try:
            token = self._direct.request("PUT", f"{METADATA}/api/token", headers=lifetime)
            headers = {"X-aws-ec2-metadata-token": token.data.decode()}
            names = self._direct.request("GET", ROLES, headers=headers)
            if names.status != 200 or not (name := names.data.decode().strip()):
                raise StoreError("storage_iam_role", "Quay's machine has no role at AWS")
            keys = json.loads(self._direct.request("GET", ROLES + name, headers=headers).data)
            return {
                "aws_access_key_id": keys["AccessKeyId"],
                "aws_secret_access_key": keys["SecretAccessKey"],
                "aws_session_token": keys["Token"],
            }
        except (urllib3.exceptions.HTTPError, OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                "storage_iam_role", "AWS does not tell Quay's machine a role; is it one at AWS?"
            ) from error

    def _send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        """Send a request as botocore does, but over the connection from Quay's host."""
        answer = self._http.request(
            request.method,
            request.url,
            body=request.body,
            headers={key: _text(value) for key, value in request.headers.items()},
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
        response = AWSResponse(request.url, answer.status, answer.headers, answer)
        if not request.stream_output:
            response.content  # noqa: B018  # read it here, so that errors occur here
        return response

    def _refusal(self, error: ClientError, verb: str = "") -> StoreError:
        """Return the error for one of S3's codes, with the setting that causes it."""
        bucket, code = self._settings.storage_bucket, _code(error)
        message = error.response["Error"].get("Message") or code
        if code in (
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "ExpiredToken",
            "InvalidSecurity",
        ):
            return StoreError("storage_access_key", f"the access key is not known there ({code})")
        if code == "SignatureDoesNotMatch":
            return StoreError("storage_secret_key", f"the secret key is wrong ({code})")
        if code == "RequestTimeTooSkewed":
            return StoreError(
                "storage",
                f"its clock and ours differ too much ({code}); start chrony or another NTP client "
                "on this machine and Quay's",
            )
        if code in REGION_CODES:
            headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
            right = error.response["Error"].get("Region") or headers.get("x-amz-bucket-region")
            hint = f"is in {right}" if right else f"is in another region ({code})"
            return StoreError("storage_region", f"bucket {bucket} {hint}; set that region")
        if code in ("BucketAlreadyExists", "AllAccessDisabled"):
            return StoreError(
                "storage_bucket", f"bucket {bucket} belongs to another ({code}); name one of yours"
            )
        if code in ("AccessDenied", "Forbidden", "403"):
            what = f"may not {verb} in" if verb and verb != "make" else "may not use"
            remedy = "it belongs to another, or the keys lack the right"
            if verb == "make":
                what, remedy = "may not make", "have it made, or the keys given the right"
            return StoreError("storage_bucket", f"our keys {what} bucket {bucket}; {remedy}")
        return StoreError("storage_bucket", f"bucket {bucket}: {' '.join(str(message).split())}")


def _stop(response: Any, **_: Any) -> None:
    """Raise the store's first error, without a retry and without another region."""
    if response is not None and "Error" in response[1]:
        raise ClientError(response[1], "S3")


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
