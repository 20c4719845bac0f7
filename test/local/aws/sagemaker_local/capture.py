"""Data capture: what an endpoint was asked and what it answered, written to S3 as SageMaker's monitoring reads it.

The developer guide, "Capture data from real-time endpoint": JSON Lines below
<DestinationS3Uri>/<endpoint>/<variant>/<yyyy>/<mm>/<dd>/<hh>/. SageMaker collects lines into files; here each is one.
"""

import base64
import json
import logging
import queue
import random
import threading
import time
import uuid

from . import storage

logger = logging.getLogger("sagemaker.capture")


class Capture:
    def __init__(self, s3):
        self._s3 = s3
        self._waiting = queue.Queue()
        threading.Thread(target=self._write, name="capture", daemon=True).start()

    def take(self, config, endpoint, variant, request, content_type, answer):
        """Captures one invocation, as far as the configuration asks for it."""
        if not config.get("EnableCapture", True) or random.random() * 100 >= config["InitialSamplingPercentage"]:
            return
        modes = {o["CaptureMode"] for o in config["CaptureOptions"]}
        headers = config.get("CaptureContentTypeHeader", {})
        data = {}
        if modes & {"Input", "InputAndOutput"}:
            data["endpointInput"] = _side("INPUT", request.get("ContentType", ""), request["Body"], headers)
        if modes & {"Output", "InputAndOutput"}:
            data["endpointOutput"] = _side("OUTPUT", content_type, answer, headers)
        now = time.gmtime()
        event = {"eventId": str(uuid.uuid4()), "inferenceTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", now)}
        if "InferenceId" in request:
            event["inferenceId"] = request["InferenceId"]
        line = json.dumps({"captureData": data, "eventMetadata": event, "eventVersion": "0"}) + "\n"
        name = f"{time.strftime('%Y/%m/%d/%H/%M-%S', now)}-{uuid.uuid4()}.jsonl"
        self._waiting.put((f"{config['DestinationS3Uri'].rstrip('/')}/{endpoint}/{variant}/{name}", line, config.get("KmsKeyId")))

    def _write(self):
        while True:
            uri, line, key = self._waiting.get()
            try:
                self._s3.write(line.encode(), uri, storage.encryption(key))
            except (storage.StorageError, OSError) as error:
                logger.error("capturing to %s: %s", uri, error)


def _side(mode, content_type, body, headers):
    """Without a configured header the data is Base64, whatever its type."""
    kind = content_type.split(";")[0].strip()
    encoding = "BASE64"
    for name, member in (("CSV", "CsvContentTypes"), ("JSON", "JsonContentTypes")):
        if kind in headers.get(member, []):
            encoding = name
    data = base64.b64encode(body).decode() if encoding == "BASE64" else body.decode(errors="replace")
    return {"observedContentType": content_type, "mode": mode, "data": data, "encoding": encoding}
