"""Batch transform jobs: each sends its objects to a real serving process of the model, and writes what that answers."""

import gzip
import json
import logging
import os
import shutil
import threading
import time

from . import fields, listing, quotas, storage
from .errors import AwsError, ValidationError, aws_error, reason
from .serving import CannotServe, NotHealthy, Server

logger = logging.getLogger("sagemaker.transform")

# The API reference: a payload has up to 6 MB unless the request says otherwise, and never more than 100 MB for the
# payloads that are sent at once.
DEFAULT_PAYLOAD_MB = 6
MOST_PAYLOAD_MB = 100
# The API reference, ModelClientConfig.
DEFAULT_INVOCATION_SECONDS = 600
DEFAULT_RETRIES = 3

_MEGABYTE = 1 << 20


class _Failure(Exception):
    """The job ends Failed with this reason. What the container said is in the job's log, as on AWS."""


class _BadRecord(Exception):
    """An object can't be transformed: side is whose mistake it is, as in a FailureReason."""

    def __init__(self, side, text):
        super().__init__(text)
        self.side = side


class Transform:
    def __init__(self, state, s3, scope, faults, tags, limits, model, find_model):
        """find_model(name) is the DescribeModel of a model, or raises AwsError."""
        self._state = os.path.join(state, "transform-jobs")
        self._s3, self._scope, self._faults, self._tags, self._find_model = s3, scope, faults, tags, find_model
        self._quotas = limits
        self._described = model.output_members("DescribeTransformJob")
        self._lock = threading.Lock()
        self._jobs = {}

    def CreateTransformJob(self, request):
        name = request["TransformJobName"]
        arn = self._tags.arn("transform-job", name)
        model = self._find_model(request["ModelName"])
        _check(request)
        with self._lock:
            if name in self._jobs:
                raise aws_error("transform-job-exists", arn=arn)
        _, region = self._scope()
        inputs = self._s3.found_inputs(
            request["TransformInput"]["DataSource"]["S3DataSource"], region, model.get("ExecutionRoleArn", ""))
        job = _Job(name, arn, request, model, inputs, os.path.join(self._state, name), self._described)
        with self._lock:
            if name in self._jobs:
                raise aws_error("transform-job-exists", arn=arn)
            resources = request["TransformResources"]
            used = sum(j.request["TransformResources"]["InstanceCount"] for j in self._jobs.values()
                       if not j.ended.is_set() and j.request["TransformResources"]["InstanceType"] == resources["InstanceType"])
            self._quotas.check(resources["InstanceType"], quotas.TRANSFORM, used, resources["InstanceCount"])
            self._jobs[name] = job
        self._tags.register(arn, request.get("Tags"))
        threading.Thread(target=self._run, args=(job,), name=f"transform-{name}", daemon=True).start()
        return {"TransformJobArn": arn}

    def DescribeTransformJob(self, request):
        return self.job(request["TransformJobName"]).describe()

    def StopTransformJob(self, request):
        self.job(request["TransformJobName"]).stop()
        return {}

    def ListTransformJobs(self, request):
        with self._lock:
            jobs = list(self._jobs.values())
        records = [{**j.describe(), "LastModifiedTime": j.modified} for j in jobs]
        page, token = listing.page(listing.select(records, request, "TransformJobName", "TransformJobStatus"), request)
        members = ("TransformJobName", "TransformJobArn", "CreationTime", "TransformEndTime", "LastModifiedTime",
                   "TransformJobStatus", "FailureReason")
        return {"TransformJobSummaries": [{m: r[m] for m in members if m in r} for r in page], **token}

    def job(self, name):
        with self._lock:
            if name not in self._jobs:
                raise aws_error("transform-job-not-found")
            return self._jobs[name]

    def stop(self):
        """The emulator ends."""
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.stopping.set()

    def _run(self, job):
        try:
            self._run_ordered(job)
        except _Failure as failure:
            job.end("Failed", str(failure))
        except storage.StorageError as error:
            job.end("Failed", f"ClientError: {error}")
        except Exception as error:
            logger.exception("job %s", job.name)
            job.end("Failed", f"InternalServerError: the local SageMaker failed: {error!r}")
        logger.info("transform job %s ended %s", job.name, job.describe()["TransformJobStatus"])

    def _run_ordered(self, job):
        ordered = self._faults.outcome({"transform-failed", "transform-stopped", "transform-slow"}, {
            **job.request, "InstanceType": job.request["TransformResources"]["InstanceType"]})
        if ordered is not None:
            if ordered["outcome"] == "transform-failed":
                raise _Failure(ordered.get("reason") or reason("capacity"))
            if ordered["outcome"] == "transform-slow":
                job.stopping.wait(ordered["seconds"])
            else:
                job.stopping.set()
        if not job.stopping.is_set():
            job.transform(self._s3)
        job.end("Stopped" if job.stopping.is_set() else "Completed")


