"""Puts the local SageMaker into MiniStack.

All of MiniStack that is touched here is private to it, which is why its version is pinned exactly, each hook is checked
before it is used, and the routing is tried out at once.
"""

import importlib.metadata
import time

from .alarms import Alarms
from .api import LOCAL_PREFIX, Service, request_id
from .storage import Storage
from . import resources, workflow

MINISTACK_VERSION = "1.5.33"

SERVICE = "sagemaker"
# What else is added beside it, by the prefix of its targets.
OTHERS = {"application-autoscaling": "AnyScaleFrontendService.", "servicequotas": "ServiceQuotasV20190624."}


class HookMissing(Exception):
    """MiniStack isn't what this was written for."""


def check_version():
    found = importlib.metadata.version("ministack")
    if found != MINISTACK_VERSION:
        raise HookMissing(f"MiniStack {found} is installed, the local SageMaker fits {MINISTACK_VERSION} only: run `make tools`")


def install(state, port):
    """Adds SageMaker to MiniStack's services, and its operations to Step Functions. Returns the service."""
    from hypercorn.protocol.h11 import H11Protocol
    from jsonata.timebox import Timebox
    from ministack import app
    from ministack.core import responses, router
    from ministack.services import cloudwatch, stepfunctions
    from ministack.services.cloudformation import provisioners

    from . import wire

    _need(app, "SERVICE_HANDLERS", dict)
    _need(app, "_handle_post_body_shortcuts")
    _need(router, "SERVICE_PATTERNS", dict)
    _need(router, "detect_service")
    _need(responses, "get_account_id")
    _need(responses, "get_region")
    _need(cloudwatch, "record_metric")
    _need(stepfunctions, "_SERVICE_DISPATCH", dict)
    _need(stepfunctions, "_ExecutionError", type)
    _need(stepfunctions, "_execute_task")
    _need(provisioners, "_RESOURCE_HANDLERS", dict)
    _need(H11Protocol, "_send_h11_event")
    wire.join_head_and_body()

    # MiniStack gives an expression a second, by the clock. On a busy machine an evaluation waits that long for its turn: it
    # is the time on the processor that shows a loop.
    _need(Timebox, "current_milli_time")
    Timebox.current_milli_time = staticmethod(lambda: time.thread_time() * 1000)

    service = Service(state, Storage("127.0.0.1", port), Alarms("127.0.0.1", port),
                      lambda: (responses.get_account_id(), responses.get_region()), cloudwatch.record_metric)
    app.SERVICE_HANDLERS[SERVICE] = service.handle
    # The API comes with a target, the runtime with a signature whose scope is the service's name.
    router.SERVICE_PATTERNS[SERVICE] = {"target_prefixes": ["SageMaker."]}
    for name, prefix in OTHERS.items():
        app.SERVICE_HANDLERS[name] = service.handle
        router.SERVICE_PATTERNS[name] = {"target_prefixes": [prefix]}

    provisioners._RESOURCE_HANDLERS[resources.MODEL_PACKAGE_GROUP] = resources.ModelPackageGroup(service).handler()

    shortcuts = app._handle_post_body_shortcuts

    async def shortcuts_of(method, path, headers, body, query_params, request_id):
        # What a test asks of the local SageMaker is no AWS request: S3 would take it for a bucket.
        if path.startswith(LOCAL_PREFIX):
            return service.handle_local(method, path.removeprefix(LOCAL_PREFIX), body)
        return await shortcuts(method, path, headers, body, query_params, request_id)

    app._handle_post_body_shortcuts = shortcuts_of

    tasks = workflow.Tasks(service, stepfunctions._ExecutionError, request_id)
    stepfunctions._SERVICE_DISPATCH.update({
        "arn:aws:states:::sagemaker:createTrainingJob": tasks.create_training_job,
        "arn:aws:states:::sagemaker:createTransformJob": tasks.create_transform_job,
        "arn:aws:states:::aws-sdk:sagemaker:": tasks.sdk,
        "arn:aws:states:::aws-sdk:applicationautoscaling:": tasks.sdk,
        "arn:aws:states:::aws-sdk:servicequotas:": tasks.sdk,
        "arn:aws:states:::aws-sdk:sagemakerruntime:": tasks.runtime,
    })
    execute_task = stepfunctions._execute_task

    def execute_task_of(state_def, raw_input, execution, ctx):
        # A task that waits must know its execution, to end when that is stopped.
        token = workflow.execution.set(execution)
        try:
            return execute_task(state_def, raw_input, execution, ctx)
        finally:
            workflow.execution.reset(token)

    stepfunctions._execute_task = execute_task_of

    _try_routing(router.detect_service)
    return service


def _need(owner, name, kind=None):
    found = getattr(owner, name, None)
    if found is None or (kind is not None and not isinstance(found, kind)):
        raise HookMissing(
            f"MiniStack {MINISTACK_VERSION} has no usable {owner.__name__}.{name}: the local SageMaker can't be added")


def _try_routing(detect):
    signed = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sagemaker/aws4_request"
    for service, method, path, headers in (
        (SERVICE, "POST", "/", {"x-amz-target": "SageMaker.CreateTrainingJob", "authorization": signed}),
        (SERVICE, "POST", "/endpoints/e/invocations", {"authorization": signed}),
        *((name, "POST", "/", {"x-amz-target": prefix + "Describe"}) for name, prefix in OTHERS.items()),
    ):
        found = detect(method, path, headers, {})
        if found != service:
            raise HookMissing(f"MiniStack {MINISTACK_VERSION} routes {method} {path} of {service} to {found}: it can't be added")
