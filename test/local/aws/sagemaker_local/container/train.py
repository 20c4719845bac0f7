"""The container's `train`: XGBoost in algorithm mode, as SageMaker's image sagemaker-xgboost:3.2-0 runs it.

/opt/ml is where SAGEMAKER_BASE_DIR says. The exit code is 0, or 1 with the reason in output/failure.
"""

import json
import logging
import os
import sys
import tempfile
import traceback

import lifeline
from errors import UserError

MODEL_NAME = "xgboost-model"


def main():
    lifeline.hold()
    base = os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml")
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="[%(asctime)s:%(levelname)s] %(message)s")
    try:
        train(base)
    except Exception as error:  # whatever it was, the job's FailureReason says it
        trace = traceback.format_exc()
        logging.error("%s", trace)
        kind = "UserError" if isinstance(error, UserError) else type(error).__name__
        _write_failure(base, f"framework error: {kind}: {error}" + ("" if isinstance(error, UserError) else f"\n{trace}"))
        sys.exit(1)


def train(base):
    import hyperparameters

    config = os.path.join(base, "input", "config")
    given = _read_json(os.path.join(config, "hyperparameters.json"))
    channels = _read_json(os.path.join(config, "inputdataconfig.json"))
    parameters = hyperparameters.validate(given)
    _check_channels(channels)
    # Imported late: a wrong hyperparameter should not wait for it.
    import channel
    from library import xgboost

    num_round = parameters.pop("num_round")
    early_stopping_rounds = parameters.pop("early_stopping_rounds", None)
    weights = parameters.pop("csv_weights", 0) == 1
    parameters.pop("save_model_on_termination", None)
    parameters["nthread"] = min(parameters.get("nthread", sys.maxsize), int(os.environ.get("OMP_NUM_THREADS", "1")))

    channel.content_type(channels["train"].get("ContentType"))
    data = os.path.join(base, "input", "data")
    with tempfile.TemporaryDirectory(dir=base) as scratch:
        training = channel.load(os.path.join(data, "train"), os.path.join(scratch, "train"), weights)
        if training is None:
            raise UserError(f"No data in training channel path {os.path.join(data, 'train')}")
        validation = None
        if "validation" in channels:
            validation = channel.load(os.path.join(data, "validation"), os.path.join(scratch, "validation"), weights)
            if validation is None:
                raise UserError(f"No data in validation channel path {os.path.join(data, 'validation')}")
    logging.info("Train matrix has %d rows and %d columns", training.num_row(), training.num_col())
    watched = [(training, "train")]
    if validation is not None:
        logging.info("Validation matrix has %d rows", validation.num_row())
        watched.append((validation, "validation"))

    callbacks = [xgboost.callback.EvaluationMonitor()]
    checkpoints = os.path.join(config, "checkpointconfig.json")
    if os.path.exists(checkpoints):
        # As the image: one checkpoint, after the first round, by a name that it does not look for when it starts. A job that
        # lost its machine begins anew.
        callbacks.append(xgboost.callback.TrainingCheckPoint(_read_json(checkpoints)["LocalPath"], name="xgboost-checkpoint", interval=0))
    metrics = parameters.get("eval_metric")
    if early_stopping_rounds and validation is not None and metrics:
        callbacks.append(xgboost.callback.EarlyStopping(
            rounds=early_stopping_rounds, data_name="validation", metric_name=metrics[-1],
            maximize=metrics[-1].partition("@")[0] in hyperparameters.MAXIMIZED, save_best=True))
    try:
        booster = xgboost.train(parameters, training, num_boost_round=num_round, evals=watched, callbacks=callbacks, verbose_eval=False)
    except xgboost.core.XGBoostError as error:
        raise UserError(f"XGB train call failed with exception:\n {error}") from error
    model = os.path.join(base, "model")
    os.makedirs(model, exist_ok=True)
    with open(os.path.join(model, MODEL_NAME), "wb") as f:
        f.write(booster.save_raw("ubj"))


def _check_channels(channels):
    if "train" not in channels:
        raise UserError("Missing required channel: train")
    for name, settings in channels.items():
        if name not in ("train", "validation", "code"):
            raise UserError(f"Extraneous channel found: {name}")
        if settings.get("TrainingInputMode", "File") == "Pipe":
            raise UserError("Pipe mode for CSV is no longer supported. Please use Fast File mode (default) instead. "
                            "Set input_mode='File' in your SageMaker Estimator or TrainingInput.")


def _read_json(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def _write_failure(base, text):
    folder = os.path.join(base, "output")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "failure"), "w", encoding="utf-8") as f:
        f.write(text)


if __name__ == "__main__":
    main()
