"""Gives MiniStack's Step Functions the RedriveExecution that it doesn't have.

An execution that failed or was stopped goes on at the state that it was in, under its own ARN, with the input and the variables
that the state had. (Step Functions Developer Guide, "Restarting state machine executions with redrive".) A Map or Parallel starts
anew as a whole, where AWS runs what failed of it again.
"""

import contextvars
import copy
import json
import threading
import time
import types

from sagemaker_local.hooks import HookMissing

REDRIVABLE = ("FAILED", "ABORTED", "TIMED_OUT")

# The state before the one that is run again. It leaves no events.
_BEFORE = "RedriveExecution"


def install():
    from ministack import app
    from ministack.services import stepfunctions

    for name in ("_executions", "_state_machines", "_run_execution", "_execute_task", "_execute_pass", "_add_event", "_describe_execution",
                 "_emit_execution_status_event", "error_response_json", "json_response", "now_iso"):
        if not hasattr(stepfunctions, name):
            raise HookMissing(f"MiniStack has no {stepfunctions.__name__}.{name}: executions can't be redriven")
    redrive = Redrive(stepfunctions)
    handle = app.SERVICE_HANDLERS["states"]

    async def handle_of(method, path, headers, body, query_params):
        if headers.get("x-amz-target", "").endswith(".RedriveExecution"):
            return redrive.handle(json.loads(body or b"{}"))
        return await handle(method, path, headers, body, query_params)

    app.SERVICE_HANDLERS["states"] = handle_of
    stepfunctions._execute_task = redrive.task(stepfunctions._execute_task)
    stepfunctions._describe_execution = redrive.description(stepfunctions._describe_execution)


class Redrive:
    def __init__(self, stepfunctions):
        self._states = stepfunctions
        self._variables = {}  # of executions, by ARN

    def task(self, execute):
        """Remembers the variables of an execution whose task begins: MiniStack changes them in place."""
        def execute_of(state_def, raw_input, execution, ctx):
            self._variables[execution["executionArn"]] = ctx["variables"]
            return execute(state_def, raw_input, execution, ctx)

        return execute_of

    def description(self, describe):
        """Adds what DescribeExecution says of redriving. Only an execution that succeeded has an output."""
        def describe_of(data):
            status, headers, body = describe(data)
            if status != 200:
                return status, headers, body
            found, execution = json.loads(body), self._states._executions.get(data["executionArn"])
            if found["status"] != "SUCCEEDED":
                found.pop("output", None)
                found.pop("outputDetails", None)
            found["redriveCount"] = execution.get("redriveCount", 0)
            if "redriveDate" in execution:
                found["redriveDate"] = execution["redriveDate"]
            found["redriveStatus"] = "REDRIVABLE" if found["status"] in REDRIVABLE else "NOT_REDRIVABLE"
            return self._states.json_response(found)

        return describe_of

    def handle(self, request):
        arn, states = request.get("executionArn", ""), self._states
        old = states._executions.get(arn)
        if old is None:
            return states.error_response_json("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'", 400)
        if old["status"] not in REDRIVABLE:
            return states.error_response_json("ExecutionNotRedrivable", f"Execution is {old['status']} and cannot be redriven", 400)
        entered = next(e["stateEnteredEventDetails"] for e in reversed(old["events"]) if "stateEnteredEventDetails" in e)
        # A record of its own: a thread that still waits in the old one ends there.
        execution = states._executions[arn] = {
            **old, "status": "RUNNING", "stopDate": None, "output": None, "error": None, "cause": None, "events": list(old["events"]),
            "redriveCount": old.get("redriveCount", 0) + 1, "redriveDate": states.now_iso(),
        }
        states._add_event(execution, "ExecutionRedriven", {"executionRedrivenEventDetails": {"redriveCount": execution["redriveCount"]}})
        states._emit_execution_status_event(execution)
        run = self._run_from(execution, entered["name"], json.loads(entered["input"]), copy.deepcopy(self._variables.get(arn, {})))
        threading.Thread(target=contextvars.copy_context().run, args=(run, arn), daemon=True).start()
        return states.json_response({"redriveDate": time.time()})

    def _run_from(self, execution, name, state_input, variables):
        """MiniStack's own function that runs an execution, on a definition that begins before the state."""
        states = self._states
        machine = states._state_machines.get(execution["stateMachineArn"])
        definition = json.loads(machine["definition"])
        definition["StartAt"] = _BEFORE
        definition["States"][_BEFORE] = {"Type": "Pass", "Next": name}
        execute_pass, add_event = states._execute_pass, states._add_event

        def execute_pass_of(state_def, raw_input, ctx=None):
            if ctx["State"]["Name"] != _BEFORE:
                return execute_pass(state_def, raw_input, ctx)
            ctx["variables"].update(variables)
            return state_input, name

        def add_event_of(record, kind, details=None):
            for part in ("stateEnteredEventDetails", "stateExitedEventDetails"):
                if (details or {}).get(part, {}).get("name") == _BEFORE:
                    return None
            return add_event(record, kind, details)

        return types.FunctionType(states._run_execution.__code__, {
            **vars(states), "_execute_pass": execute_pass_of, "_add_event": add_event_of,
            "_state_machines": {execution["stateMachineArn"]: {**machine, "definition": json.dumps(definition)}},
        })
