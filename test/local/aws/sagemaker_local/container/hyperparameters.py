"""The hyperparameters of SageMaker's XGBoost 3.2-0: names, types, ranges, and the texts that refuse them.

They arrive as strings. The rules are those of the container's algorithm mode (aws/sagemaker-xgboost-container); those of
its multi-GPU and k-fold modes are left out, and asking for one is an error here.
"""

import math

from errors import UserError

_ALIASES = {"learning_rate": "eta", "min_split_loss": "gamma", "reg_lambda": "lambda", "reg_alpha": "alpha"}

# Metrics that the library computes.
_METRICS = {
    "auc", "aucpr", "map", "ndcg", "aft-nloglik", "cox-nloglik", "error", "gamma-deviance", "gamma-nloglik",
    "interval-regression-accuracy", "logloss", "mae", "mape", "merror", "mlogloss", "mphe", "poisson-nloglik", "rmse",
    "rmsle", "tweedie-nloglik",
}
# Metrics that the container adds with scikit-learn, which isn't here.
_CONTAINER_METRICS = {
    "accuracy", "balanced_accuracy", "f1", "f1_binary", "f1_macro", "mse", "precision", "precision_macro",
    "precision_micro", "r2", "recall", "recall_macro", "recall_micro",
}
_ELSEWHERE = {"_kfold", "_num_cv_round", "_tuning_objective_metric", "use_dask_gpu_training"}

MAXIMIZED = {"auc", "aucpr", "map", "ndcg"}


class _Number:
    def __init__(self, convert, low=-math.inf, high=math.inf, low_open=False, high_open=False):
        self._convert, self._low, self._high = convert, low, high
        self._low_open, self._high_open = low_open, high_open

    def parse(self, name, text):
        try:
            value = self._convert(text)
        except ValueError:
            raise UserError(f"Hyperparameter {name}: could not parse value (caused by ValueError)") from None
        if (value <= self._low if self._low_open else value < self._low) or \
           (value >= self._high if self._high_open else value > self._high) or value != value:
            raise UserError(f"Hyperparameter {name}: {value} is not in {self}")
        return value

    def __str__(self):
        left = "(" if self._low_open or self._low == -math.inf else "["
        right = ")" if self._high_open or self._high == math.inf else "]"
        high = "+inf" if self._high == math.inf else self._high
        return f"{left}{self._low}, {high}{right}"


class _Choice:
    def __init__(self, *choices):
        self._choices = list(choices)

    def parse(self, name, text):
        if text not in self._choices:
            raise UserError(f"Hyperparameter {name}: {text} is not in {self._choices}")
        return text


class _Metrics:
    def parse(self, name, text):
        metrics = text.split(",")
        for metric in metrics:
            base, at, threshold = metric.partition("@")
            if metric in _CONTAINER_METRICS:
                raise UserError(f"the local XGBoost does not have the metric {metric}, which the container computes with scikit-learn; "
                                f"it has the library's own: {', '.join(sorted(_METRICS))}")
            if at:
                if base.strip() not in ("error", "ndcg", "map"):
                    raise UserError(f"Metric '{metric}' is not supported. Parameter 'eval_metric' with customized threshold should "
                                    "be one of these options: 'error', 'ndcg', 'map'.")
                try:
                    float(threshold)
                except ValueError:
                    raise UserError(f"Threshold value 't' in '{base}@t' expects float input.") from None
            elif metric not in _METRICS:
                raise UserError(f"Hyperparameter {name}: value {metrics} not in range {sorted(_METRICS)}")
        return metrics


class _Text:
    def parse(self, name, text):
        return text


def _integer(low, high=math.inf, **ends):
    return _Number(int, low, high, **ends)


def _real(low=-math.inf, high=math.inf, **ends):
    return _Number(float, low, high, **ends)


