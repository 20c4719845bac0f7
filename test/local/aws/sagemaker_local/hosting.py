"""Models, endpoint configurations and endpoints: an endpoint is a real serving process for each variant."""

import json
import logging
import os
import random
import shutil
import threading
import time

from . import listing, storage
from .errors import ValidationError, aws_error, reason
from .serving import CannotServe, Server

logger = logging.getLogger("sagemaker.hosting")

# How long a rollback can be seen. On AWS it takes minutes.
ROLLBACK_SECONDS = 1

STATUSES = ("OutOfService", "Creating", "Updating", "SystemUpdating", "RollingBack", "InService", "Deleting", "Failed",
            "UpdateRollbackFailed")
_IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


class Hosting:
    def __init__(self, state, s3, scope, faults, tags, model):
        self._state = os.path.join(state, "endpoints")
        self._s3, self._scope, self._faults, self._tags, self._model = s3, scope, faults, tags, model
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
                self._find(self._models, "model", variant.get("ModelName", ""))
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
        with self._lock:
            arn = self._tags.arn("endpoint", name)
            if name in self._endpoints:
                raise aws_error("endpoint-exists", arn=arn)
            version = self._version(name, request["EndpointConfigName"])
            endpoint = _Endpoint(name, arn, version.config_name, request)
            self._endpoints[name] = endpoint
            self._tags.register(arn, request.get("Tags"))
        self._change(self._create, endpoint, version)
        return {"EndpointArn": arn}

    def UpdateEndpoint(self, request):
        name = request["EndpointName"]
        with self._lock:
            endpoint = self._find(self._endpoints, "endpoint", name)
            version = self._version(name, request["EndpointConfigName"])
            if endpoint.status in _IN_PROGRESS:
                raise aws_error("endpoint-in-progress", arn=endpoint.arn)
            if endpoint.status != "InService":
                raise aws_error("endpoint-not-updatable", arn=endpoint.arn, status=endpoint.status)
            if request.get("RetainAllVariantProperties") and endpoint.serving is not None:
                version.retain(endpoint.serving, {p["VariantPropertyType"] for p in request.get("ExcludeRetainedVariantProperties", [])})
            endpoint.enter("Updating")
            endpoint.request = request
            endpoint.pending = version
            endpoint.pending_since = _now()
        self._change(self._update, endpoint, version)
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
            server = serving.choose(request.get("TargetVariant"))
            if server is None:
                raise aws_error("variant-not-found", variant=request["TargetVariant"], name=name, account=account)
            server.begin()
        try:
            status, content_type, body = server.invoke(request)
        finally:
            server.finish()
        if status >= 400:
            message = body.decode(errors="replace")
            error = aws_error("model-error", side="client" if status < 500 else "server", status=status, message=message,
                              region=region, name=name, account=account)
            error.members = {
                "OriginalStatusCode": status, "OriginalMessage": message,
                "LogStreamArn": f"arn:aws:logs:{region}:{account}:log-group:/aws/sagemaker/Endpoints/{name}",
            }
            raise error
        return {"Body": body, "ContentType": content_type, "InvokedProductionVariant": server.variant}

    def put_status(self, name, status, failure):
        """A test puts the endpoint into a status."""
        if status not in STATUSES:
            raise ValidationError(f"{status!r} is no endpoint status: {', '.join(STATUSES)}")
        with self._lock:
            endpoint = self._find(self._endpoints, "endpoint", name)
            endpoint.enter(status, failure)

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
                endpoint.enter("Failed", str(failure))
            return
        with self._lock:
            endpoint.serving = version
            endpoint.enter("InService")

    def _update(self, endpoint, version):
        """Blue/green: the new processes start beside the old ones, which serve until the new ones are ready."""
        ordered = self._outcome(endpoint, {"endpoint-failed", "endpoint-slow", "update-rolls-back"})
        outcome = ordered["outcome"] if ordered else None
        try:
            if outcome in ("endpoint-failed", "update-rolls-back"):
                raise CannotServe(ordered.get("reason") or reason("endpoint-ping-failed", variant=version.variants[0]["VariantName"]))
            version.start(self._s3)
        except CannotServe as failure:
            version.stop()
            if outcome == "endpoint-failed":
                with self._lock:
                    endpoint.pending = None
                    endpoint.enter("Failed", str(failure))
                return
            with self._lock:
                endpoint.enter("RollingBack", str(failure))
            time.sleep(ordered.get("seconds", ROLLBACK_SECONDS) if outcome == "update-rolls-back" else ROLLBACK_SECONDS)
            with self._lock:
                endpoint.pending = None
                endpoint.enter("InService", str(failure))
            return
        with self._lock:
            old, endpoint.serving, endpoint.pending = endpoint.serving, version, None
            endpoint.config_name = version.config_name
            if "DeploymentConfig" in endpoint.request:
                endpoint.last_deployment = endpoint.request["DeploymentConfig"]
            endpoint.enter("InService")
        if old is not None:
            old.stop()

    def _delete(self, endpoint):
        with self._lock:
            serving, endpoint.serving = endpoint.serving, None
        if serving is not None:
            serving.stop()
        with self._lock:
            self._endpoints.pop(endpoint.name, None)
            self._tags.forget(endpoint.arn)

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
        return _Version(config_name, variants, models, os.path.join(self._state, endpoint, str(self._versions)))

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
        self.pending = None  # the version of an update in progress
        self.pending_since = None
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
        if self.last_deployment:
            description["LastDeploymentConfig"] = self.last_deployment
        if self.pending is not None:
            description["PendingDeploymentSummary"] = {
                "EndpointConfigName": self.pending.config_name, "StartTime": self.pending_since,
                "ProductionVariants": [{"VariantName": v["VariantName"]} for v in self.pending.variants],
            }
        return description


class _Version:
    """The processes of one endpoint configuration, one for each variant."""

    def __init__(self, config_name, variants, models, folder):
        self.config_name, self.variants, self._models, self._folder = config_name, variants, models, folder
        self._servers = {}

    def retain(self, old, excluded):
        """Takes over what the old version's variants of the same names had, whatever the new configuration says."""
        before = {v["VariantName"]: v for v in old.variants}
        for variant in self.variants:
            for kind, member in (("DesiredInstanceCount", "InitialInstanceCount"), ("DesiredWeight", "InitialVariantWeight")):
                kept = before.get(variant["VariantName"], {})
                if kind not in excluded and member in kept:
                    variant[member] = kept[member]

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


def _without(request, *members):
    return json.loads(json.dumps({k: v for k, v in request.items() if k not in members}))


def _now():
    return round(time.time(), 3)
