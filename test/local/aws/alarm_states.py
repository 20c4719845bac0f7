"""Makes MiniStack's CloudWatch put metric alarms into the states that AWS's would.

MiniStack takes the points of every dimension together, looks at all periods as one, and only when a point arrives: the alarm
on one pipeline's clock would follow another's, and none would ever say that nothing came. Here an alarm has its own
dimensions, is judged period by period (M out of N), treats what is missing as it is told to, and is looked at every second.

(CloudWatch User Guide, "Alarm evaluation" and "Configuring how CloudWatch alarms treat missing data".)

ALARM_PERIOD_SCALE=0.1 makes every alarm's period a tenth, for tests that can't wait for it.
"""

import os
import threading
import time

from sagemaker_local.hooks import HookMissing

LOOK_SECONDS = 1
# AWS looks a little further back than it has to, and takes what is newest: a point that comes late is no missing one.
FURTHER_BACK = 2

_COMPARISONS = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}


def install():
    from ministack.services import cloudwatch

    for name in ("_alarms", "_metrics", "_dims_key", "_calc_stats", "_stat_value", "_evaluate_alarm", "_evaluate_all_alarms",
                 "_record_history", "_dispatch_alarm_actions", "_evaluate_parent_alarms"):
        if not hasattr(cloudwatch, name):
            raise HookMissing(f"MiniStack has no ministack.services.cloudwatch.{name}: alarms can't be judged as on AWS")
    judge = Judge(cloudwatch)
    others = cloudwatch._evaluate_alarm

    def evaluate(alarm):
        if alarm.get("ComparisonOperator") in _COMPARISONS and alarm.get("MetricName"):
            judge.look(alarm)
        else:
            others(alarm)  # metric math and anomaly detection

    cloudwatch._evaluate_alarm = evaluate

    def look():
        while True:
            time.sleep(LOOK_SECONDS)
            try:
                cloudwatch._evaluate_all_alarms()
            except RuntimeError:
                pass  # an alarm was put or deleted meanwhile: the next look has it

    threading.Thread(target=look, name="alarms", daemon=True).start()


class Judge:
    def __init__(self, cloudwatch):
        self._cloudwatch = cloudwatch
        self._scale = float(os.environ.get("ALARM_PERIOD_SCALE", "1"))
        self._lock = threading.Lock()
        self._since = {}  # when an alarm got the configuration that it has
        self._judged = {}  # the state that it was last found in

    def look(self, alarm):
        with self._lock:
            name, now = alarm["AlarmArn"], time.time()
            configured = alarm.get("AlarmConfigurationUpdatedTimestamp")
            known, since = self._since.get(name, (None, now))
            if known != configured:
                since = now
            self._since[name] = configured, since
            points = self._points(alarm)
            if self._set_by_hand(name, alarm, points, now):
                return
            period = alarm.get("Period", 60) * self._scale
            state, reason = judge(alarm, period, self._windows(alarm, period, points, now), now - since)
            self._judged[name] = state or alarm["StateValue"]
            if state in (None, alarm["StateValue"]):
                return
            before, alarm["StateValue"] = alarm["StateValue"], state
            alarm["StateReason"], alarm["StateUpdatedTimestamp"] = reason, int(now)
        self._cloudwatch._record_history(alarm["AlarmName"], before, state, reason)
        self._cloudwatch._dispatch_alarm_actions(alarm, before, state, reason)
        self._cloudwatch._evaluate_parent_alarms(alarm)

    def _points(self, alarm):
        dimensions = {d["Name"]: d["Value"] for d in alarm.get("Dimensions") or []}
        return list(self._cloudwatch._metrics.get((alarm["Namespace"], alarm["MetricName"], self._cloudwatch._dims_key(dimensions))) or [])

    def _set_by_hand(self, name, alarm, points, now):
        """What SetAlarmState said stays for a period, or until the next point."""
        set_at = alarm.get("StateUpdatedTimestamp", 0)
        if alarm["StateValue"] == self._judged.get(name, "INSUFFICIENT_DATA") or now - set_at > alarm.get("Period", 60):
            return False
        return all(p["Timestamp"] < set_at + 1 for p in points)

    def _windows(self, alarm, period, points, now):
        """The alarm's statistic of each of the last periods, the newest first; None where there is no point."""
        statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic", "Average")
        found = []
        for i in range(alarm.get("EvaluationPeriods", 1) + FURTHER_BACK):
            inside = [p for p in points if now - (i + 1) * period < p["Timestamp"] <= now - i * period]
            found.append(self._cloudwatch._stat_value(self._cloudwatch._calc_stats(inside), statistic, inside) if inside else None)
        return found


def judge(alarm, period, windows, age):
    """The alarm's state and its reason, or None to leave it as it is. age is for how many seconds it has been configured so:
    a period before that is not missing."""
    count = alarm.get("EvaluationPeriods", 1)
    needed = alarm.get("DatapointsToAlarm") or count
    treatment = alarm.get("TreatMissingData", "missing")
    compare = _COMPARISONS[alarm["ComparisonOperator"]]
    values = [w for w in windows if w is not None][:count]
    missing = max(0, min(count, int(age // period)) - len(values))
    bad = sum(compare(v, alarm["Threshold"]) for v in values)
    reason = (f"Threshold Crossed: {bad} of the last {count} datapoints {[float(v) for v in values]} were "
              f"{alarm['ComparisonOperator']} ({alarm['Threshold']}), {missing} missing datapoints were treated as [{treatment}]")
    if treatment == "breaching":
        bad += missing
    if bad >= needed:
        return "ALARM", reason
    if not values:
        if treatment == "missing" and missing:
            return "INSUFFICIENT_DATA", "Insufficient Data: no datapoints were received"
        return ("OK", reason) if treatment == "notBreaching" and missing else (None, "")
    if missing and bad == len(values) and treatment in ("missing", "ignore"):
        # What there is breaches, and nothing says otherwise.
        return ("ALARM", reason) if treatment == "missing" else (None, "")
    return "OK", reason