_RULES = {
    "num_round": _integer(1),
    "csv_weights": _integer(0, 1),
    "early_stopping_rounds": _integer(1),
    "booster": _Choice("gbtree", "gblinear", "dart"),
    "verbosity": _integer(0, 3),
    "nthread": _integer(1),
    "eta": _real(0, 1),
    "gamma": _real(0),
    "max_depth": _integer(0),
    "min_child_weight": _real(0),
    "max_delta_step": _real(0),
    "subsample": _real(0, 1, low_open=True),
    "colsample_bytree": _real(0, 1, low_open=True),
    "colsample_bylevel": _real(0, 1, low_open=True),
    "colsample_bynode": _real(0, 1, low_open=True),
    "lambda": _real(0),
    "alpha": _real(0),
    "tree_method": _Choice("auto", "exact", "approx", "hist"),
    "sketch_eps": _real(0, 1, low_open=True, high_open=True),
    "scale_pos_weight": _real(0, low_open=True),
    "updater": _Text(),
    "dsplit": _Choice("row", "col"),
    "refresh_leaf": _integer(0, 1),
    "process_type": _Choice("default", "update"),
    "grow_policy": _Choice("depthwise", "lossguide"),
    "max_leaves": _integer(0),
    "max_bin": _integer(0),
    "predictor": _Choice("auto", "cpu_predictor"),
    "monotone_constraints": _Text(),
    "interaction_constraints": _Text(),
    "sample_type": _Choice("uniform", "weighted"),
    "normalize_type": _Choice("tree", "forest"),
    "rate_drop": _real(0, 1),
    "one_drop": _integer(0, 1),
    "skip_drop": _real(0, 1),
    "lambda_bias": _real(0, 1),
    "tweedie_variance_power": _real(1, 2, low_open=True, high_open=True),
    "objective": _Choice(
        "binary:logistic", "binary:logitraw", "binary:hinge", "count:poisson", "multi:softmax", "multi:softprob",
        "rank:pairwise", "rank:ndcg", "rank:map", "reg:linear", "reg:squarederror", "reg:logistic", "reg:gamma",
        "reg:pseudohubererror", "reg:squaredlogerror", "reg:absoluteerror", "reg:tweedie", "survival:aft", "survival:cox"),
    "num_class": _integer(2),
    "base_score": _real(0),
    "eval_metric": _Metrics(),
    "seed": _integer(-(2 ** 31), 2 ** 31 - 1, low_open=True, high_open=True),
    "num_parallel_tree": _integer(1),
    "save_model_on_termination": _Choice("true", "false"),
    "aft_loss_distribution": _Choice("normal", "logistic", "extreme"),
    "aft_loss_distribution_scale": _real(0),
    "deterministic_histogram": _Choice("true", "false"),
    "sampling_method": _Choice("uniform", "gradient_based"),
    "prob_buffer_row": _Number(float, 1, low_open=True),
}


def validate(given):
    """The hyperparameters by name in their own types. Raises UserError with the container's text."""
    given = {_ALIASES.get(name, name): value for name, value in given.items()}
    if "num_round" not in given:
        raise UserError("Missing required hyperparameter: num_round")
    parsed = {}
    for name, text in given.items():
        if name in _ELSEWHERE:
            raise UserError(f"the local XGBoost does not have the hyperparameter {name}")
        if name not in _RULES:
            raise UserError(f"Extraneous hyperparameter found: {name}")
        parsed[name] = _RULES[name].parse(name, text)
    _check_dependencies(parsed)
    return parsed


def _check_dependencies(parsed):
    objective = parsed.get("objective")
    if objective in ("multi:softmax", "multi:softprob") and "num_class" not in parsed:
        raise UserError("Require input for parameter 'num_class' for multi-classification")
    metrics = parsed.get("eval_metric", [])
    if "auc" in metrics and not (objective or "").startswith(("binary:", "rank:")):
        raise UserError("Metric 'auc' can only be applied for classification and ranking problems.")
    if "aft-nloglik" in metrics and objective != "survival:aft":
        raise UserError("Metric 'aft-nloglik' can only be applied for 'survival:aft' objective.")
    if "monotone_constraints" in parsed and parsed.get("tree_method") not in ("exact", "hist"):
        raise UserError("monotone_constraints can be used only when the tree_method parameter is set to either 'exact' or 'hist'.")
    if "interaction_constraints" in parsed and parsed.get("tree_method") not in ("exact", "hist", "approx"):
        raise UserError("interaction_constraints can be used only when the tree_method parameter is set to either "
                        "'exact', 'hist' or 'approx'.")
