"""Models, endpoint configurations and endpoints: an endpoint is a real serving process for each variant."""

import collections
import json
import logging
import os
import random
import shutil
import threading
import time

from . import listing, quotas, storage
from .capture import Capture
from .deployment import Plan, alarms_of, scaled
from .errors import ValidationError, aws_error, reason
from .serving import CannotServe, Server

logger = logging.getLogger("sagemaker.hosting")

# How long a rollback can be seen. On AWS it takes minutes.
ROLLBACK_SECONDS = 1
# How often the alarms of an update are looked at. On AWS it is some 10 seconds.
ALARM_POLL_SECONDS = 0.2

STATUSES = ("OutOfService", "Creating", "Updating", "SystemUpdating", "RollingBack", "InService", "Deleting", "Failed",
            "UpdateRollbackFailed")
_IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")

# What an update can retain of a variant, and UpdateEndpointWeightsAndCapacities change: by the members of a configuration.
_DESIRED = {"DesiredInstanceCount": "InitialInstanceCount", "DesiredWeight": "InitialVariantWeight"}


class Hosting:
    def __init__(self, state, s3, alarms, scope, faults, tags, limits, record_metric):
        self._state = os.path.join(state, "endpoints")
        self._s3, self._alarms, self._scope, self._faults, self._tags = s3, alarms, scope, faults, tags
        self._capture = Capture(s3)
        self._quotas, self._record_metric = limits, record_metric
        # Application Auto Scaling's: whether there is a target for the variant of the endpoint, and that the endpoint is gone.
        self.is_scaled = lambda endpoint, variant: False
        self.deleted = lambda endpoint: None
        self._lock = threading.RLock()
        self._models, self._configs, self._endpoints = {}, {}, {}
        self._versions = 0

    # Models.

    def CreateModel(self, request):
        name = request["ModelName"]
        containers = request.get("Containers") or [request.get("PrimaryContainer")]
        if containers == [None]:
            raise ValidationError("Either PrimaryContainer or Containers must be set.")
        if len(containers) != 1:
            raise ValidationError("The local SageMaker hosts models of one container only.")
        uri = containers[0].get("ModelDataUrl")
        with self._lock:
            arn = self._tags.arn("model", name)
            if name in self._models:
                raise aws_error("model-exists", arn=arn)
        try:
            found = uri is None or self._s3.exists(uri)
        except storage.StorageError as error:
            raise ValidationError(str(error)) from error
        if not found:
            raise aws_error("model-data-not-found", uri=uri)
        with self._lock:
            if name in self._models:
                raise aws_error("model-exists", arn=arn)
            self._models[name] = {
                **_without(request, "Tags"), "ModelArn": arn, "CreationTime": _now(),
                "EnableNetworkIsolation": request.get("EnableNetworkIsolation", False),
            }
            self._tags.register(arn, request.get("Tags"))
        return {"ModelArn": arn}

    def DescribeModel(self, request):
        with self._lock:
            return dict(self._find(self._models, "model", request["ModelName"]))

    def DeleteModel(self, request):
        # AWS lets a model in use go, and so does this: the endpoint serves on, and fails when it is next updated.
        with self._lock:
            self._find(self._models, "model", request["ModelName"])
            self._tags.forget(self._models.pop(request["ModelName"])["ModelArn"])
        return {}

    def ListModels(self, request):
        return self._list(self._models, request, "Models", "ModelName", ("ModelName", "ModelArn", "CreationTime"))

    # Endpoint configurations, which nothing can change once they are created.

    def CreateEndpointConfig(self, request):
        name = request["EndpointConfigName"]
        with self._lock:
            arn = self._tags.arn("endpoint-config", name)
            if name in self._configs:
                raise aws_error("endpoint-config-exists", arn=arn)
            for variant in request["ProductionVariants"]:
                _check_variant(variant, self._find(self._models, "model", variant.get("ModelName", "")), request)
            self._configs[name] = {**_without(request, "Tags"), "EndpointConfigArn": arn, "CreationTime": _now()}
            self._tags.register(arn, request.get("Tags"))
        return {"EndpointConfigArn": arn}

    def DescribeEndpointConfig(self, request):
        with self._lock:
            return dict(self._find(self._configs, "endpoint-config", request["EndpointConfigName"]))

    def DeleteEndpointConfig(self, request):
        # AWS does not refuse to delete a configuration in use; it says that one must not.
        with self._lock:
            self._find(self._configs, "endpoint-config", request["EndpointConfigName"])
            self._tags.forget(self._configs.pop(request["EndpointConfigName"])["EndpointConfigArn"])
        return {}

    def ListEndpointConfigs(self, request):
        return self._list(self._configs, request, "EndpointConfigs", "EndpointConfigName",
                          ("EndpointConfigName", "EndpointConfigArn", "CreationTime"))

    # Endpoints.

    def CreateEndpoint(self, request):
        name = request["EndpointName"]
        self._check_alarms(request)
        with self._lock:
            arn = self._tags.arn("endpoint", name)
            if name in self._endpoints:
                raise aws_error("endpoint-exists", arn=arn)
            version = self._version(name, request["EndpointConfigName"])
            version.plan(request.get("DeploymentConfig"))
            self._check_quotas(version.instances())
            endpoint = _Endpoint(name, arn, version.config_name, request)
            endpoint.starting = version
            self._endpoints[name] = endpoint
            self._tags.register(arn, request.get("Tags"))
        self._change(self._create, endpoint, version)
        return {"EndpointArn": arn}

    def UpdateEndpoint(self, request):
        name = request["EndpointName"]
        self._check_alarms(request)
        with self._lock:
            endpoint = self._find(self._endpoints, "endpoint", name)
            version = self._version(name, request["EndpointConfigName"])
            self._check_updatable(endpoint)
            self._check_change(endpoint, version)
            retained = endpoint.last_deployment if request.get("RetainDeploymentConfig") else None
            deployment = request.get("DeploymentConfig") or retained
            plan = version.plan(deployment)
            self._check_quotas(version.instances())
            if request.get("RetainAllVariantProperties"):
                version.retain(endpoint.serving, {p["VariantPropertyType"] for p in request.get("ExcludeRetainedVariantProperties", [])})
            endpoint.enter("Updating")
            endpoint.request = request
            endpoint.last_deployment = deployment or endpoint.last_deployment
            endpoint.pending, endpoint.pending_since, endpoint.pending_status = version, _now(), "Creating"
        self._change(self._update, endpoint, version, plan)
        return {"EndpointArn": endpoint.arn}

    def UpdateEndpointWeightsAndCapacities(self, request):
        with self._lock:
            endpoint = self._find(self._endpoints, "endpoint", request["EndpointName"])
            self._check_updatable(endpoint)
            changes, more = {}, collections.Counter()
            for desired in request["DesiredWeightsAndCapacities"]:
                variant = next((v for v in endpoint.serving.variants if v["VariantName"] == desired["VariantName"]), None)
                if variant is None:
                    raise aws_error("variant-of-endpoint-not-found", variant=desired["VariantName"], arn=endpoint.arn)
                if "ServerlessUpdateConfig" in desired:
                    raise ValidationError("The local SageMaker does not change a ServerlessConfig but by UpdateEndpoint.")
                changes[variant["VariantName"]] = {
                    member: desired[wanted] for wanted, member in _DESIRED.items() if wanted in desired}
                count = variant.get("InitialInstanceCount", 0)
                more[variant.get("InstanceType")] += desired.get("DesiredInstanceCount", count) - count
            self._check_quotas(more)
            endpoint.enter("Updating")
            endpoint.request = request
        self._change(self._resize, endpoint, changes)
        return {"EndpointArn": endpoint.arn}

    def DescribeEndpoint(self, request):
        with self._lock:
            return self._find(self._endpoints, "endpoint", request["EndpointName"]).describe()

    def DeleteEndpoint(self, request):
        with self._lock:
            endpoint = self._find(self._endpoints, "endpoint", request["EndpointName"])
            if endpoint.status in _IN_PROGRESS:
                raise aws_error("endpoint-in-progress", arn=endpoint.arn)
            endpoint.enter("Deleting")
        self._change(self._delete, endpoint)
        return {}

    def ListEndpoints(self, request):
        with self._lock:
            records = {name: e.describe() for name, e in self._endpoints.items()}
        return self._list(records, request, "Endpoints", "EndpointName",
                          ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus"), "EndpointStatus")

    def InvokeEndpoint(self, request):
        name = request["EndpointName"]
        account, region = self._scope()
        with self._lock:
            endpoint = self._endpoints.get(name)
            serving = endpoint.serving if endpoint else None
            if serving is None:
                raise aws_error("endpoint-not-invokable", name=name, account=account)
            if endpoint.pending is not None and random.random() < endpoint.share:
                serving = endpoint.pending
            server = serving.choose(request.get("TargetVariant"))
            if server is None:
                raise aws_error("variant-not-found", variant=request["TargetVariant"], name=name, account=account)
            capture = serving.capture
            server.begin()
        began, status = time.monotonic(), 500
        try:
            status, content_type, body = server.invoke(request)
        finally:
            server.finish()
            self._measure(name, server.variant, status, time.monotonic() - began)
        if status >= 400:
            message = body.decode(errors="replace")
            error = aws_error("model-error", side="client" if status < 500 else "server", status=status, message=message,
                              region=region, name=name, account=account)
            error.members = {
                "OriginalStatusCode": status, "OriginalMessage": message,
                "LogStreamArn": f"arn:aws:logs:{region}:{account}:log-group:/aws/sagemaker/Endpoints/{name}",
            }
            raise error
        if capture:
            self._capture.take(capture, name, server.variant, request, content_type, body)
        return {"Body": body, "ContentType": content_type, "InvokedProductionVariant": server.variant}

    def _measure(self, endpoint, variant, status, seconds):
        """Publishes what AWS does of an invocation. Developer guide, "Endpoint invocation metrics"."""
        for name, value, unit in (
            ("Invocations", 1, "None"), ("Invocation4XXErrors", int(400 <= status < 500), "None"),
            ("Invocation5XXErrors", int(status >= 500), "None"), ("ModelLatency", seconds * 1e6, "Microseconds"),
        ):
            self._record_metric("AWS/SageMaker", name, value, unit, {"EndpointName": endpoint, "VariantName": variant})

    def put_status(self, name, status, failure, seconds=None):
        """A test puts the endpoint into a status, for ever or for some seconds."""
        if status not in STATUSES:
            raise ValidationError(f"{status!r} is no endpoint status: {', '.join(STATUSES)}")
        with self._lock:
            endpoint = self._find(self._endpoints, "endpoint", name)
            before = endpoint.status, endpoint.failure
            endpoint.enter(status, failure)
            put = endpoint.modified
        if seconds is not None:
            def back():
                with self._lock:
                    if self._endpoints.get(name) is endpoint and endpoint.modified == put:
                        endpoint.enter(*before)

            timer = threading.Timer(seconds, back)
            timer.daemon = True
            timer.start()

    def variant(self, name, variant):
        """The description of an endpoint's variant with its type of instance, or None if there is none in service."""
        with self._lock:
            endpoint = self._endpoints.get(name)
            if endpoint is None or endpoint.serving is None:
                return None
            return next((dict(v) for v in endpoint.serving.variants if v["VariantName"] == variant), None)

    def _check_updatable(self, endpoint):
        if endpoint.status in _IN_PROGRESS:
            raise aws_error("endpoint-in-progress", arn=endpoint.arn)
        if endpoint.status != "InService" or endpoint.serving is None:
            raise aws_error("endpoint-not-updatable", arn=endpoint.arn, status=endpoint.status)

    def _check_quotas(self, wanted):
        """wanted instances, by type, beside all that are in use: an update has both the old and the new for a while."""
        used = collections.Counter()
        for endpoint in self._endpoints.values():
            for version in (endpoint.serving, endpoint.pending, endpoint.starting):
                used.update(version.instances() if version is not None else {})
        for instance, count in wanted.items():
            if count > 0:
                self._quotas.check(instance, quotas.ENDPOINT, used[instance], count)

    def _check_change(self, endpoint, version):
        """Refuses what AWS does not change: the developer guide, "Serverless Inference" and "Automatic Scaling"."""
        new = {v["VariantName"]: v for v in version.variants}
        for old in endpoint.serving.variants:
            name = old["VariantName"]
            if "ServerlessConfig" not in old and "ServerlessConfig" in new.get(name, {}):
                raise aws_error("endpoint-to-serverless", arn=endpoint.arn)
            if self.is_scaled(endpoint.name, name) and new.get(name, {}).get("InstanceType") != old.get("InstanceType"):
                raise aws_error("endpoint-scaled", arn=endpoint.arn, variant=name)

    def _check_alarms(self, request):
        """Not under the lock: it asks CloudWatch, which the emulator's loop serves, and that may wait for the lock."""
        wanted = alarms_of(request.get("DeploymentConfig"))
        missing = sorted(set(wanted) - set(self._alarms.states(wanted)))
        if missing:
            raise aws_error("deployment-alarm-not-found", alarms=", ".join(missing))

    # What happens after the answer.

    def _create(self, endpoint, version):
        ordered = self._outcome(endpoint, {"endpoint-failed", "endpoint-slow"})
        try:
            if ordered is not None and ordered["outcome"] == "endpoint-failed":
                raise CannotServe(ordered.get("reason") or reason("endpoint-ping-failed", variant=version.variants[0]["VariantName"]))
            version.start(self._s3)
        except CannotServe as failure:
            version.stop()
            with self._lock:
                endpoint.starting = None
                endpoint.enter("Failed", str(failure))
            return
        with self._lock:
            endpoint.serving, endpoint.starting = version, None
            endpoint.enter("InService")

    def _update(self, endpoint, version, plan):
        """Blue/green: the new processes start beside the old ones, which serve until the new ones have the traffic."""
        ordered = self._outcome(endpoint, {"endpoint-failed", "endpoint-slow", "update-rolls-back", "update-rollback-fails"})
        outcome = ordered["outcome"] if ordered else None
        try:
            if outcome not in (None, "endpoint-slow"):
                raise CannotServe(ordered.get("reason") or reason("endpoint-ping-failed", variant=version.variants[0]["VariantName"]))
            version.start(self._s3)
            for share, seconds in plan.steps:
                with self._lock:
                    endpoint.share = share
                    endpoint.pending_status = "ActivatingTraffic" if share < 1 else "Baking"
                self._watch(plan.alarms, scaled(seconds))
        except CannotServe as failure:
            with self._lock:
                endpoint.share = 0.0
                if outcome == "endpoint-failed":
                    endpoint.pending = None
                    endpoint.enter("Failed", str(failure))
                else:
                    endpoint.enter("RollingBack", str(failure))
            version.stop()
            if outcome != "endpoint-failed":
                time.sleep((ordered or {}).get("seconds", ROLLBACK_SECONDS))
                with self._lock:
                    endpoint.pending = None
                    endpoint.enter("UpdateRollbackFailed" if outcome == "update-rollback-fails" else "InService", str(failure))
            return
        with self._lock:
            old, endpoint.serving, endpoint.pending, endpoint.share = endpoint.serving, version, None, 0.0
            endpoint.config_name = version.config_name
            endpoint.enter("InService")
        old.stop()

    def _watch(self, alarms, seconds):
        """Waits, and raises when one of the alarms is in ALARM."""
        deadline = time.monotonic() + seconds
        while True:
            tripped = sorted(name for name, state in self._alarms.states(alarms).items() if state == "ALARM")
            if tripped:
                raise CannotServe(reason("deployment-alarm", alarms=", ".join(tripped)))
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, ALARM_POLL_SECONDS) if alarms else left)

    def _resize(self, endpoint, changes):
        self._outcome(endpoint, {"endpoint-slow"})
        with self._lock:
            for variant in endpoint.serving.variants:
                variant.update(changes.get(variant["VariantName"], {}))
            endpoint.enter("InService")

    def _delete(self, endpoint):
        with self._lock:
            serving, endpoint.serving = endpoint.serving, None
        if serving is not None:
            serving.stop()
        with self._lock:
            self._endpoints.pop(endpoint.name, None)
            self._tags.forget(endpoint.arn)
        self.deleted(endpoint.name)

    def _outcome(self, endpoint, kinds):
        ordered = self._faults.outcome(kinds, endpoint.request)
        if ordered is not None and ordered["outcome"] == "endpoint-slow":
            time.sleep(ordered["seconds"])
        return ordered

    def _change(self, step, endpoint, *arguments):
        def run():
            try:
                step(endpoint, *arguments)
            except Exception as error:
                logger.exception("endpoint %s", endpoint.name)
                with self._lock:
                    endpoint.enter("Failed", f"the local SageMaker failed: {error!r}")
            logger.info("endpoint %s is %s on %s", endpoint.name, endpoint.status, endpoint.config_name)

        threading.Thread(target=run, name=f"endpoint-{endpoint.name}", daemon=True).start()

    def _version(self, endpoint, config_name):
        """The processes that serve a configuration, not started yet."""
        config = self._find(self._configs, "endpoint-config", config_name)
        models = {v["VariantName"]: self._find(self._models, "model", v["ModelName"]) for v in config["ProductionVariants"]}
        self._versions += 1
        variants = [dict(v) for v in config["ProductionVariants"]]
        return _Version(config_name, variants, models, config.get("DataCaptureConfig"), os.path.join(self._state, endpoint, str(self._versions)))

    def _find(self, records, kind, name):
        if name not in records:
            raise aws_error(f"{kind}-not-found", arn=self._tags.arn(kind, name))
        return records[name]

    def _list(self, records, request, member, name, members, status=None):
        with self._lock:
            found = [dict(r) for r in records.values()]
        page, token = listing.page(listing.select(found, request, name, status), request)
        return {member: [{m: r[m] for m in members} for r in page], **token}


