"""Which container images the local SageMaker has, and whether the library in them is here."""

import importlib.metadata
import os
import re

_CONTAINER = os.path.join(os.path.dirname(__file__), "container")

# Image (repository:tag) → the distributions on PyPI that hold the same library, and its version. xgboost-cpu is the small
# one; where there is no wheel of it, xgboost is the same without GPU.
IMAGES = {"sagemaker-xgboost:3.2-0": (("xgboost-cpu", "xgboost"), "3.2.0")}

TRAIN = os.path.join(_CONTAINER, "train.py")
SERVE = os.path.join(_CONTAINER, "serve.py")

_URI = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/(?P<image>.+)")


class NoSuchImage(Exception):
    """The image isn't here; the text says which are."""


def check(uri):
    """Raises NoSuchImage unless the local SageMaker can run the image."""
    match = _URI.fullmatch(uri)
    # AWS's tags end in the processor and the Python version: 3.2-0, 3.2-0-cpu-py3.
    image = re.sub(r"-cpu-py\d+$", "", match["image"]) if match else uri
    if image not in IMAGES:
        raise NoSuchImage(
            f"ClientError: the local SageMaker does not have the image {uri}. It has: "
            + ", ".join(f"<account>.dkr.ecr.<region>.amazonaws.com/{name}" for name in IMAGES))
    distributions, version = IMAGES[image]
    found = [v for v in map(_installed, distributions) if v is not None]
    if version not in found:
        raise NoSuchImage(f"InternalServerError: the image {image} holds {distributions[0]} {version}, here is "
                          f"{', '.join(found) or 'none'}: run `make tools`")


def _installed(distribution):
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
