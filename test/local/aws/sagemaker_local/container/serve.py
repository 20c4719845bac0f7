"""The container's `serve`: GET /ping and POST /invocations over the model in /opt/ml/model.

The answers and the texts of its errors are those of SageMaker's image sagemaker-xgboost:3.2-0 in algorithm mode. It serves
on the socket whose number SAGEMAKER_LISTENER gives, so that a free port can't be taken by another process in between.
"""

import csv
import io
import http.server
import json
import logging
import os
import socket
import sys
import threading

import lifeline

SUPPORTED_ACCEPTS = ["application/json", "application/jsonlines", "application/x-recordio-protobuf", "text/csv"]
# The container's default, and the real-time limit of an endpoint: 6 MiB.
MAX_CONTENT_LENGTH = int(os.environ.get("MAX_CONTENT_LENGTH", "6291456"))


class Refused(Exception):
    """The request can't be answered; the status is HTTP's."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class Model:
    def __init__(self, folder):
        from library import xgboost

        self._xgboost = xgboost
        files = sorted(f for f in os.listdir(folder) if not f.startswith(".") and os.path.isfile(os.path.join(folder, f)))
        if not files:
            raise RuntimeError(f"there is no model in {folder}")
        self._booster = xgboost.Booster()
        with open(os.path.join(folder, files[0]), "rb") as f:
            self._booster.load_model(bytearray(f.read()))
        self._booster.set_param("nthread", 1)
        # Prediction is not thread safe; the container has a process for each core instead.
        self._lock = threading.Lock()

    def predict(self, kind, text):
        try:
            matrix = self._xgboost.DMatrix(TABLES[kind](text.strip().decode("utf-8")))
        except Exception as error:
            raise Refused(415, f"Loading {kind} data failed with Exception, please ensure data is in {kind} format:\n "
                               f"{type(error)}\n {error}") from error
        try:
            with self._lock:
                return self._booster.predict(matrix, validate_features=False).tolist()
        except Exception as error:
            raise Refused(400, f"Unable to evaluate payload provided: {error}") from error


def _from_csv(text):
    import numpy

    rows = text.split("\n")
    delimiter = csv.Sniffer().sniff(rows[0][:512]).delimiter
    delimiter = "," if delimiter.isalnum() else delimiter
    return numpy.array([["nan" if x == "" else x for x in row.split(delimiter)] for row in rows]).astype(float)


def _from_libsvm(text):
    """Words without a colon are passed over, as in the container: the label is one."""
    import numpy
    import scipy.sparse

    rows, columns, values = [], [], []
    for row, line in enumerate(text.split("\n")):
        for word in line.split(" "):
            if ":" in word:
                rows.append(row)
                columns.append(int(word.split(":")[0]))
                values.append(word.split(":")[1])
    columns = numpy.array(columns, dtype=int)
    if len(columns) and columns.min() >= 1:
        columns = columns - 1
    return scipy.sparse.csr_matrix((numpy.array(values).astype(float), (rows, columns)))


# Readers of the content types, and the names that they have in requests.
TABLES = {"csv": _from_csv, "libsvm": _from_libsvm}
KINDS = {"csv": "csv", "text/csv": "csv", "libsvm": "libsvm", "text/libsvm": "libsvm", "text/x-libsvm": "libsvm"}


def encode(predictions, accept):
    """The predictions in the accepted form: a row a line as CSV. In batch transform that is the only form."""
    if os.environ.get("SAGEMAKER_BATCH"):
        return "\n".join(map(str, predictions)) + "\n"
    if accept == "application/json":
        return json.dumps({"predictions": [{"score": p} for p in predictions]})
    out = io.StringIO()
    for prediction in predictions:
        out.write(",".join(map(str, prediction)) if isinstance(prediction, list) else str(prediction))
        out.write("\n")
    return out.getvalue()


def _accepted(header):
    accept = (header or "").split(";")[0].strip().lower()
    if not accept or accept == "*/*":
        return os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "text/csv")
    if accept not in SUPPORTED_ACCEPTS:
        raise Refused(406, f"Accept type {accept} is not supported. Please use supported accept types: {SUPPORTED_ACCEPTS}.")
    if accept not in ("text/csv", "application/json"):
        raise Refused(406, f"the local XGBoost answers text/csv and application/json, not {accept}")
    return accept


def handler(model):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            if self.path == "/execution-parameters":
                return self._answer(200, json.dumps({
                    "MaxConcurrentTransforms": 1, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": MAX_CONTENT_LENGTH // 1024 ** 2,
                }), "application/json")
            self._answer(200 if self.path == "/ping" else 404, "", "text/html; charset=utf-8")

        def do_POST(self):
            length = int(self.headers.get("Content-Length") or 0)
            if length > MAX_CONTENT_LENGTH:
                self.close_connection = True
                return self._answer(413, "Request Entity Too Large", "text/html")
            payload = self.rfile.read(length)
            if self.path != "/invocations":
                return self._answer(404, "", "text/html")
            if not payload:
                return self._answer(204, "", "text/html; charset=utf-8")
            try:
                kind = (self.headers.get("Content-Type") or "").split(";")[0].strip().lower()
                if kind not in KINDS:
                    raise Refused(415, f"the local XGBoost reads text/csv and text/libsvm, not {kind or 'a request without Content-Type'}")
                predictions = model.predict(KINDS[kind], payload)
                accept = _accepted(self.headers.get("Accept"))
                self._answer(200, encode(predictions, accept), accept + ("; charset=utf-8" if accept.startswith("text/") else ""))
            except Refused as refusal:
                logging.warning("%s", refusal)
                self._answer(refusal.status, str(refusal), "text/html; charset=utf-8")

        def _answer(self, status, text, content_type):
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, form, *arguments):
            if self.path != "/ping":
                logging.info(form, *arguments)

    return Handler


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listener, handler_class):
        super().__init__(listener.getsockname(), handler_class, bind_and_activate=False)
        self.socket.close()
        self.socket = listener


def main():
    lifeline.hold()
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="[%(asctime)s:%(levelname)s] %(message)s")
    base = os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml")
    model = Model(os.path.join(base, "model"))
    listener = socket.socket(fileno=int(os.environ["SAGEMAKER_LISTENER"]))
    Server(listener, handler(model)).serve_forever()


if __name__ == "__main__":
    main()