def _check(request):
    """What the API model can't say of a request, and what the local SageMaker doesn't do."""
    payload, concurrent = request.get("MaxPayloadInMB", DEFAULT_PAYLOAD_MB), request.get("MaxConcurrentTransforms", 0)
    if payload > MOST_PAYLOAD_MB or payload * concurrent > MOST_PAYLOAD_MB:
        raise aws_error("transform-payload")
    source, processing = request["TransformInput"], request.get("DataProcessing", {})
    if source.get("SplitType", "None") not in ("None", "Line"):
        raise ValidationError(f"The local SageMaker splits by Line or not at all, not by {source['SplitType']}.")
    if source["DataSource"]["S3DataSource"]["S3DataType"] == "AugmentedManifestFile":
        raise aws_error("transform-augmented-manifest")
    if "DataCaptureConfig" in request:
        raise ValidationError("The local SageMaker does not capture the data of transform jobs.")
    if processing:
        content = source.get("ContentType", "").split(";")[0].strip().lower()
        if content != "text/csv":
            raise ValidationError(f"The local SageMaker filters and joins text/csv only, not {content or 'a job without ContentType'}.")
        for member in ("InputFilter", "OutputFilter"):
            try:
                fields.Filter(processing.get(member, "$"))
            except fields.BadPath as error:
                raise aws_error("transform-json-path", member=member, problem=error) from error


