"""Service Quotas of SageMaker: how many instances of a type may be in use, by what they are used for.

The names are AWS's: "ml.m5.large for training job usage". The values are a test's, or a large default: an account's own are
between 0 and a few. They hold: a request above one is answered as SageMaker answers it.
"""

import hashlib
import threading

from . import listing
from .errors import ValidationError, aws_error

# What an account here may use of each type unless a test says otherwise.
DEFAULT = 1000.0
# The API reference: a page has up to 100 quotas.
PAGE = 100

TRAINING, SPOT, TRANSFORM, ENDPOINT = "training job usage", "spot training job usage", "transform job usage", "endpoint usage"

# Two of AWS's codes, from messages of its users. The others are made up here: look a quota up by its name.
_CODES = {"ml.m5.large for training job usage": "L-611FA074", "ml.m5.large for transform job usage": "L-236AE59F"}


class Quotas:
    def __init__(self, scope, model):
        """model is SageMaker's: the types of instances are in it."""
        self._scope = scope
        self._lock = threading.Lock()
        self._values = {}
        for shape, usages in (("TrainingInstanceType", (TRAINING, SPOT)), ("TransformInstanceType", (TRANSFORM,)),
                              ("ProductionVariantInstanceType", (ENDPOINT,))):
            for instance in model.shapes[shape]["enum"]:
                for usage in usages:
                    self._values[f"{instance} for {usage}"] = DEFAULT

    def GetServiceQuota(self, request):
        for quota in self._all(request["ServiceCode"]):
            if quota["QuotaCode"] == request["QuotaCode"]:
                return {"Quota": quota}
        raise aws_error("quota-not-found")

    def ListServiceQuotas(self, request):
        found = [q for q in self._all(request["ServiceCode"]) if request.get("QuotaCode", q["QuotaCode"]) == q["QuotaCode"]]
        page, token = listing.page(found, request, most=PAGE)
        return {"Quotas": page, **token}

    def put(self, name, value):
        """A test sets a quota."""
        with self._lock:
            if name not in self._values:
                raise ValidationError(f"{name!r} is no quota: they are named as \"ml.m5.large for {TRAINING}\", {SPOT}, {TRANSFORM}, {ENDPOINT}")
            self._values[name] = float(value)

    def check(self, instance, usage, used, more):
        """Raises SageMaker's error if more instances than the quota would be in use."""
        with self._lock:
            value = self._values.get(f"{instance} for {usage}", DEFAULT)
        if used + more > value:
            raise aws_error("quota", instance=instance, usage=usage, limit=f"{value:g}", used=used, delta=more)

    def _all(self, service):
        if service != "sagemaker":
            raise aws_error("quota-not-found")
        account, region = self._scope()
        with self._lock:
            return [{
                "ServiceCode": "sagemaker", "ServiceName": "Amazon SageMaker", "QuotaName": name, "QuotaCode": code(name),
                "QuotaArn": f"arn:aws:servicequotas:{region}:{account}:sagemaker/{code(name)}", "Value": value, "Unit": "None",
                "Adjustable": True, "GlobalQuota": False,
            } for name, value in self._values.items()]


def code(name):
    return _CODES.get(name) or "L-" + hashlib.sha256(name.encode()).hexdigest()[:8].upper()
