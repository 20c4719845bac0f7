"""Training jobs: each is a real process under SageMaker's container contract."""

import json
import logging
import os
import re
import shutil
import tarfile
import threading
import time

from . import apimodel, images, listing, processes, quotas, storage
from .errors import ValidationError, aws_error, reason

logger = logging.getLogger("sagemaker.training")

# The API reference: MaxRuntimeInSeconds is a day unless the request says otherwise.
DEFAULT_MAX_RUNTIME_SECONDS = 86_400
# The API reference, CheckpointConfig.
OPT_ML, CHECKPOINTS = "/opt/ml", "/opt/ml/checkpoints"
# The developer guide, Managed Spot Training: built-in algorithms without checkpoints wait an hour at most.
MOST_WAIT_WITHOUT_CHECKPOINTS = 3600
# The API reference: the first 1,024 characters of /opt/ml/output/failure become the FailureReason.
FAILURE_CHARACTERS = 1024

_MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
    "Failed": "Training job failed",
}

# [10]#011train-auc:0.91234#011validation-auc:0.90123
_METRIC = re.compile(r"(?P<data>train|validation)-(?P<metric>[^:\s#]+):(?P<value>\S+?)(?=#011|\s|$)")


class _Failure(Exception):
    """The job ends Failed with this reason."""


