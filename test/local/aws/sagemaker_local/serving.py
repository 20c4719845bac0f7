"""A container that serves: behind an endpoint's variant, and behind a batch transform."""

import http.client
import os
import socket
import tarfile
import threading
import time

from . import images, processes, storage
from .errors import AwsError, reason

# The developer guide: a container has 8 minutes to pass its first health check. Ours has a small model on a fast disk.
PING_SECONDS = 60
# The runtime API reference: a model must answer within 60 seconds.
INVOCATION_SECONDS = 60


class CannotServe(Exception):
    """The container can't be started; the text is the reason."""


class NotHealthy(CannotServe):
    """The container was started and does not answer /ping."""


class Server:
    """One container that serves: /ping and /invocations."""

    def __init__(self, variant, container, folder, environment=None):
        """environment is what the container gets beside what the model says."""
        self.variant, self._container, self._folder = variant, container, folder
        self._environment = environment or {}
        self._child = None
        self._port = None
        self._invocations = 0
        self._idle = threading.Condition()

    def start(self, s3):
        """Returns when the container answers /ping."""
        try:
            images.check(self._container.get("Image", ""))
            model = os.path.join(self._folder, "opt", "ml", "model")
            os.makedirs(model)
            self._unpack(s3, model)
        except (images.NoSuchImage, storage.StorageError, tarfile.TarError, EOFError) as error:
            raise CannotServe(str(error)) from error
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(128)
            self._port = listener.getsockname()[1]
            with open(os.path.join(self._folder, "serve.log"), "w", encoding="utf-8") as log:
                self._child = processes.Child(images.SERVE, {
                    **self._container.get("Environment", {}),
                    **self._environment,
                    "SAGEMAKER_BASE_DIR": os.path.join(self._folder, "opt", "ml"),
                    "SAGEMAKER_LISTENER": str(listener.fileno()),
                }, log, sockets=[listener])
        self._wait_until_healthy()

    def _unpack(self, s3, folder):
        uri = self._container.get("ModelDataUrl")
        if uri is None:
            return
        archive = os.path.join(self._folder, "model.tar.gz")
        s3.download(uri, archive)
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        os.remove(archive)

    def _wait_until_healthy(self):
        deadline = time.monotonic() + PING_SECONDS
        while time.monotonic() < deadline and self._child.exit_code() is None:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=2)
                connection.request("GET", "/ping")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise NotHealthy(reason("endpoint-ping-failed", variant=self.variant))

    def invoke(self, request, timeout=INVOCATION_SECONDS):
        """The status, content type and body of the container's answer. Raises AwsError if there is none."""
        headers = {}
        for member, header in (("ContentType", "Content-Type"), ("Accept", "Accept"),
                               ("CustomAttributes", "X-Amzn-SageMaker-Custom-Attributes")):
            if member in request:
                headers[header] = request[member]
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=timeout)
            connection.request("POST", "/invocations", body=request["Body"], headers=headers)
            response = connection.getresponse()
            return response.status, response.headers.get("Content-Type", ""), response.read()
        except OSError as error:
            raise AwsError("ModelError", f"Received server error (0) from primary with message \"{error}\".", 424,
                           OriginalStatusCode=500, OriginalMessage=str(error)) from error

    def begin(self):
        with self._idle:
            self._invocations += 1

    def finish(self):
        with self._idle:
            self._invocations -= 1
            self._idle.notify_all()

    def stop(self):
        """Ends the process once it has answered what it was asked."""
        with self._idle:
            self._idle.wait_for(lambda: self._invocations == 0, INVOCATION_SECONDS)
        if self._child is not None:
            self._child.stop()
