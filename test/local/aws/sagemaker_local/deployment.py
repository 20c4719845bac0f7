"""How an update moves an endpoint's traffic: the steps of a DeploymentConfig, and its waits.

The developer guide, "Blue/Green Deployments": the new fleet starts beside the old one, gets its traffic all at once, in two
steps (canary) or in several (linear), and after the last step the old fleet stays for TerminationWaitInSeconds. During all
of it the alarms of AutoRollbackConfiguration are watched.
"""

import os

from .errors import ValidationError, aws_error

# The API reference, TrafficRoutingConfig: what a canary and a linear step may be of the capacity, in percent.
CANARY_PERCENT = (1, 50)
LINEAR_PERCENT = (10, 50)


def scaled(seconds):
    """The waits of an update are scaled as those of Step Functions are: SFN_WAIT_SCALE=0.1 makes them a tenth."""
    return seconds * float(os.environ.get("SFN_WAIT_SCALE", "1"))


def alarms_of(config):
    """The names of the alarms that roll an update back."""
    return [a["AlarmName"] for a in (config or {}).get("AutoRollbackConfiguration", {}).get("Alarms", []) if "AlarmName" in a]


class Plan:
    """The steps of one update. serverless variants have no fleet: they ignore the configuration, as on AWS."""

    def __init__(self, config, instances, serverless):
        """instances is the capacity of the new fleet."""
        config = config or {}
        if "RollingUpdatePolicy" in config:
            raise ValidationError("The local SageMaker updates blue/green only, not by a RollingUpdatePolicy.")
        policy = config.get("BlueGreenUpdatePolicy", {})
        shares, wait = _shares(policy.get("TrafficRoutingConfiguration", {"Type": "ALL_AT_ONCE"}), instances)
        self.alarms = alarms_of(config)
        # Each step is a share of the traffic, and the seconds that it is left so.
        self.steps = [(share, wait) for share in shares[:-1]] + [(1.0, policy.get("TerminationWaitInSeconds", 0))]
        if serverless:
            self.alarms, self.steps = [], [(1.0, 0)]


def _shares(routing, instances):
    kind, wait = routing["Type"], routing.get("WaitIntervalInSeconds", 0)
    member = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}.get(kind)
    for size in ("CanarySize", "LinearStepSize"):
        if (size in routing) != (size == member):
            raise aws_error("deployment-size", kind=kind, size=size, verb="is missing" if size == member else "is not allowed")
    if member is None:
        return [1.0], wait
    size = routing[member]
    percent = size["Value"] if size["Type"] == "CAPACITY_PERCENT" else 100 * size["Value"] / max(1, instances)
    low, high = CANARY_PERCENT if kind == "CANARY" else LINEAR_PERCENT
    if not low <= percent <= high:
        raise aws_error("deployment-percent", size=member, low=low, high=high, percent=round(percent))
    if kind == "CANARY":
        return [percent / 100, 1.0], wait
    shares, share = [], percent
    while share < 100:
        shares.append(share / 100)
        share += percent
    return shares + [1.0], wait