class _Endpoint:
    def __init__(self, name, arn, config_name, request):
        self.name, self.arn, self.config_name, self.request = name, arn, config_name, request
        self.serving = None  # the version that answers
        self.starting = None  # the first version, until it answers
        self.pending = None  # the version of an update in progress
        self.pending_since = None
        self.pending_status = "Creating"
        self.share = 0.0  # of the traffic, that the pending version answers
        self.last_deployment = request.get("DeploymentConfig")
        self.created = _now()
        self.enter("Creating")

    def enter(self, status, failure=None):
        self.status, self.failure, self.modified = status, failure, _now()

    def describe(self):
        description = {
            "EndpointName": self.name, "EndpointArn": self.arn, "EndpointConfigName": self.config_name,
            "EndpointStatus": self.status, "CreationTime": self.created, "LastModifiedTime": self.modified,
        }
        if self.failure:
            description["FailureReason"] = self.failure
        if self.serving is not None:
            description["ProductionVariants"] = self.serving.summaries()
            if self.serving.capture:
                description["DataCaptureConfig"] = _capture_summary(self.serving.capture)
        if self.last_deployment:
            description["LastDeploymentConfig"] = self.last_deployment
        if self.pending is not None:
            status = [{"Status": self.pending_status, "StartTime": self.pending_since}]
            description["PendingDeploymentSummary"] = {
                "EndpointConfigName": self.pending.config_name, "StartTime": self.pending_since,
                "ProductionVariants": [{**v, "VariantStatus": status} for v in self.pending.summaries()],
            }
        return description


