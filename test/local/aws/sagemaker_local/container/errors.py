"""Errors of the algorithm."""


class UserError(Exception):
    """What the user can mend: a hyperparameter, a channel, the data. The text goes to the job's FailureReason."""
