"""Amazon S3 as SageMaker uses it: list and download inputs, upload artifacts.

It talks to the emulator over HTTP, so it depends on S3's public interface only.
"""

import http.client
import json
import logging
import os
import re
import shutil
import urllib.parse
import xml.etree.ElementTree as ElementTree

from .errors import ValidationError, aws_error

logger = logging.getLogger("sagemaker.storage")

_URI = re.compile(r"s3://(?P<bucket>[^/]+)/?(?P<key>.*)", re.DOTALL)
_CHUNK = 1 << 20


class StorageError(Exception):
    """S3 said no, or an input isn't what it should be."""


class BadURI(StorageError):
    pass


class BadManifest(StorageError):
    pass


def encryption(key):
    """The headers of an upload that AWS KMS encrypts with the key, if one is given."""
    if not key:
        return {}
    return {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": key}


def split(uri):
    match = _URI.fullmatch(uri)
    if match is None:
        raise BadURI(f"{uri!r} is not an S3 URI (s3://bucket/key)")
    return match["bucket"], match["key"]


class Storage:
    def __init__(self, host, port):
        self._host, self._port = host, port

    def exists(self, uri):
        bucket, key = split(uri)
        response = self._request("HEAD", bucket, key)
        response.read()
        return response.status == 200

    def keys(self, bucket, prefix):
        """The keys that begin with the prefix, which is a prefix of characters: run-1 is one of run-10."""
        token = None
        while True:
            query = {"list-type": "2", "prefix": prefix}
            if token:
                query["continuation-token"] = token
            response = self._request("GET", bucket, "", query)
            body = response.read()
            if response.status != 200:
                raise StorageError(f"listing s3://{bucket}/{prefix}: {_explain(response, body)}")
            root = ElementTree.fromstring(body)
            namespace = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
            for item in root.iter(f"{namespace}Contents"):
                yield item.findtext(f"{namespace}Key")
            token = root.findtext(f"{namespace}NextContinuationToken")
            if not token:
                return

    def read(self, uri):
        bucket, key = split(uri)
        response = self._request("GET", bucket, key)
        body = response.read()
        if response.status != 200:
            raise StorageError(f"reading {uri}: {_explain(response, body)}")
        return body

    def download(self, uri, path):
        bucket, key = split(uri)
        response = self._request("GET", bucket, key)
        if response.status != 200:
            raise StorageError(f"reading {uri}: {_explain(response, response.read())}")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            shutil.copyfileobj(response, f, _CHUNK)

    def upload(self, path, uri, headers):
        bucket, key = split(uri)
        with open(path, "rb") as f:
            response = self._request("PUT", bucket, key, body=f, headers={
                "Content-Length": str(os.path.getsize(path)), **headers})
            body = response.read()
        if response.status != 200:
            raise StorageError(f"writing {uri}: {_explain(response, body)}")

    def found_inputs(self, source, region, role):
        """The objects of an S3DataSource. SageMaker looks for them before it accepts a job: none is an error."""
        uri = source["S3Uri"]
        try:
            bucket, _ = split(uri)
            found = self.inputs(source)
        except (BadManifest, BadURI) as error:
            raise ValidationError(str(error)) from error
        except StorageError as error:
            logger.info("looking for %s: %s", uri, error)
            found = []
        if not found:
            raise aws_error("no-input-objects", uri=uri, region=region, role=role, bucket=bucket)
        return found

    def write(self, body, uri, headers):
        bucket, key = split(uri)
        response = self._request("PUT", bucket, key, body=body, headers=headers)
        answer = response.read()
        if response.status != 200:
            raise StorageError(f"writing {uri}: {_explain(response, answer)}")

    def inputs(self, source):
        """The objects of an S3DataSource, as (uri, path below the channel's folder)."""
        uri = source["S3Uri"]
        if source["S3DataType"] == "ManifestFile":
            return self._manifest(uri)
        bucket, prefix = split(uri)
        # What comes after the prefix's last slash is the path in the channel.
        start = prefix.rfind("/") + 1
        found = [(f"s3://{bucket}/{key}", key[start:]) for key in self.keys(bucket, prefix) if not key.endswith("/")]
        return [(u, p) for u, p in found if p]

    def _manifest(self, uri):
        body = self.read(uri)
        try:
            entries = json.loads(body)
        except ValueError as error:
            raise BadManifest(f"the manifest {uri} is not JSON: {error}") from error
        if not (isinstance(entries, list) and entries and isinstance(entries[0], dict) and isinstance(entries[0].get("prefix"), str)):
            raise BadManifest(f'the manifest {uri} must be a list that begins with {{"prefix": "s3://…"}}')
        prefix = entries[0]["prefix"]
        found = []
        for entry in entries[1:]:
            if not isinstance(entry, str):
                raise BadManifest(f"the manifest {uri} lists {entry!r}, which is no key")
            found.append((prefix + entry, entry.lstrip("/")))
        return found

    def _request(self, method, bucket, key, query=None, body=None, headers=None):
        path = "/" + bucket + ("/" + urllib.parse.quote(key, safe="/-_.~") if key else "")
        if query:
            path += "?" + urllib.parse.urlencode(query)
        connection = http.client.HTTPConnection(self._host, self._port, timeout=120)
        connection.request(method, path, body=body, headers=headers or {})
        return connection.getresponse()


def _explain(response, body):
    match = re.search(rb"<Code>(.*?)</Code>", body)
    return f"{match[1].decode() if match else response.reason} ({response.status})"