class _Version:
    """The processes of one endpoint configuration, one for each variant."""

    def __init__(self, config_name, variants, models, capture, folder):
        self.config_name, self.variants, self._models, self.capture, self._folder = config_name, variants, models, capture, folder
        self._servers = {}

    def retain(self, old, excluded):
        """Takes over what the old version's variants of the same names had, whatever the new configuration says."""
        if "DataCaptureConfig" not in excluded:
            self.capture = old.capture
        before = {v["VariantName"]: v for v in old.variants}
        for variant in self.variants:
            for kind, member in _DESIRED.items():
                kept = before.get(variant["VariantName"], {})
                if kind not in excluded and member in kept and member in variant:
                    variant[member] = kept[member]

    def instances(self):
        """How many instances it has, by type."""
        found = collections.Counter()
        for variant in self.variants:
            found[variant.get("InstanceType", "serverless")] += variant.get("InitialInstanceCount", 0)
        return found

    def plan(self, deployment):
        """How a deployment configuration brings this version into service."""
        return Plan(deployment, sum(v.get("InitialInstanceCount", 0) for v in self.variants),
                    any("ServerlessConfig" in v for v in self.variants))

    def start(self, s3):
        for variant in self.variants:
            name = variant["VariantName"]
            model = self._models[name]
            container = model.get("PrimaryContainer") or model["Containers"][0]
            self._servers[name] = Server(name, container, os.path.join(self._folder, name))
            self._servers[name].start(s3)

    def stop(self):
        for server in self._servers.values():
            server.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def choose(self, target):
        """The target variant's process, or one by the variants' weights."""
        if target is not None:
            return self._servers.get(target)
        weights = [v.get("InitialVariantWeight", 1.0) for v in self.variants]
        name = random.choices(self.variants, weights if any(weights) else None)[0]["VariantName"]
        return self._servers[name]

    def summaries(self):
        now = _now()
        found = []
        for variant in self.variants:
            model = self._models[variant["VariantName"]]
            image = (model.get("PrimaryContainer") or model["Containers"][0])["Image"]
            summary = {
                "VariantName": variant["VariantName"],
                "DeployedImages": [{"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": now}],
                "CurrentWeight": variant.get("InitialVariantWeight", 1.0),
                "DesiredWeight": variant.get("InitialVariantWeight", 1.0),
            }
            if "ServerlessConfig" in variant:
                summary["CurrentServerlessConfig"] = summary["DesiredServerlessConfig"] = variant["ServerlessConfig"]
            else:
                summary["CurrentInstanceCount"] = summary["DesiredInstanceCount"] = variant.get("InitialInstanceCount", 1)
            found.append(summary)
        return found


