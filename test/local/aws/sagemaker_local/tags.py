"""Tags of jobs, models, configurations and endpoints, and the names of those."""

import threading

from . import listing
from .errors import aws_error


class Tags:
    def __init__(self, scope):
        self._scope = scope
        self._lock = threading.Lock()
        self._by_arn = {}

    def arn(self, kind, name):
        """AWS writes names in lower case in ARNs."""
        account, region = self._scope()
        return f"arn:aws:sagemaker:{region}:{account}:{kind}/{name.lower()}"

    def register(self, arn, tags):
        """Begins the tags of something new."""
        with self._lock:
            self._by_arn[arn] = {t["Key"]: t["Value"] for t in tags or []}

    def forget(self, arn):
        with self._lock:
            self._by_arn.pop(arn, None)

    def AddTags(self, request):
        with self._lock:
            tags = self._of(request["ResourceArn"])
            tags.update({t["Key"]: t["Value"] for t in request["Tags"]})
            return {"Tags": _shown(tags)}

    def ListTags(self, request):
        with self._lock:
            tags = _shown(self._of(request["ResourceArn"]))
        page, token = listing.page(tags, request, most=50)
        return {"Tags": page, **token}

    def DeleteTags(self, request):
        with self._lock:
            tags = self._of(request["ResourceArn"])
            for key in request["TagKeys"]:
                tags.pop(key, None)
        return {}

    def _of(self, arn):
        if arn not in self._by_arn:
            raise aws_error("tags-resource-not-found", arn=arn)
        return self._by_arn[arn]


def _shown(tags):
    return [{"Key": k, "Value": v} for k, v in tags.items()]
