"""SageMaker's types of resources for MiniStack's CloudFormation, which has none of them."""

from .errors import AwsError

MODEL_PACKAGE_GROUP = "AWS::SageMaker::ModelPackageGroup"


class ModelPackageGroup:
    """AWS::SageMaker::ModelPackageGroup: its Ref is the group's ARN."""

    def __init__(self, service):
        self._service = service

    def handler(self):
        """The functions by the names that MiniStack calls them by."""
        return {"create": self.create, "update": self.update, "delete": self.delete}

    def create(self, _logical_id, props, _stack):
        if "ModelPackageGroupPolicy" in props:
            raise ValueError(f"the local {MODEL_PACKAGE_GROUP} has no ModelPackageGroupPolicy")
        request = {k: props[k] for k in ("ModelPackageGroupName", "ModelPackageGroupDescription", "Tags") if k in props}
        arn = self._call("CreateModelPackageGroup", request)["ModelPackageGroupArn"]
        return arn, self._attributes(arn)

    def update(self, arn, old, new, _stack):
        # Everything but the tags is immutable, and the name is required: what changes must be replaced, under a new name.
        name = "ModelPackageGroupName"
        if old.get(name) != new.get(name):
            return self.create(None, new, None)
        if old.get("ModelPackageGroupDescription") != new.get("ModelPackageGroupDescription"):
            raise ValueError(f"CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename {new[name]} "
                             "and update the stack again.")
        kept = {t["Key"] for t in new.get("Tags", [])}
        gone = [t["Key"] for t in old.get("Tags", []) if t["Key"] not in kept]
        if gone:
            self._call("DeleteTags", {"ResourceArn": arn, "TagKeys": gone})
        if new.get("Tags"):
            self._call("AddTags", {"ResourceArn": arn, "Tags": new["Tags"]})
        return arn, self._attributes(arn)

    def delete(self, arn, _props):
        try:
            self._service.call("DeleteModelPackageGroup", {"ModelPackageGroupName": arn}, "cloudformation")
        except AwsError as error:
            if not error.message.endswith("does not exist."):
                raise ValueError(error.message) from error

    def _attributes(self, arn):
        group = self._call("DescribeModelPackageGroup", {"ModelPackageGroupName": arn})
        return {"ModelPackageGroupArn": arn, "ModelPackageGroupStatus": group["ModelPackageGroupStatus"],
                "CreationTime": str(group["CreationTime"])}

    def _call(self, operation, request):
        try:
            return self._service.call(operation, request, "cloudformation")
        except AwsError as error:
            raise ValueError(error.message) from error
