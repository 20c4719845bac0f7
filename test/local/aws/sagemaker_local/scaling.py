"""Application Auto Scaling, as far as it knows SageMaker's variants: targets and their policies.

It keeps a variant's count of instances between the target's capacities. There is no load here that a policy could follow, so
a policy is kept and never moves anything, and makes no alarms.
"""

import json
import logging
import re
import threading
import time
import uuid

from . import listing
from .errors import AwsError, aws_error

logger = logging.getLogger("sagemaker.scaling")

# The API reference: a page has up to 50 targets or policies.
PAGE = 50

_DIMENSION = "sagemaker:variant:DesiredInstanceCount"
_RESOURCE = re.compile(r"endpoint/(?P<endpoint>[^/]+)/variant/(?P<variant>[^/]+)")


class Scaling:
    def __init__(self, hosting, scope, call):
        """call(operation, request) is a call of SageMaker by this service."""
        self._hosting, self._scope, self._call = hosting, scope, call
        self._lock = threading.Lock()
        self._targets, self._policies = {}, {}
        hosting.is_scaled = self._is_scaled
        hosting.deleted = self._forget

    def RegisterScalableTarget(self, request):
        key, endpoint, variant = _target_of(request)
        # Not under the lock: SageMaker asks back, whether the variant is scaled.
        found = self._hosting.variant(endpoint, variant)
        if found is None:
            raise aws_error("scaling-variant-not-found", resource=request["ResourceId"])
        with self._lock:
            target = self._targets.get(key)
            low = request.get("MinCapacity", target and target["MinCapacity"])
            high = request.get("MaxCapacity", target and target["MaxCapacity"])
            if low is None or high is None:
                raise aws_error("scaling-capacity-missing")
            if low > high:
                raise aws_error("scaling-capacity-order")
            if found.get("InstanceType", "").startswith("ml.t2."):
                raise aws_error("scaling-burstable", instance=found["InstanceType"])
            if "ServerlessConfig" in found:
                raise aws_error("scaling-serverless", variant=variant)
            account, region = self._scope()
            if target is None:
                target = self._targets[key] = {
                    **_identity(request), "CreationTime": _now(),
                    "RoleARN": f"arn:aws:iam::{account}:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/"
                               "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint",
                    "SuspendedState": {f"{kind}Suspended": False for kind in ("DynamicScalingIn", "DynamicScalingOut", "ScheduledScaling")},
                    "ScalableTargetARN": f"arn:aws:application-autoscaling:{region}:{account}:scalable-target/{uuid.uuid4().hex}",
                }
            target.update({"MinCapacity": low, "MaxCapacity": high})
            target["SuspendedState"].update(request.get("SuspendedState", {}))
            answer = {"ScalableTargetARN": target["ScalableTargetARN"]}
        count = found["InitialInstanceCount"]
        if not low <= count <= high:
            self._resize(endpoint, variant, min(max(count, low), high))
        return answer

    def DeregisterScalableTarget(self, request):
        key = _target_of(request)[0]
        with self._lock:
            self._target(key)
            del self._targets[key]
            for policy in [p for p in self._policies if p[:-1] == key]:
                del self._policies[policy]
        return {}

    def DescribeScalableTargets(self, request):
        with self._lock:
            found = [t for t in self._targets.values() if _wanted(t, request) and (
                "ResourceIds" not in request or t["ResourceId"] in request["ResourceIds"])]
            page, token = listing.page(json.loads(json.dumps(found)), request, most=PAGE)
        return {"ScalableTargets": page, **token}

    def PutScalingPolicy(self, request):
        key = _target_of(request)[0]
        if request.get("PolicyType") != "TargetTrackingScaling" or "TargetTrackingScalingPolicyConfiguration" not in request:
            raise aws_error("scaling-policy-type")
        with self._lock:
            self._target(key)
            account, region = self._scope()
            policy = self._policies.setdefault((*key, request["PolicyName"]), {
                "PolicyARN": f"arn:aws:autoscaling:{region}:{account}:scalingPolicy:{uuid.uuid4()}:resource/sagemaker/"
                             f"{request['ResourceId']}:policyName/{request['PolicyName']}",
                "CreationTime": _now(),
            })
            policy.update(json.loads(json.dumps(request)))
            return {"PolicyARN": policy["PolicyARN"], "Alarms": []}

    def DescribeScalingPolicies(self, request):
        with self._lock:
            found = [p for p in self._policies.values() if _wanted(p, request)
                     and ("ResourceId" not in request or p["ResourceId"] == request["ResourceId"])
                     and ("PolicyNames" not in request or p["PolicyName"] in request["PolicyNames"])]
            page, token = listing.page(json.loads(json.dumps(found)), request, most=PAGE)
        return {"ScalingPolicies": [{**p, "Alarms": []} for p in page], **token}

    def DeleteScalingPolicy(self, request):
        key = _target_of(request)[0]
        with self._lock:
            if (*key, request["PolicyName"]) not in self._policies:
                raise aws_error("scaling-policy-not-found", **_texts(key), policy=request["PolicyName"])
            del self._policies[*key, request["PolicyName"]]
        return {}

    def _target(self, key):
        if key not in self._targets:
            raise aws_error("scaling-target-not-found", **_texts(key))
        return self._targets[key]

    def _is_scaled(self, endpoint, variant):
        with self._lock:
            return ("sagemaker", f"endpoint/{endpoint}/variant/{variant}", _DIMENSION) in self._targets

    def _forget(self, endpoint):
        """The endpoint is gone, and its targets with it."""
        with self._lock:
            for kept in (self._targets, self._policies):
                for key in [k for k in kept if k[1].startswith(f"endpoint/{endpoint}/")]:
                    del kept[key]

    def _resize(self, endpoint, variant, count):
        try:
            self._call("UpdateEndpointWeightsAndCapacities", {
                "EndpointName": endpoint, "DesiredWeightsAndCapacities": [{"VariantName": variant, "DesiredInstanceCount": count}]})
        except AwsError as error:
            logger.info("scaling %s of %s to %d: %s", variant, endpoint, count, error.message)


def _identity(request):
    return {m: request[m] for m in ("ServiceNamespace", "ResourceId", "ScalableDimension")}


def _target_of(request):
    """The key of the target that the request is about, and its endpoint and variant."""
    match = _RESOURCE.fullmatch(request["ResourceId"])
    if request["ServiceNamespace"] != "sagemaker" or request["ScalableDimension"] != _DIMENSION or match is None:
        raise aws_error("scaling-unsupported")
    return tuple(_identity(request).values()), match["endpoint"], match["variant"]


def _wanted(record, request):
    return (record["ServiceNamespace"] == request["ServiceNamespace"]
            and request.get("ScalableDimension", record["ScalableDimension"]) == record["ScalableDimension"])


def _texts(key):
    return dict(zip(("namespace", "resource", "dimension"), key))


def _now():
    return round(time.time(), 3)
