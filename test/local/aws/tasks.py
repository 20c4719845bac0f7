"""Makes MiniStack's optimized tasks of Step Functions do as AWS's do, where the difference matters to the workflow.

- events:putEvents names its execution and state machine in the events' resources, and fails with EventBridge.FailedEntry if
  an entry did. (Step Functions Developer Guide, "Add EventBridge events with Step Functions".)
- sns:publish takes a message's attributes, and names its errors as the SDK does: SNS.NotFoundException.
"""

import json
import re

from sagemaker_local import workflow
from sagemaker_local.hooks import HookMissing

_EVENTS, _PUBLISH = "arn:aws:states:::events:putEvents", "arn:aws:states:::sns:publish"


def install():
    from ministack.services import stepfunctions

    dispatch, error_type = stepfunctions._SERVICE_DISPATCH, stepfunctions._ExecutionError
    for resource in (_EVENTS, _PUBLISH):
        if resource not in dispatch:
            raise HookMissing(f"MiniStack has no task {resource}: it can't be made to do as on AWS")
    put_events, publish = dispatch[_EVENTS], dispatch[_PUBLISH]

    def put_events_of(resource, arguments):
        answer = put_events(resource, {**arguments, "Entries": [_with_resources(e) for e in arguments.get("Entries", [])]})
        if answer.get("FailedEntryCount"):
            raise error_type("EventBridge.FailedEntry", json.dumps(answer))
        return answer

    def publish_of(resource, arguments):
        try:
            return publish(resource, {**arguments, **_query_attributes(arguments)})
        except error_type as error:
            raise error_type(*sns_error(error.cause)) from error

    dispatch[_EVENTS], dispatch[_PUBLISH] = put_events_of, publish_of


def sns_error(answer):
    """The name and the cause of the error that the XML of SNS tells."""
    code, message = (re.search(f"<{tag}>(.*?)</{tag}>", answer, re.DOTALL) for tag in ("Code", "Message"))
    if code is None or message is None:
        return "SNS.AmazonSNSException", answer
    return (f"SNS.{code[1].removesuffix('Exception')}Exception",
            f"{message[1]} (Service: AmazonSNS; Status Code: {404 if code[1] == 'NotFound' else 400}; Error Code: {code[1]}; Proxy: null)")


def _with_resources(entry):
    running = workflow.execution.get()
    if running is None:
        return entry
    return {**entry, "Resources": [*entry.get("Resources", []), running["executionArn"], running["stateMachineArn"]]}


def _query_attributes(arguments):
    """The MessageAttributes as MiniStack looks for them, spelled in the query protocol: MessageAttributes.entry.1.Name and so on."""
    spelled = {}
    for i, (name, attribute) in enumerate(arguments.get("MessageAttributes", {}).items(), 1):
        spelled[f"MessageAttributes.entry.{i}.Name"] = name
        for member, value in attribute.items():
            spelled[f"MessageAttributes.entry.{i}.Value.{member}"] = value
    return spelled
