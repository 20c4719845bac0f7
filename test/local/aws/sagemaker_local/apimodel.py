"""Checks a request against AWS's own API model, as the service's front end does.

The models are the service-2.json files that botocore ships. The texts are those of AWS's front end; where AWS ignores
what it does not know (an unknown member), this is stricter on purpose: a member that is misspelt never gets as far as
AWS, because the SDKs and Step Functions refuse it.
"""

import gzip
import json
import os
import re

import botocore

from .errors import SerializationError, UnknownMember, ValidationError

SAGEMAKER = "sagemaker/2017-07-24"
SAGEMAKER_RUNTIME = "sagemaker-runtime/2017-05-13"
APPLICATION_AUTO_SCALING = "application-autoscaling/2016-02-06"
SERVICE_QUOTAS = "service-quotas/2019-06-24"

# Java's Unicode classes, which Python's re does not know. Approximations that accept a little more than Java does, for
# the few free-text members (tags, descriptions) that use them.
_JAVA_CLASSES = {
    r"\p{L}": r"a-zA-Z\u00aa-\uffff",
    r"\p{M}": r"\u0300-\u036f",
    r"\p{N}": r"\d",
    r"\p{Z}": r"\s",
    r"\p{P}": r"!-/:-@\[-`{-~\u2010-\u206f",
    r"\p{S}": r"$+<=>^`|~\u20a0-\u2bff",
    r"\p{Alnum}": r"a-zA-Z0-9",
    r"\p{Print}": r" -~",
    r"\p{ASCII}": r"\x00-\x7f",
}
_PART = re.compile(r"\\p\{\w+\}|\\.|.", re.DOTALL)


class Model:
    """One service's API model."""

    def __init__(self, service):
        path = os.path.join(os.path.dirname(botocore.__file__), "data", service, "service-2.json.gz")
        with gzip.open(path) as f:
            self._model = json.load(f)
        self.shapes = self._model["shapes"]
        self.operations = self._model["operations"]
        self._patterns = {}

    def errors_of(self, operation):
        """The names of the errors that the model declares for the operation."""
        return {e["shape"] for e in self.operations[operation].get("errors", [])}

    def output_members(self, operation):
        return self.shapes[self.operations[operation]["output"]["shape"]]["members"]

    def check(self, operation, request):
        """Raises AWS's error if the request does not fit the operation's input, naming every violation at once."""
        self._check_whole(self.operations[operation].get("input"), request)

    def check_output(self, operation, output):
        """Raises an error if what the local SageMaker is about to answer is nothing that AWS could."""
        self._check_whole(self.operations[operation].get("output"), output)

    def _check_whole(self, shape, value):
        if shape is None:
            return
        violations = []
        self._check(shape["shape"], value, "", violations)
        if violations:
            count = len(violations)
            plural = "error" if count == 1 else "errors"
            raise ValidationError(f"{count} validation {plural} detected: " + "; ".join(violations))

    def _check(self, name, value, path, violations):
        shape = self.shapes[name]
        getattr(self, "_check_" + shape["type"])(shape, value, path, violations)

    def _check_structure(self, shape, value, path, violations):
        if not isinstance(value, dict):
            raise SerializationError(_unexpected(value, "structure or map"))
        members = shape["members"]
        for member in value:
            if member not in members:
                raise UnknownMember(member, path, sorted(members))
        if shape.get("union") and sum(v is not None for v in value.values()) != 1:
            violations.append(f"Value at '{path}' failed to satisfy constraint: Exactly one member of the union must be set")
        for member in shape.get("required", []):
            if value.get(member) is None:
                violations.append(must_not_be_null(_below(path, member)))
        for member, child in value.items():
            if child is not None:
                self._check(members[member]["shape"], child, _below(path, member), violations)

    def _check_list(self, shape, value, path, violations):
        if not isinstance(value, list):
            raise SerializationError(_unexpected(value, "list"))
        self._check_size(shape, value, path, violations)
        for i, child in enumerate(value):
            self._check(shape["member"]["shape"], child, f"{path}.{i + 1}.member", violations)

    def _check_map(self, shape, value, path, violations):
        if not isinstance(value, dict):
            raise SerializationError(_unexpected(value, "structure or map"))
        self._check_size(shape, value, path, violations)
        for part, children in (("key", value.keys()), ("value", value.values())):
            for child in children:
                inner = []
                self._check(shape[part]["shape"], child, path, inner)
                constraints = [v.split(" failed to satisfy constraint: ")[-1] for v in inner]
                if constraints:
                    violations.append(
                        f"Value '{_show(value)}' at '{path}' failed to satisfy constraint: "
                        f"Map {part} must satisfy constraint: [{', '.join(constraints)}]")
                    break

    def _check_string(self, shape, value, path, violations):
        if not isinstance(value, str):
            raise SerializationError(_cannot_be(value, "a String"))
        self._check_size(shape, value, path, violations)
        if "pattern" in shape and not self._pattern(shape["pattern"]).fullmatch(value):
            violations.append(_violation(value, path, "Member must satisfy regular expression pattern: " + shape["pattern"]))
        if "enum" in shape and value not in shape["enum"]:
            violations.append(_violation(value, path, f"Member must satisfy enum value set: [{', '.join(shape['enum'])}]"))

    def _check_integer(self, shape, value, path, violations):
        if isinstance(value, bool) or not isinstance(value, int):
            raise SerializationError(_cannot_be(value, "an Integer"))
        self._check_range(shape, value, path, violations)

    _check_long = _check_integer

    def _check_float(self, shape, value, path, violations):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise SerializationError(_cannot_be(value, "a Float"))
        self._check_range(shape, value, path, violations)

    _check_double = _check_float

    def _check_boolean(self, shape, value, path, violations):
        if not isinstance(value, bool):
            raise SerializationError(_cannot_be(value, "a Boolean"))

    def _check_timestamp(self, shape, value, path, violations):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise SerializationError(_cannot_be(value, "a Timestamp"))

    def _check_blob(self, shape, value, path, violations):
        self._check_size(shape, value, path, violations)

    def _check_size(self, shape, value, path, violations):
        if len(value) > shape.get("max", float("inf")):
            violations.append(_violation(value, path, f"Member must have length less than or equal to {shape['max']}"))
        if len(value) < shape.get("min", 0):
            violations.append(_violation(value, path, f"Member must have length greater than or equal to {shape['min']}"))

    def _check_range(self, shape, value, path, violations):
        if value > shape.get("max", float("inf")):
            violations.append(_violation(value, path, f"Member must have value less than or equal to {shape['max']}"))
        if value < shape.get("min", float("-inf")):
            violations.append(_violation(value, path, f"Member must have value greater than or equal to {shape['min']}"))

    def _pattern(self, pattern):
        compiled = self._patterns.get(pattern)
        if compiled is None:
            compiled = self._patterns[pattern] = _java_pattern(pattern)
        return compiled


