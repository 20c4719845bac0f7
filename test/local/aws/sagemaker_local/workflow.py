"""SageMaker as tasks of AWS Step Functions.

Two integrations reach it, and AWS names their errors differently:

  arn:aws:states:::sagemaker:createTrainingJob[.sync]   the optimized one (createTransformJob too), built on version 1 of
                                                        the SDK for Java
  arn:aws:states:::aws-sdk:sagemaker:describeEndpoint   any operation, built on version 2

An error that the API model declares for the operation carries its name and the suffix Exception
(SageMaker.ResourceLimitExceededException). Every other one carries the name of the SDK's base exception:
SageMaker.AmazonSageMakerException in version 1, SageMaker.SageMakerException in version 2. Throttling is not declared,
so it is one of those, and tells itself apart by its cause only.
"""

import base64
import contextvars
import datetime
import json

from .errors import AwsError, UnknownMember

# How often a task that waits for a job looks whether its execution was stopped.
STOP_POLL_SECONDS = 0.2

execution = contextvars.ContextVar("execution", default=None)


class Tasks:
    def __init__(self, service, error, request_id):
        """error is MiniStack's exception for a task's error: error(name, cause)."""
        self._service, self._error, self._request_id = service, error, request_id
        # By their names in a resource: the name in errors, the API.
        self._sdks = {
            "sagemaker": ("SageMaker", service.model),
            "sagemakerruntime": ("SageMakerRuntime", service.runtime_model),
            "applicationautoscaling": ("ApplicationAutoScaling", service.scaling_model),
            "servicequotas": ("ServiceQuotas", service.quotas_model),
        }

    def create_training_job(self, resource, arguments):
        """sagemaker:createTrainingJob[.sync]."""
        return self._create_job("TrainingJob", self._service.training, resource, arguments)

    def create_transform_job(self, resource, arguments):
        """sagemaker:createTransformJob[.sync]."""
        return self._create_job("TransformJob", self._service.transform, resource, arguments)

    def _create_job(self, kind, part, resource, arguments):
        """Creates a job, and with .sync waits for its end."""
        created = self._call(f"Create{kind}", arguments, "AmazonSageMaker", "AmazonSageMakerException", self._cause_v1)
        if not resource.endswith(".sync"):
            return created
        job = part.job(arguments[f"{kind}Name"])
        running = execution.get()
        while not job.ended.wait(STOP_POLL_SECONDS):
            if running is not None and running["status"] != "RUNNING":
                self._stop(kind, job)
                # Ends the execution's thread: its history is closed, a result or an error would be written behind it.
                raise SystemExit
        description = _milliseconds(job.describe(), self._service.model, f"Describe{kind}Response")
        if description[f"{kind}Status"] != "Completed":
            raise self._error("States.TaskFailed", json.dumps(description, separators=(",", ":")))
        return description

    def sdk(self, resource, arguments):
        """aws-sdk:<service>:<operation>, of SageMaker and of the services beside it."""
        operation = _operation(resource)
        sdk, model = self._sdks[resource.split(":")[6]]
        output = self._call(operation, arguments, sdk, f"{sdk}Exception", self._cause_v2)
        shape = model.operations[operation].get("output", {}).get("shape")
        return _iso(output, model, shape) if shape else output

    def runtime(self, resource, arguments):
        """aws-sdk:sagemakerruntime:<operation>.

        Step Functions writes what it gives to a blob as JSON, so a text arrives in quotes; what comes back is text. Source:
        test_s3_put_object in localstack/localstack, whose snapshots were recorded on AWS on 6 November 2025.
        """
        arguments = dict(arguments)
        body = arguments.get("Body")
        if body is not None:
            arguments["Body"] = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
        output = self._call(_operation(resource), arguments, "SageMakerRuntime", "SageMakerRuntimeException", self._cause_v2)
        return {**output, "Body": _text(output["Body"])}

    def _stop(self, kind, job):
        try:
            self._service.call(f"Stop{kind}", {f"{kind}Name": job.name}, "states")
        except AwsError:
            pass  # it ended meanwhile

    def _call(self, operation, arguments, sdk, base_exception, cause):
        try:
            return self._service.call(operation, arguments, "states")
        except UnknownMember as error:
            raise self._error("States.Runtime", (
                f"The Parameters '{json.dumps(arguments)}' could not be used to start the Task: "
                f"[The field \"{error.member}\" is not supported by Step Functions]")) from error
        except AwsError as error:
            models = {"AmazonSageMaker": self._service.model, **dict(self._sdks.values())}
            model = models[sdk]
            declared = operation in model.operations and error.code in model.errors_of(operation)
            name = error.code.removesuffix("Exception") + "Exception" if declared else base_exception
            raise self._error(f"{sdk.removeprefix('Amazon')}.{name}", cause(error, sdk)) from error

    def _cause_v1(self, error, sdk):
        return (f"{error.message} (Service: {sdk}; Status Code: {error.status}; Error Code: {error.code}; "
                f"Request ID: {self._request_id()}; Proxy: null)")

    def _cause_v2(self, error, sdk):
        return f"{error.message} (Service: {sdk}, Status Code: {error.status}, Request ID: {self._request_id()})"


def _operation(resource):
    name = resource.split(":")[-1].split(".")[0]
    return name[0].upper() + name[1:]


def _text(body):
    try:
        return body.decode()
    except UnicodeDecodeError:
        return base64.b64encode(body).decode()


def _iso(value, model, shape):
    """The SDK integration's form of an output: times are ISO 8601."""
    return _times(value, model, shape, lambda t: datetime.datetime.fromtimestamp(t, datetime.timezone.utc)
                  .isoformat(timespec="milliseconds").replace("+00:00", "Z"))


def _milliseconds(value, model, shape):
    """The optimized integration's form of an output: times are milliseconds since 1970."""
    return _times(value, model, shape, lambda t: round(t * 1000))


def _times(value, model, shape, convert):
    definition = model.shapes[shape]
    kind = definition["type"]
    if kind == "timestamp":
        return convert(value)
    if kind == "structure":
        return {k: _times(v, model, definition["members"][k]["shape"], convert) for k, v in value.items()}
    if kind == "list":
        return [_times(v, model, definition["member"]["shape"], convert) for v in value]
    if kind == "map":
        return {k: _times(v, model, definition["value"]["shape"], convert) for k, v in value.items()}
    return value
