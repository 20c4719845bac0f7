"""The service's front door: decode a request, check it, order its fault, carry it out, record it."""

import asyncio
import inspect
import json
import logging
import urllib.parse
import uuid

from . import apimodel, faults
from .errors import AwsError, SerializationError, ValidationError, aws_error
from .hosting import Hosting
from .quotas import Quotas
from .registry import Registry
from .scaling import Scaling
from .tags import Tags
from .training import Training
from .transform import Transform

logger = logging.getLogger("sagemaker")

_RUNTIME_HEADERS = {
    "ContentType": "content-type",
    "Accept": "accept",
    "CustomAttributes": "x-amzn-sagemaker-custom-attributes",
    "TargetModel": "x-amzn-sagemaker-target-model",
    "TargetVariant": "x-amzn-sagemaker-target-variant",
    "InferenceId": "x-amzn-sagemaker-inference-id",
}

LOCAL_PREFIX = "/_local/sagemaker/"

# How much of an invocation's body the record of calls keeps, in bytes.
RECORDED_BODY = 1000


# The prefixes of targets in the JSON protocol, by service.
TARGETS = {
    "SageMaker.": "SageMaker",
    "AnyScaleFrontendService.": "Application Auto Scaling",
    "ServiceQuotasV20190624.": "Service Quotas",
}


