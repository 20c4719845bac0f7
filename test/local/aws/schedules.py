"""Makes MiniStack's EventBridge Scheduler fire as AWS's does, where the difference matters to the pipelines.

- The context attributes of the target's input are filled in: <aws.scheduler.scheduled-time> and its siblings. MiniStack
  passes the words on.
- A rate schedule without a start date fires at once, then at its rate. MiniStack lets the first interval go by.
  (EventBridge Scheduler User Guide, "Schedule types": without a StartDate the schedule starts invoking its target
  immediately.)
- A function is invoked asynchronously, with Lambda's own retries and its OnFailure destination. MiniStack calls it once.
- What is due fires within a second, as on AWS within its 60; MiniStack looks every ten.
"""

import json
import time
import uuid

from sagemaker_local.hooks import HookMissing

SOURCE = "aws.scheduler"


def install():
    from ministack.services import eventbridge, lambda_svc, scheduler

    for module, names in (
        (scheduler, ("_schedules", "_schedule_last_fired", "_tick_schedules", "_SCHEDULE_TICK_INTERVAL")),
        (eventbridge, ("_invoke_target", "_parse_rate_seconds")),
        (lambda_svc, ("_get_func_record_for_ref", "_execution_record_for_config", "invoke_async_with_retry")),
    ):
        for name in names:
            if not hasattr(module, name):
                raise HookMissing(f"MiniStack has no {module.__name__}.{name}: schedules can't be fired as on AWS")

    scheduler._SCHEDULE_TICK_INTERVAL = 1
    tick = scheduler._tick_schedules
    invoke_target = eventbridge._invoke_target

    def tick_of():
        for key, schedule in list(scheduler._schedules._data.items()):
            if fires_at_once(schedule, eventbridge._parse_rate_seconds):
                scheduler._schedule_last_fired.setdefault(key, 0)
        tick()

    def invoke_target_of(target, event, rule, view=None):
        if event.get("Source") != SOURCE:
            return invoke_target(target, event, rule, view)
        text = fill_in(target.get("Input") or "{}", rule.get("Arn", ""), event["Time"])
        if ":lambda:" not in target["Arn"]:
            return invoke_target({**target, "Input": text}, event, rule, view)
        function, config, name = lambda_svc._get_func_record_for_ref(target["Arn"])
        if function is None or config is None:
            scheduler.logger.error("schedule %s: there is no function %s", rule.get("Name"), name)
            return None
        record = lambda_svc._execution_record_for_config(function, config)
        return lambda_svc.invoke_async_with_retry(record, json.loads(text))

    scheduler._tick_schedules = tick_of
    eventbridge._invoke_target = invoke_target_of


def fires_at_once(schedule, rate_seconds):
    """Whether the schedule's first time is the moment in which it is enabled."""
    return (schedule.get("State") == "ENABLED" and schedule.get("StartDate") is None
            and rate_seconds(schedule.get("ScheduleExpression", "")) is not None)


def fill_in(text, arn, now):
    """Fills in the context attributes of an input."""
    for name, value in (
        ("scheduled-time", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))),
        ("schedule-arn", arn),
        ("execution-id", str(uuid.uuid4())),
        ("attempt-number", "1"),
    ):
        text = text.replace(f"<aws.scheduler.{name}>", value)
    return text
