"""Reads a channel of training data: CSV without a header, the label first."""

import csv
import logging
import os
import shutil
import warnings

from errors import UserError

# The container looks this deep into a channel, and skips what is below with nothing but a line in the log.
MAX_FOLDER_DEPTH = 3

_ACCEPTED = ["csv", "libsvm", "parquet", "recordio-protobuf", "text/csv", "text/libsvm", "text/x-libsvm",
             "application/x-parquet", "application/x-recordio-protobuf"]


def content_type(configured):
    """csv, or an error: the container reads more, and without a content type it reads libsvm."""
    if configured is None:
        raise UserError("the channel has no ContentType: the container then reads libsvm, which the local XGBoost does not. "
                        "Set ContentType to text/csv")
    kind, *parameters = [part.strip() for part in configured.lower().split(";")]
    if kind in ("csv", "text/csv"):
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "label_size" and value.strip() != "1":
                raise UserError(f"{configured} is not an accepted csv ContentType. Optional parameter label_size must be equal to 1")
        return "csv"
    if kind in _ACCEPTED:
        raise UserError(f"the local XGBoost reads text/csv only, not {configured}")
    raise UserError(f"{configured} is not an accepted ContentType: {', '.join(_ACCEPTED)}.")


def load(folder, links, weights=False):
    """The channel's DMatrix, or None if there is no data. links is a scratch folder of its own for the channel."""
    from library import xgboost

    files = _files(folder)
    if not files:
        return None
    delimiter = None
    for path in files:
        delimiter = delimiter or _delimiter(path)
    # The library reads one flat folder. Links, named in the order of the files, so that a run can be repeated.
    shutil.rmtree(links, ignore_errors=True)
    os.makedirs(links)
    for i, path in enumerate(files):
        os.symlink(path, os.path.join(links, f"{i:06d}"))
    uri = f"{links}?format=csv&label_column=0&delimiter={delimiter}" + ("&weight_column=1" if weights else "")
    try:
        with warnings.catch_warnings():
            # The container reads text through this deprecated door, so this does too.
            warnings.filterwarnings("ignore", message=".*Text file input has been deprecated.*")
            matrix = xgboost.DMatrix(uri)
    except xgboost.core.XGBoostError as error:
        raise UserError(f"Failed to load csv data with exception:\n{error}") from error
    if matrix.get_label().size == 0:
        raise UserError("Got input data without labels. Please check the input data set.")
    return matrix


def _files(folder):
    if not os.path.isdir(folder):
        logging.info("Path %s does not exist!", folder)
        return []
    found = []
    for root, folders, files in os.walk(folder):
        for name in folders + files:
            if name.startswith("."):
                raise UserError("Hidden file found in the data path! Remove that before training.")
        depth = 1 if root == folder else 1 + os.path.relpath(root, folder).count(os.sep) + 1
        if depth > MAX_FOLDER_DEPTH:
            logging.warning("The depth of folder %s exceed the limit %d. Files in deeper sub dirs won't be loaded. "
                            "Please adjust the folder structure accordingly.", folder, MAX_FOLDER_DEPTH)
            folders.clear()
            continue
        folders.sort()
        found += [os.path.join(root, name) for name in files]
    return sorted(found)


def _delimiter(path):
    with open(path, encoding="utf-8", errors="ignore") as f:
        line = f.readline()
    if not line.strip():
        return None
    try:
        return csv.Sniffer().sniff(line[:512]).delimiter
    except csv.Error as error:
        raise UserError(f"Could not determine delimiter on line {line[:50]}:\n{error}") from error
