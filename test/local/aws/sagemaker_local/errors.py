"""AWS's errors: codes, HTTP statuses, and the texts that clients match on.

The texts live in aws_errors.json, each with the public place where AWS was seen to say it.
"""

import json
import os
import re

with open(os.path.join(os.path.dirname(__file__), "aws_errors.json"), encoding="utf-8") as _f:
    TEXTS = json.load(_f)


class AwsError(Exception):
    """An answer of the service that is an error."""

    def __init__(self, code, message, status=400, **members):
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        # What else the error's shape holds (ModelError has an OriginalStatusCode).
        self.members = members


class ValidationError(AwsError):
    def __init__(self, message):
        super().__init__("ValidationException", message)


class SerializationError(AwsError):
    def __init__(self, message):
        super().__init__("SerializationException", message)


class UnknownMember(ValidationError):
    """A member that the API model does not have. Step Functions has a text of its own for it."""

    def __init__(self, member, path, known):
        where = f"at '{path}'" if path else "in the request"
        super().__init__(
            f"1 validation error detected: Unknown parameter {where}: \"{member}\", must be one of: {', '.join(known)}")
        self.member = member


def aws_error(key, /, **values):
    """The error that aws_errors.json holds under this key, with the values put into its text."""
    entry = TEXTS[key]
    text = re.sub(r"\{(\w+)\}", lambda m: str(values[m[1]]), entry["text"])
    return AwsError(entry["code"], text, entry.get("status", 400))


def reason(key, /, **values):
    """The text of a FailureReason."""
    return aws_error(key, **values).message
