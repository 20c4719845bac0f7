"""Which container images the local SageMaker has, and whether the library in them is here."""

import importlib.metadata
import os
import re

_CONTAINER = os.path.join(os.path.dirname(__file__), "container")

# Image (repository:tag) → the distribution on PyPI that holds the same library, and its version.
IMAGES = {"sagemaker-xgboost:3.2-0": ("xgboost-cpu", "3.2.0")}

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
    distribution, version = IMAGES[image]
    try:
        found = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        found = "no version"
    if found != version:
        raise NoSuchImage(f"InternalServerError: the image {image} holds {distribution} {version}, here is {found}: run `make tools`")