class Training:
    def __init__(self, state, s3, scope, faults, tags, limits, model):
        self._state = os.path.join(state, "training-jobs")
        self._s3, self._scope, self._faults, self._tags, self._quotas = s3, scope, faults, tags, limits
        self._described = model.output_members("DescribeTrainingJob")
        self._lock = threading.Lock()
        self._jobs = {}

    def CreateTrainingJob(self, request):
        # The model requires neither: serverless jobs do without.
        for member in ("AlgorithmSpecification", "ResourceConfig"):
            if member not in request:
                raise ValidationError(f"1 validation error detected: {apimodel.must_not_be_null(member)}")
        request.setdefault("StoppingCondition", {}).setdefault("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME_SECONDS)
        _check_spot(request)
        if not os.path.normpath(request.get("CheckpointConfig", {}).get("LocalPath", CHECKPOINTS)).startswith(OPT_ML + "/"):
            raise ValidationError("The local SageMaker keeps checkpoints below /opt/ml only.")
        _check_resources(request)
        name = request["TrainingJobName"]
        arn = self._tags.arn("training-job", name)
        with self._lock:
            if name in self._jobs:
                raise aws_error("training-job-exists", arn=arn)
        inputs = self._find_inputs(request)
        job = _Job(name, arn, request, inputs, os.path.join(self._state, name), self._described)
        with self._lock:
            if name in self._jobs:
                raise aws_error("training-job-exists", arn=arn)
            self._check_quota(job)
            self._jobs[name] = job
        self._tags.register(arn, request.get("Tags"))
        threading.Thread(target=self._run, args=(job,), name=f"training-{name}", daemon=True).start()
        return {"TrainingJobArn": arn}

    def DescribeTrainingJob(self, request):
        return self.job(request["TrainingJobName"]).describe()

    def StopTrainingJob(self, request):
        self.job(request["TrainingJobName"]).stop()
        return {}

    def ListTrainingJobs(self, request):
        with self._lock:
            records = [j.describe() for j in self._jobs.values()]
        records = listing.select(records, request, "TrainingJobName", "TrainingJobStatus", order="Ascending")
        page, token = listing.page(records, request)
        members = ("TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingEndTime", "LastModifiedTime",
                   "TrainingJobStatus", "SecondaryStatus")
        return {"TrainingJobSummaries": [{m: r[m] for m in members if m in r} for r in page], **token}

    def job(self, name):
        with self._lock:
            if name not in self._jobs:
                raise aws_error("training-job-not-found")
            return self._jobs[name]

    def stop(self):
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.abandon()

    def _check_quota(self, job):
        running = [j for j in self._jobs.values() if not j.ended.is_set() and j.usage == job.usage]
        instance, count = job.instances()
        used = sum(n for kind, n in (j.instances() for j in running) if kind == instance)
        self._quotas.check(instance, job.usage, used, count)

    def _find_inputs(self, request):
        """The objects of every channel."""
        _, region = self._scope()
        inputs = {}
        for channel in request.get("InputDataConfig", []):
            source = channel["DataSource"].get("S3DataSource")
            if source is None:
                raise ValidationError("The local SageMaker reads channels from S3DataSource only.")
            inputs[channel["ChannelName"]] = self._s3.found_inputs(source, region, request["RoleArn"])
        return inputs

    def _run(self, job):
        try:
            self._run_ordered(job)
        except _Failure as failure:
            job.end("Failed", "Failed", str(failure))
        except storage.StorageError as error:
            what = "Artifact upload" if job.describe()["SecondaryStatus"] == "Uploading" else "Data download"
            job.end("Failed", "Failed", f"ClientError: {what} failed:{error}")
        except Exception as error:
            logger.exception("job %s", job.name)
            job.end("Failed", "Failed", f"InternalServerError: the local SageMaker failed: {error!r}")
        logger.info("training job %s ended %s", job.name, job.describe()["SecondaryStatus"])

    def _run_ordered(self, job):
        ordered = self._ordered(job)
        if ordered is not None:
            if ordered["outcome"] == "training-failed":
                raise _Failure(ordered.get("reason") or reason("capacity"))
            if ordered["outcome"] == "training-slow":
                job.stopping.wait(ordered["seconds"])
            elif ordered["outcome"] == "training-times-out":
                job.end("Stopped", "MaxWaitTimeExceeded" if job.request.get("EnableManagedSpotTraining") else "MaxRuntimeExceeded")
                return
            else:
                job.stopping.set()
        try:
            images.check(job.request["AlgorithmSpecification"].get("TrainingImage", ""))
        except images.NoSuchImage as error:
            raise _Failure(str(error)) from error
        if job.stopped():
            return
        job.enter("Downloading")
        job.prepare(self._s3)
        if job.stopped():
            return
        job.enter("Training")
        exit_code, timed_out = job.train()
        job.save_checkpoints(self._s3)
        if exit_code != 0 and not timed_out and not job.stopping.is_set():
            raise _Failure(job.failure(exit_code))
        job.enter("Uploading")
        job.upload(self._s3)
        if timed_out:
            job.end("Stopped", "MaxRuntimeExceeded")
        elif not job.stopped():
            job.end("Completed", "Completed")


    def _ordered(self, job):
        """What was ordered for the job. For want of capacity it goes on to its next preference, if it has one."""
        while True:
            ordered = self._faults.outcome({"training-failed", "training-stopped", "training-slow", "training-times-out"}, job.fault_view())
            if ordered is None or ordered["outcome"] != "training-failed" or ordered.get("reason") or not job.next_preference():
                return ordered


def _check_spot(request):
    """The developer guide, "Managed Spot Training in Amazon SageMaker AI"."""
    stopping = request["StoppingCondition"]
    wait = stopping.get("MaxWaitTimeInSeconds")
    if not request.get("EnableManagedSpotTraining"):
        if wait is not None:
            raise aws_error("spot-max-wait-without-spot")
        return
    if wait is None or wait < stopping["MaxRuntimeInSeconds"]:
        raise aws_error("spot-max-wait")
    if wait > MOST_WAIT_WITHOUT_CHECKPOINTS and "CheckpointConfig" not in request:
        raise aws_error("spot-checkpoints")


def _check_resources(request):
    """API reference, ResourceConfig."""
    resources = request["ResourceConfig"]
    if "InstancePreferences" in resources:
        other = next((m for m in ("InstanceType", "InstanceGroups", "InstancePlacementConfig") if m in resources), None)
        if other is None and request.get("EnableManagedSpotTraining"):
            other = "EnableManagedSpotTraining"
        if other is not None:
            raise aws_error("instance-preferences", other=other)
        missing = [p["InstanceType"] for p in resources["InstancePreferences"] if not p.get("InstanceCount", resources.get("InstanceCount"))]
        if missing:
            raise ValidationError(f"InstancePreferences: no InstanceCount for {', '.join(missing)}, neither there nor in the ResourceConfig.")
    elif "InstanceType" not in resources or "InstanceCount" not in resources:
        raise ValidationError("The local SageMaker trains on InstanceType and InstanceCount, or on InstancePreferences.")


class _Job:
    """One training job: what DescribeTrainingJob says of it, its folder, its process."""

    def __init__(self, name, arn, request, inputs, folder, described):
        self.name, self.request, self.inputs, self.folder = name, request, inputs, folder
        self.opt_ml = os.path.join(folder, "opt", "ml")
        self.stopping = threading.Event()
        self.ended = threading.Event()
        self._lock = threading.RLock()
        self._child = None
        self._metrics = {}
        self.usage = quotas.SPOT if request.get("EnableManagedSpotTraining") else quotas.TRAINING
        self._preference = 0
        now = round(time.time(), 3)
        self._record = {
            **{k: v for k, v in request.items() if k in described},
            "TrainingJobArn": arn,
            # Where the artifact is configured to go, from the beginning: the API model requires it of every description.
            "ModelArtifacts": {"S3ModelArtifacts": f"{self._output()}/model.tar.gz"},
            "TrainingJobStatus": "InProgress",
            "CreationTime": now,
            "LastModifiedTime": now,
            "EnableNetworkIsolation": request.get("EnableNetworkIsolation", False),
            "EnableInterContainerTrafficEncryption": request.get("EnableInterContainerTrafficEncryption", False),
            "EnableManagedSpotTraining": request.get("EnableManagedSpotTraining", False),
            "SecondaryStatusTransitions": [],
        }
        self.enter("Starting")

    def describe(self):
        with self._lock:
            record = json.loads(json.dumps(self._record))
        if "InstancePreferences" in record["ResourceConfig"] and "TrainingStartTime" in record:
            instance, count = self.instances()
            record["ResourceConfig"].update({"SelectedInstanceType": instance, "SelectedInstanceCount": count})
        return record

    def instances(self):
        """The type and the count of the instances that the job has, or tries to get."""
        resources = self.request["ResourceConfig"]
        chosen = resources["InstancePreferences"][self._preference] if "InstancePreferences" in resources else resources
        return chosen["InstanceType"], chosen.get("InstanceCount", resources.get("InstanceCount"))

    def next_preference(self):
        """Goes on to the next type of instance that the job prefers. False if there is none."""
        if self._preference + 1 >= len(self.request["ResourceConfig"].get("InstancePreferences", [])):
            return False
        self._preference += 1
        return True

    def fault_view(self):
        """The request as a fault is matched with it: with the type of instance that is tried."""
        return {**self.request, "InstanceType": self.instances()[0]}

    def enter(self, secondary):
        with self._lock:
            now = round(time.time(), 3)
            transitions = self._record["SecondaryStatusTransitions"]
            if transitions:
                transitions[-1]["EndTime"] = now
            transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": _MESSAGES[secondary]})
            self._record["SecondaryStatus"] = secondary
            self._record["LastModifiedTime"] = now
            if secondary == "Downloading":
                self._record["TrainingStartTime"] = now

    def end(self, status, secondary, failure=None):
        with self._lock:
            self.enter(secondary)
            now = self._record["LastModifiedTime"]
            self._record["SecondaryStatusTransitions"][-1]["EndTime"] = now
            self._record["TrainingJobStatus"] = status
            self._record["TrainingEndTime"] = now
            if failure:
                self._record["FailureReason"] = failure
                self._record["SecondaryStatusTransitions"][-1]["StatusMessage"] = failure
            started = self._record.get("TrainingStartTime")
            if started:
                seconds = max(1, round(now - started))
                self._record["TrainingTimeInSeconds"] = self._record["BillableTimeInSeconds"] = seconds
            if self._metrics:
                self._record["FinalMetricDataList"] = [
                    {"MetricName": name, "Value": value, "Timestamp": now} for name, value in sorted(self._metrics.items())]
        self.ended.set()

    def stop(self):
        with self._lock:
            if self._record["TrainingJobStatus"] != "InProgress":
                raise aws_error("training-job-not-running", status=self._record["TrainingJobStatus"])
            self._record["TrainingJobStatus"] = "Stopping"
            self.enter("Stopping")
            self.stopping.set()
            child = self._child
        if child is not None:
            threading.Thread(target=child.stop, daemon=True).start()

    def stopped(self):
        """Ends the job Stopped if it was asked to stop."""
        if not self.stopping.is_set():
            return False
        self.end("Stopped", "Stopped")
        return True

    def abandon(self):
        """The emulator ends."""
        self.stopping.set()
        with self._lock:
            child = self._child
        if child is not None:
            child.stop(grace=1)

    def prepare(self, s3):
        """Lays out /opt/ml as the container expects it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        config = os.path.join(self.opt_ml, "input", "config")
        for path in (config, os.path.join(self.opt_ml, "model"), os.path.join(self.opt_ml, "output", "data")):
            os.makedirs(path)
        channels = {}
        for channel in self.request.get("InputDataConfig", []):
            channels[channel["ChannelName"]] = {
                "ContentType": channel.get("ContentType"),
                "TrainingInputMode": channel.get("InputMode") or self.request["AlgorithmSpecification"]["TrainingInputMode"],
                "S3DistributionType": channel["DataSource"]["S3DataSource"].get("S3DataDistributionType", "FullyReplicated"),
                "RecordWrapperType": channel.get("RecordWrapperType", "None"),
            }
        host = "algo-1"
        checkpoints = self.request.get("CheckpointConfig")
        if checkpoints:
            os.makedirs(self._checkpoints())
            for uri, path in s3.inputs({"S3DataType": "S3Prefix", "S3Uri": checkpoints["S3Uri"].rstrip("/") + "/"}):
                s3.download(uri, os.path.join(self._checkpoints(), path))
            with open(os.path.join(config, "checkpointconfig.json"), "w", encoding="utf-8") as f:
                json.dump({"LocalPath": self._checkpoints()}, f)
        for name, value in (
            ("hyperparameters.json", self.request.get("HyperParameters", {})),
            ("inputdataconfig.json", channels),
            ("resourceconfig.json", {"current_host": host, "hosts": [host], "network_interface_name": "lo"}),
        ):
            with open(os.path.join(config, name), "w", encoding="utf-8") as f:
                json.dump(value, f)
        for channel, objects in self.inputs.items():
            folder = os.path.join(self.opt_ml, "input", "data", channel)
            os.makedirs(folder)
            for uri, path in objects:
                if self.stopping.is_set():
                    return
                target = os.path.normpath(os.path.join(folder, path))
                if not target.startswith(folder + os.sep):
                    raise storage.StorageError(f"{uri} would be written outside of its channel")
                s3.download(uri, target)

    def _checkpoints(self):
        """The folder that is kept in S3: below /opt/ml, which is elsewhere here."""
        local = self.request["CheckpointConfig"].get("LocalPath", CHECKPOINTS)
        return os.path.join(self.opt_ml, os.path.relpath(local, OPT_ML))

    def save_checkpoints(self, s3):
        """Writes what the container left in the folder of checkpoints, also if it failed. SageMaker does so while it runs."""
        if "CheckpointConfig" not in self.request:
            return
        for root, _, files in os.walk(self._checkpoints()):
            for name in files:
                path = os.path.join(root, name)
                s3.upload(path, f"{self.request['CheckpointConfig']['S3Uri'].rstrip('/')}/{os.path.relpath(path, self._checkpoints())}", {})

    def train(self):
        """Runs the container. Gives its exit code, and whether its time was over."""
        # The log as CloudWatch has it: the agent writes a tab as #011.
        with open(os.path.join(self.folder, "training.log"), "w", encoding="utf-8") as log:
            with self._lock:
                if self.stopping.is_set():
                    return 0, False
                self._child = processes.Child(images.TRAIN, {
                    **self.request.get("Environment", {}),
                    "SAGEMAKER_BASE_DIR": self.opt_ml,
                    "TRAINING_JOB_NAME": self.name,
                    "TRAINING_JOB_ARN": self._record["TrainingJobArn"],
                }, log, capture=True)
            reader = threading.Thread(target=self._read, args=(self._child.output, log), daemon=True)
            reader.start()
            exit_code = self._child.wait(self.request["StoppingCondition"]["MaxRuntimeInSeconds"])
            timed_out = exit_code is None
            if timed_out:
                self._child.stop()
                exit_code = self._child.exit_code()
            reader.join()
        return exit_code, timed_out

    def _read(self, lines, log):
        for raw in lines:
            line = raw.decode(errors="replace").rstrip("\n").replace("\t", "#011")
            log.write(line + "\n")
            log.flush()
            if line.startswith("["):
                for match in _METRIC.finditer(line):
                    try:
                        self._metrics[f"{match['data']}:{match['metric']}"] = float(match["value"])
                    except ValueError:
                        pass

    def failure(self, exit_code):
        """The FailureReason of a container that ended with an error."""
        try:
            with open(os.path.join(self.opt_ml, "output", "failure"), encoding="utf-8", errors="replace") as f:
                text = f.read(FAILURE_CHARACTERS)
        except FileNotFoundError:
            text = "the container wrote no reason to /opt/ml/output/failure"
        if exit_code < 0:
            return f"AlgorithmError: {text}, killed by signal {-exit_code}"
        return f"AlgorithmError: {text}, exit code: {exit_code}"

    def _output(self):
        return f"{self.request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{self.name}/output"

    def upload(self, s3):
        """Writes the artifacts to <S3OutputPath>/<job>/output/, as far as there are any."""
        output = self.request["OutputDataConfig"]
        headers = storage.encryption(output.get("KmsKeyId"))
        for archive, folder in (("model.tar.gz", "model"), ("output.tar.gz", os.path.join("output", "data"))):
            folder = os.path.join(self.opt_ml, folder)
            files = sorted(os.listdir(folder))
            if not files:
                continue
            path = os.path.join(self.folder, archive)
            with tarfile.open(path, "w:gz", compresslevel=1) as tar:
                for name in files:
                    tar.add(os.path.join(folder, name), arcname=name)
            s3.upload(path, f"{self._output()}/{archive}", headers)
        # The inputs are copies of what is in S3, and the largest thing here.
        shutil.rmtree(os.path.join(self.opt_ml, "input", "data"), ignore_errors=True)
