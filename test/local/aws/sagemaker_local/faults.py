"""Faults that a test orders, and the record of the calls that were made.

A fault is ordered ahead of time and used up by the calls or jobs that it matches. There are two kinds:

  a call's fault   {"operation": "CreateTrainingJob", "code": "ThrottlingException", "message": "Rate exceeded"}
                   the call is answered with this error; with "performed": true it is carried out first, and only its
                   answer is lost; with "seconds" the answer takes as long, and without a "code" that is all.
  an outcome       {"outcome": "training-failed", "reason": "CapacityError: …"}
                   the next training job or endpoint change ends this way.

"times" says how often (default 1), "match" which: the request's members by name, values with * and ?. InstanceType is one of
a job's, wherever its request has it.
"""

import fnmatch
import threading
import time

from .errors import AwsError

OUTCOMES = {
    "training-failed": "the job ends Failed with the reason, without running",
    "training-stopped": "the job ends Stopped, as by a StopTrainingJob",
    "training-times-out": "the job ends Stopped for its time limit (MaxRuntimeExceeded, of a spot job MaxWaitTimeExceeded), without running",
    "training-slow": "the job takes this many seconds longer",
    "transform-failed": "the transform job ends Failed with the reason, without running",
    "transform-stopped": "the transform job ends Stopped, as by a StopTransformJob",
    "transform-slow": "the transform job takes this many seconds longer",
    "endpoint-failed": "the endpoint becomes Failed while it is created or updated",
    "endpoint-slow": "creating or updating the endpoint takes this many seconds longer",
    "update-rolls-back": "the update ends InService on the old configuration, RollingBack in between",
    "update-rollback-fails": "the update ends UpdateRollbackFailed, RollingBack in between",
    "endpoint-status": "the endpoint named in match.EndpointName is put into this status at once, with seconds for as long",
}

_MEMBERS = {
    "operation": str, "code": str, "message": str, "status": int, "performed": bool,
    "outcome": str, "reason": str, "seconds": (int, float), "endpointStatus": str,
    "times": int, "match": dict,
}


class BadFault(ValueError):
    """The order itself is wrong."""


def parse(order):
    """Checks one order and fills in its defaults."""
    if not isinstance(order, dict):
        raise BadFault("a fault is a JSON object")
    for name, value in order.items():
        if name not in _MEMBERS:
            raise BadFault(f"unknown member {name!r}: a fault has {', '.join(_MEMBERS)}")
        if not isinstance(value, _MEMBERS[name]) or (isinstance(value, bool) and _MEMBERS[name] is not bool):
            raise BadFault(f"{name!r} has the wrong type: {value!r}")
    fault = {"times": 1, "match": {}, **order}
    if fault["times"] < 1:
        raise BadFault(f"'times' is {fault['times']}, it must be at least 1")
    if ("operation" in fault) == ("outcome" in fault):
        raise BadFault("a fault has either 'operation' (a call's answer) or 'outcome' (how a job or endpoint ends)")
    if "operation" in fault:
        if "code" in fault:
            fault.setdefault("message", fault["code"])
            fault.setdefault("status", 500 if fault.get("performed") else 400)
        elif "seconds" not in fault:
            raise BadFault("a call's fault needs a 'code', such as ThrottlingException, or the 'seconds' that its answer takes longer")
    elif fault["outcome"] not in OUTCOMES:
        raise BadFault(f"unknown outcome {fault['outcome']!r}: there are {', '.join(OUTCOMES)}")
    elif fault["outcome"] == "endpoint-status" and not ("endpointStatus" in fault and "EndpointName" in fault["match"]):
        raise BadFault("endpoint-status needs 'endpointStatus' and a match on EndpointName")
    elif fault["outcome"].endswith("-slow") and "seconds" not in fault:
        raise BadFault(f"{fault['outcome']} needs 'seconds'")
    return fault


class Faults:
    """The orders that wait."""

    def __init__(self):
        self._lock = threading.Lock()
        self._orders = []

    def order(self, fault):
        with self._lock:
            self._orders.append(fault)

    def waiting(self):
        with self._lock:
            return [dict(f) for f in self._orders]

    def clear(self):
        with self._lock:
            self._orders.clear()

    def for_call(self, operation, request):
        """The error that this call is to be answered with, and whether it is carried out first."""
        fault = self._take(lambda f: f.get("operation") == operation, request)
        if fault is None:
            return None, True
        time.sleep(fault.get("seconds", 0))
        if "code" not in fault:
            return None, True
        return AwsError(fault["code"], fault["message"], fault["status"]), bool(fault.get("performed"))

    def outcome(self, kinds, request):
        """The ordered outcome of one of these kinds, if there is one for this request."""
        return self._take(lambda f: f.get("outcome") in kinds, request)

    def _take(self, wanted, request):
        with self._lock:
            for fault in self._orders:
                if wanted(fault) and _matches(fault["match"], request):
                    fault["times"] -= 1
                    if fault["times"] == 0:
                        self._orders.remove(fault)
                    return fault
        return None


def _matches(match, request):
    return all(fnmatch.fnmatchcase(str(request.get(name, "")), str(pattern)) for name, pattern in match.items())


class Calls:
    """Every call that reached the service, in order."""

    # A poll every second for an hour by three pipelines.
    MOST = 10_000

    def __init__(self):
        self._lock = threading.Lock()
        self._calls = []

    def record(self, operation, request, source, error):
        call = {"time": time.time(), "operation": operation, "request": request, "source": source}
        if error is not None:
            call["error"] = {"code": error.code, "message": error.message, "status": error.status}
        with self._lock:
            self._calls.append(call)
            del self._calls[:-self.MOST]

    def all(self):
        with self._lock:
            return list(self._calls)