class _Job:
    """One transform job: what DescribeTransformJob says of it, its folder, its process."""

    def __init__(self, name, arn, request, model, inputs, folder, described):
        self.name, self.request, self.folder = name, request, folder
        self._model, self._inputs = model, inputs
        self.stopping = threading.Event()
        self.ended = threading.Event()
        self._lock = threading.RLock()
        self.modified = round(time.time(), 3)
        self._record = {
            **{k: v for k, v in request.items() if k in described},
            "TransformInput": {"CompressionType": "None", "SplitType": "None", **request["TransformInput"]},
            "TransformOutput": {"AssembleWith": "None", **request["TransformOutput"]},
            "DataProcessing": {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None", **request.get("DataProcessing", {})},
            "TransformJobArn": arn,
            "TransformJobStatus": "InProgress",
            "CreationTime": self.modified,
        }
        processing = self._record["DataProcessing"]
        self._input_filter, self._output_filter = (fields.Filter(processing[m]) for m in ("InputFilter", "OutputFilter"))
        self._joins = processing["JoinSource"] == "Input"
        self._by_row = self._joins or processing["OutputFilter"] != "$"

    def describe(self):
        with self._lock:
            return json.loads(json.dumps(self._record))

    def end(self, status, failure=None):
        with self._lock:
            self._enter(status)
            self._record["TransformEndTime"] = self.modified
            if failure:
                self._record["FailureReason"] = failure
        self.ended.set()

    def stop(self):
        with self._lock:
            if self._record["TransformJobStatus"] != "InProgress":
                raise aws_error("transform-job-not-running", status=self._record["TransformJobStatus"])
            self._enter("Stopping")
            self.stopping.set()

    def _enter(self, status):
        self._record["TransformJobStatus"] = status
        self.modified = round(time.time(), 3)

    def transform(self, s3):
        """Transforms every object. One that fails leaves the others' outputs, and makes the job fail."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        payload, concurrent = self._payload_mb(), max(1, self.request.get("MaxConcurrentTransforms", 0))
        single = self.request.get("BatchStrategy") == "SingleRecord"
        strategy = "SINGLE_RECORD" if single else "MULTI_RECORD"
        server = Server("AllTraffic", self._model.get("PrimaryContainer") or self._model["Containers"][0], self.folder, {
            **self.request.get("Environment", {}),
            # Developer guide, "Use Your Own Inference Code with Batch Transform".
            "SAGEMAKER_BATCH": "true",
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(payload),
            "SAGEMAKER_BATCH_STRATEGY": strategy,
            "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": str(concurrent),
        })
        with open(os.path.join(self.folder, "transform.log"), "w", encoding="utf-8") as log:
            def say(text):
                now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
                for line in text.split("\n"):
                    log.write(f"{now}:[sagemaker logs]: {line}\n")

            say(f"MaxConcurrentTransforms={concurrent}, MaxPayloadInMB={payload}, BatchStrategy={strategy}")
            try:
                server.start(s3)
                with self._lock:
                    self._record["TransformStartTime"] = round(time.time(), 3)
                self._transform_all(s3, server, say)
            except NotHealthy as error:
                say("The container did not pass the ping health check: see serve.log beside this file.")
                raise _Failure(reason("transform-algorithm-error")) from error
            except CannotServe as error:
                say(str(error))
                raise _Failure(str(error)) from error
            finally:
                server.stop()

    def _transform_all(self, s3, server, say):
        failed = None
        for uri, path in self._inputs:
            if self.stopping.is_set():
                return
            try:
                output = self._transform_object(s3.read(uri), server)
            except _BadRecord as problem:
                say("\n".join(f"{storage.split(uri)[1]}: {line}" for line in str(problem).split("\n")))
                failed = failed or problem
                continue
            if output is not None:
                self._upload(s3, output, path)
        if failed is not None:
            raise _Failure(reason("transform-client-error" if failed.side == "client" else "transform-algorithm-error"))

    def _transform_object(self, body, server):
        """The whole output of an object, or None if the job was stopped meanwhile."""
        if self._record["TransformInput"]["CompressionType"] == "Gzip":
            try:
                body = gzip.decompress(body)
            except (OSError, EOFError) as error:
                raise _BadRecord("client", f"the object is not Gzip: {error}") from error
        out = bytearray()
        for rows, payload in self._payloads(body):
            if self.stopping.is_set():
                return None
            answer = self._invoke(server, payload)
            if self._by_row:
                answer = self._join(rows, answer)
            out += answer
            if self._record["TransformOutput"]["AssembleWith"] == "Line" and not answer.endswith(b"\n"):
                out += b"\n"
        return bytes(out)

    def _payloads(self, body):
        """The object's payloads, each with its rows as they are in the object."""
        most = self._payload_mb() * _MEGABYTE
        split = self._record["TransformInput"]["SplitType"] == "Line"
        if not split and "DataProcessing" not in self.request:
            if most and len(body) > most:
                raise _BadRecord("client", f"the object has {len(body)} bytes, more than MaxPayloadInMB: set SplitType to Line")
            return [([], body)] if body else []
        single = split and self.request.get("BatchStrategy") == "SingleRecord"
        payloads, size = [], 0
        for row in _lines(body, "the object is not UTF-8"):
            try:
                record = self._input_filter.apply(row).encode() + b"\n"
            except fields.OutOfRange as error:
                raise _BadRecord("client", str(error)) from error
            if most and len(record) > most:
                raise _BadRecord("client", f"a record has {len(record)} bytes, more than MaxPayloadInMB")
            if not payloads or single or (split and most and size + len(record) > most):
                payloads.append(([], bytearray()))
                size = 0
            payloads[-1][0].append(row)
            payloads[-1][1].extend(record)
            size += len(record)
        return [(rows, bytes(payload)) for rows, payload in payloads]

    def _invoke(self, server, payload):
        config = self.request.get("ModelClientConfig", {})
        request = {"Body": payload}
        if "ContentType" in self.request["TransformInput"]:
            request["ContentType"] = self.request["TransformInput"]["ContentType"]
        if "Accept" in self.request["TransformOutput"]:
            request["Accept"] = self.request["TransformOutput"]["Accept"]
        attempts = 1 + config.get("InvocationsMaxRetries", DEFAULT_RETRIES)
        for attempt in range(1, attempts + 1):
            try:
                status, _, body = server.invoke(request, config.get("InvocationsTimeoutInSeconds", DEFAULT_INVOCATION_SECONDS))
            except AwsError as error:
                status, body = 500, error.message.encode()
            if status < 400:
                return body
            if status < 500 or attempt == attempts:
                message = body.decode(errors="replace")
                raise _BadRecord("client" if status < 500 else "algorithm",
                                 f"Bad HTTP status received from algorithm: {status}\n\nMessage:\n{message}")
        raise AssertionError("unreachable")

    def _join(self, rows, answer):
        """The answer's rows behind those of the input, as far as the output filter lets them through."""
        outputs = _lines(answer, "Failed to parse output from the algorithm as CSV")
        if len(outputs) != len(rows):
            raise _BadRecord("client", "Fail to join data: mismatched instance count between the input and the output: "
                                       f"{len(rows)} and {len(outputs)}")
        joined = bytearray()
        for row, output in zip(rows, outputs):
            try:
                line = self._output_filter.apply(f"{row},{output}" if self._joins else output)
            except fields.OutOfRange as error:
                raise _BadRecord("client", str(error)) from error
            joined += line.encode() + b"\n"
        return bytes(joined)

    def _upload(self, s3, output, path):
        target = self.request["TransformOutput"]
        local = os.path.join(self.folder, "output")
        with open(local, "wb") as f:
            f.write(output)
        s3.upload(local, f"{target['S3OutputPath'].rstrip('/')}/{path}.out", storage.encryption(target.get("KmsKeyId")))
        os.remove(local)

    def _payload_mb(self):
        return self.request.get("MaxPayloadInMB", DEFAULT_PAYLOAD_MB)


def _lines(body, problem):
    try:
        lines = body.decode().split("\n")
    except UnicodeDecodeError as error:
        raise _BadRecord("client", f"{problem}: {error}") from error
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]
