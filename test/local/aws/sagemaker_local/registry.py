"""The model registry: groups of model packages, whose versions a person or a machine approves."""

import json
import threading
import time

from . import listing
from .errors import ValidationError, aws_error


class Registry:
    def __init__(self, tags, model):
        self._tags = tags
        self._described = model.output_members("DescribeModelPackage")
        self._lock = threading.RLock()
        self._groups = {}  # by ARN, as names are written there
        self._packages = {}

    # Groups.

    def CreateModelPackageGroup(self, request):
        arn = self._tags.arn("model-package-group", request["ModelPackageGroupName"])
        with self._lock:
            if arn in self._groups:
                raise aws_error("model-package-group-exists", arn=arn)
            self._groups[arn] = _Group(arn, request)
            self._tags.register(arn, request.get("Tags"))
        return {"ModelPackageGroupArn": arn}

    def DescribeModelPackageGroup(self, request):
        with self._lock:
            return dict(self._group(request["ModelPackageGroupName"]).record)

    def ListModelPackageGroups(self, request):
        with self._lock:
            records = [dict(g.record) for g in self._groups.values()]
        found = listing.select(records, request, "ModelPackageGroupName", order="Ascending")
        page, token = listing.page(found, request)
        members = ("ModelPackageGroupName", "ModelPackageGroupArn", "ModelPackageGroupDescription", "CreationTime", "ModelPackageGroupStatus")
        return {"ModelPackageGroupSummaryList": [_only(members, r) for r in page], **token}

    def DeleteModelPackageGroup(self, request):
        with self._lock:
            group = self._group(request["ModelPackageGroupName"])
            if any(p["ModelPackageGroupName"] == group.name for p in self._packages.values()):
                raise aws_error("model-package-group-not-empty", arn=group.arn)
            del self._groups[group.arn]
            self._tags.forget(group.arn)
        return {}

    # Packages.

    def CreateModelPackage(self, request):
        if "ModelPackageGroupName" not in request:
            raise ValidationError("The local SageMaker has model packages in groups only: give ModelPackageGroupName.")
        if "ModelPackageName" in request:
            raise aws_error("model-package-name-and-group")
        if "Tags" in request:
            raise aws_error("model-package-tags")
        with self._lock:
            group = self._group(request["ModelPackageGroupName"])
            token = request.get("ClientToken")
            if token in group.tokens:
                return {"ModelPackageArn": group.tokens[token]}
            group.versions += 1
            arn = self._tags.arn("model-package", f"{group.name}/{group.versions}")
            # Two of one millisecond would have no order.
            group.latest = max(_now(), group.latest + 0.001)
            self._packages[arn] = {
                "ModelApprovalStatus": "PendingManualApproval", "CertifyForMarketplace": False,
                **json.loads(json.dumps({k: v for k, v in request.items() if k in self._described})),
                "ModelPackageName": group.name, "ModelPackageGroupName": group.name,
                "ModelPackageVersion": group.versions, "ModelPackageArn": arn,
                "CreationTime": group.latest, "CreatedBy": {},
                # Nothing is validated for a package that no marketplace sells: it is complete at once.
                "ModelPackageStatus": "Completed", "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
            }
            if token is not None:
                group.tokens[token] = arn
            self._tags.register(arn, [])
        return {"ModelPackageArn": arn}

    def DescribeModelPackage(self, request):
        with self._lock:
            return json.loads(json.dumps(self._package(request["ModelPackageName"])))

    def ListModelPackages(self, request):
        with self._lock:
            found = list(self._packages.values())
            if "ModelPackageGroupName" in request:
                name = self._group(request["ModelPackageGroupName"]).name
                found = [p for p in found if p["ModelPackageGroupName"] == name]
            elif request.get("ModelPackageType", "Unversioned") == "Unversioned":
                found = []  # every package here is a version
            if "ModelApprovalStatus" in request:
                found = [p for p in found if p["ModelApprovalStatus"] == request["ModelApprovalStatus"]]
            found = listing.select(found, request, "ModelPackageName", order="Ascending")
        page, token = listing.page(found, request)
        members = ("ModelPackageGroupName", "ModelPackageVersion", "ModelPackageArn", "ModelPackageDescription", "CreationTime",
                   "ModelPackageStatus", "ModelApprovalStatus")
        return {"ModelPackageSummaryList": [_only(members, p) for p in page], **token}

    def UpdateModelPackage(self, request):
        for member in ("AdditionalInferenceSpecificationsToAdd", "InferenceSpecification", "SourceUri", "ModelCard", "ModelLifeCycle",
                       "ModelPackageRegistrationType"):
            if member in request:
                raise ValidationError(f"The local SageMaker does not change the {member} of a model package.")
        with self._lock:
            package = self._package(request["ModelPackageArn"])
            for member in ("ModelApprovalStatus", "ApprovalDescription"):
                if member in request:
                    package[member] = request[member]
            metadata = {**package.get("CustomerMetadataProperties", {}), **request.get("CustomerMetadataProperties", {})}
            for key in request.get("CustomerMetadataPropertiesToRemove", []):
                metadata.pop(key, None)
            if metadata:
                package["CustomerMetadataProperties"] = metadata
            else:
                package.pop("CustomerMetadataProperties", None)
            package["LastModifiedTime"] = _now()
            package["LastModifiedBy"] = {}
            return {"ModelPackageArn": package["ModelPackageArn"]}

    def DeleteModelPackage(self, request):
        with self._lock:
            arn = self._package(request["ModelPackageName"])["ModelPackageArn"]
            del self._packages[arn]
            self._tags.forget(arn)
        return {}

    def _group(self, name):
        arn = name if name.startswith("arn:") else self._tags.arn("model-package-group", name)
        if arn not in self._groups:
            raise aws_error("model-package-group-not-found", arn=arn)
        return self._groups[arn]

    def _package(self, name):
        arn = name if name.startswith("arn:") else self._tags.arn("model-package", name)
        if arn not in self._packages:
            raise aws_error("model-package-not-found", arn=arn)
        return self._packages[arn]


class _Group:
    def __init__(self, arn, request):
        self.arn, self.name = arn, request["ModelPackageGroupName"]
        self.versions = 0  # the highest so far: the number of a deleted version is not given again
        self.latest = 0.0
        self.tokens = {}  # ClientToken → ARN
        self.record = {
            "ModelPackageGroupName": self.name, "ModelPackageGroupArn": arn, "CreationTime": _now(), "CreatedBy": {},
            "ModelPackageGroupStatus": "Completed",
        }
        if "ModelPackageGroupDescription" in request:
            self.record["ModelPackageGroupDescription"] = request["ModelPackageGroupDescription"]


def _only(members, record):
    return {m: record[m] for m in members if m in record}


def _now():
    return round(time.time(), 3)