def _check_variant(variant, model, config):
    """What the API model can't say of a variant."""
    serverless = variant.get("ServerlessConfig")
    if serverless is None:
        if "InstanceType" not in variant or "InitialInstanceCount" not in variant:
            raise aws_error("variant-without-instances", variant=variant["VariantName"])
        return
    if "InstanceType" in variant or "InitialInstanceCount" in variant:
        raise aws_error("variant-serverless-instances", variant=variant["VariantName"])
    if serverless["MemorySizeInMB"] % 1024:
        raise aws_error("variant-serverless-memory", memory=serverless["MemorySizeInMB"])
    for feature, used in (("DataCaptureConfig", "DataCaptureConfig" in config), ("VpcConfig", "VpcConfig" in model),
                          ("EnableNetworkIsolation", model.get("EnableNetworkIsolation"))):
        if used:
            raise aws_error("variant-serverless-feature", feature=feature)


def _capture_summary(config):
    enabled = config.get("EnableCapture", True)
    return {
        "EnableCapture": enabled, "CaptureStatus": "Started" if enabled else "Stopped",
        "CurrentSamplingPercentage": config["InitialSamplingPercentage"], "DestinationS3Uri": config["DestinationS3Uri"],
        "KmsKeyId": config.get("KmsKeyId", ""),
    }


def _without(request, *members):
    return json.loads(json.dumps({k: v for k, v in request.items() if k not in members}))


def _now():
    return round(time.time(), 3)