def must_not_be_null(member):
    """The violation of a request that lacks the member."""
    return f"Value null at '{member[0].lower() + member[1:]}' failed to satisfy constraint: Member must not be null"


def _java_pattern(pattern):
    # $ that is repeated is $, and Python spells the end of the text with a capital.
    pattern = re.sub(r"\$\{\d+,\d+\}", "$", pattern).replace(r"\z", r"\Z")
    # A class in brackets becomes more of it, one of its own gets its brackets: [\p{L}_], \p{Print}+.
    translated, depth = "", 0
    for part in _PART.findall(pattern):
        depth += {"[": 1, "]": -1}.get(part, 0)
        python = _JAVA_CLASSES.get(part, part)
        translated += f"[{python}]" if python != part and depth == 0 else python
    try:
        return re.compile(translated, re.DOTALL)
    except re.error:
        return re.compile(".*", re.DOTALL)  # a few patterns of the model are no valid expressions in Java either


def _below(path, member):
    name = member[0].lower() + member[1:]
    return f"{path}.{name}" if path else name


def _violation(value, path, constraint):
    return f"Value '{_show(value)}' at '{path}' failed to satisfy constraint: {constraint}"


def _show(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}={_show(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_show(v) for v in value) + "]"
    return str(value)


def _unexpected(value, expected):
    if isinstance(value, list):
        return "Start of list found where not expected"
    if isinstance(value, dict):
        return "Start of structure or map found where not expected."
    return f"Unexpected value type in payload: a {expected} is expected"


def _cannot_be(value, wanted):
    if isinstance(value, (dict, list)):
        return _unexpected(value, wanted)
    kind = {bool: "TRUE_VALUE" if value else "FALSE_VALUE", str: "STRING_VALUE"}.get(type(value), "NUMBER_VALUE")
    return f"{kind} can not be converted to {wanted}"