class Service:
    """SageMaker and its runtime, and what other services know of it."""

    def __init__(self, state, storage, alarms, scope, record_metric):
        """state is the folder of jobs and endpoints; scope() is the account and region of the request in progress;
        record_metric(namespace, name, value, unit, dimensions) publishes to CloudWatch."""
        self.model = apimodel.Model(apimodel.SAGEMAKER)
        self.runtime_model = apimodel.Model(apimodel.SAGEMAKER_RUNTIME)
        self.scaling_model = apimodel.Model(apimodel.APPLICATION_AUTO_SCALING)
        self.quotas_model = apimodel.Model(apimodel.SERVICE_QUOTAS)
        self.faults = faults.Faults()
        self.calls = faults.Calls()
        self.scope = scope
        self.tags = Tags(scope)
        self.quotas = Quotas(scope, self.model)
        self.training = Training(state, storage, scope, self.faults, self.tags, self.quotas, self.model)
        self.hosting = Hosting(state, storage, alarms, scope, self.faults, self.tags, self.quotas, record_metric)
        self.transform = Transform(state, storage, scope, self.faults, self.tags, self.quotas, self.model,
                                   lambda name: self.hosting.DescribeModel({"ModelName": name}))
        self.registry = Registry(self.tags, self.model)
        scaling = Scaling(self.hosting, scope, lambda operation, request: self.call(operation, request, "autoscaling"))
        # Operation → what carries it out and the model that it must fit. No two of these services share a name.
        self._operations = {}
        for part, models in (
            (self.training, (self.model,)), (self.transform, (self.model,)), (self.hosting, (self.model, self.runtime_model)),
            (self.registry, (self.model,)), (self.tags, (self.model,)),
            (scaling, (self.scaling_model,)), (self.quotas, (self.quotas_model,)),
        ):
            for name, method in inspect.getmembers(part, inspect.ismethod):
                for model in models:
                    if name in model.operations:
                        self._operations[name] = method, model

    def unknown(self, operation, service="SageMaker"):
        """The error of an operation that isn't here, with those that are."""
        models = {"SageMaker": (self.model, self.runtime_model), "Application Auto Scaling": (self.scaling_model,),
                  "Service Quotas": (self.quotas_model,)}[service]
        known = sorted(name for name, (_, model) in self._operations.items() if model in models)
        return aws_error("unknown-operation", service=service, operation=operation, known=", ".join(known))

    def call(self, operation, request, source):
        """Carries out one operation and returns its output, or raises AwsError. source says who calls, for the record."""
        error = None
        try:
            return self._call(operation, request)
        except AwsError as e:
            error = e
            raise
        except Exception as e:
            logger.exception("%s failed inside the local SageMaker", operation)
            error = AwsError("InternalFailure", f"the local SageMaker failed: {e!r}", 500)
            raise error from e
        finally:
            self.calls.record(operation, _presentable(request), source, error)

    def _call(self, operation, request):
        if operation not in self._operations:
            raise self.unknown(operation, self._service_of(operation))
        carry_out, model = self._operations[operation]
        try:
            model.check(operation, request)
        except ValidationError as e:
            if model is self.runtime_model:
                e.code = "ValidationError"  # the runtime's name for it
            raise
        ordered, performed = self.faults.for_call(operation, request)
        if ordered is not None and not performed:
            raise ordered
        output = carry_out({k: v for k, v in request.items() if v is not None})
        if ordered is not None:
            raise ordered
        try:
            model.check_output(operation, output)
        except AwsError as e:
            raise RuntimeError(f"the answer of {operation} does not fit the API: {e.message}") from e
        return output

    def _service_of(self, operation):
        if operation in self.scaling_model.operations:
            return "Application Auto Scaling"
        return "Service Quotas" if operation in self.quotas_model.operations else "SageMaker"

    async def handle(self, method, path, headers, body, query):
        """One HTTP request, as MiniStack hands it over: the status, the headers and the body of the answer."""
        target = headers.get("x-amz-target", "")
        prefix, _, operation = target.partition(".")
        if prefix + "." in TARGETS:
            # On a thread: an operation may ask S3, which the loop that runs this coroutine serves.
            return await asyncio.to_thread(self._handle_json, operation, body)
        parts = path.strip("/").split("/")
        if method == "POST" and len(parts) == 3 and parts[0] == "endpoints" and parts[2] == "invocations":
            return await asyncio.to_thread(self._handle_invocation, urllib.parse.unquote(parts[1]), headers, body)
        return _error_answer(self.unknown(f"{method} {path}"))

    def _handle_json(self, operation, body):
        try:
            try:
                request = json.loads(body or b"{}")
            except ValueError as e:
                raise SerializationError(f"the request's body is not JSON: {e}") from e
            return _json_answer(200, self.call(operation, request, "api"), "application/x-amz-json-1.1")
        except AwsError as e:
            return _error_answer(e)

    def _handle_invocation(self, endpoint, headers, body):
        request = {"EndpointName": endpoint, "Body": body}
        for member, header in _RUNTIME_HEADERS.items():
            if header in headers:
                request[member] = headers[header]
        try:
            output = self.call("InvokeEndpoint", request, "api")
        except AwsError as e:
            return _error_answer(e, "application/json")
        return 200, {
            "Content-Type": output["ContentType"],
            "x-Amzn-Invoked-Production-Variant": output["InvokedProductionVariant"],
        }, output["Body"]

    def handle_local(self, method, path, body):
        """One request of a test, below LOCAL_PREFIX; not part of AWS."""
        if (method, path) == ("GET", "health"):
            return _json_answer(200, {"status": "ok"})
        if (method, path) == ("GET", "calls"):
            return _json_answer(200, {"calls": self.calls.all()})
        if (method, path) == ("GET", "faults"):
            return _json_answer(200, {"faults": self.faults.waiting()})
        if (method, path) == ("POST", "quotas"):
            try:
                for name, value in json.loads(body or b"{}").items():
                    self.quotas.put(name, value)
            except (ValueError, TypeError, AttributeError, AwsError) as e:
                return _json_answer(400, {"message": f"setting a quota: {e}"})
            return _json_answer(200, {})
        if (method, path) == ("DELETE", "faults"):
            self.faults.clear()
            return _json_answer(200, {})
        if (method, path) == ("POST", "faults"):
            try:
                fault = faults.parse(json.loads(body or b"null"))
                if fault.get("outcome") == "endpoint-status":
                    self.hosting.put_status(fault["match"]["EndpointName"], fault["endpointStatus"], fault.get("reason"), fault.get("seconds"))
                else:
                    self.faults.order(fault)
            except (ValueError, AwsError) as e:
                return _json_answer(400, {"message": f"ordering a fault: {e}"})
            return _json_answer(200, fault)
        return _json_answer(404, {"message": f"{method} {LOCAL_PREFIX}{path}: there are GET health, GET calls, POST quotas, and GET, POST, DELETE faults"})

    def stop(self):
        """Ends the jobs; a serving process needs no more than to be ended with the others."""
        self.training.stop()
        self.transform.stop()


def _json_answer(status, value, content_type="application/json"):
    return status, {"Content-Type": content_type}, json.dumps(value).encode()


def _error_answer(error, content_type="application/x-amz-json-1.1"):
    body = {"__type": error.code, "message": error.message, **error.members}
    return error.status, {"Content-Type": content_type, "x-amzn-ErrorType": error.code}, json.dumps(body).encode()


def _presentable(request):
    """The request as the record shows it: JSON has no bytes, and the record is no place for megabytes of them."""
    if not isinstance(request, dict):
        return request
    return {k: v[:RECORDED_BODY].decode(errors="replace") if isinstance(v, bytes) else v for k, v in request.items()}


def request_id():
    return str(uuid.uuid4())
