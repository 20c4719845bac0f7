"""The check of requests: AWS's texts, on AWS's own API model."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from sagemaker_local import apimodel  # noqa: E402
from sagemaker_local.errors import AwsError  # noqa: E402

JOB = {
    "TrainingJobName": "job",
    "RoleArn": "arn:aws:iam::000000000000:role/training",
    "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/models/"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
    "StoppingCondition": {"MaxRuntimeInSeconds": 600},
}


class RequestCheck(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = apimodel.Model(apimodel.SAGEMAKER)

    def refused(self, operation, request):
        with self.assertRaises(AwsError) as caught:
            self.model.check(operation, request)
        return f"{caught.exception.code}: {caught.exception.message}"

    def test_a_request_that_fits_passes(self):
        self.model.check("CreateTrainingJob", JOB)

    def test_each_violation_has_the_text_of_aws(self):
        pattern = self.model.shapes["TrainingJobName"]["pattern"]
        for name, change, want in (
            ("a member that is missing", {"RoleArn": None},
             "ValidationException: 1 validation error detected: Value null at 'roleArn' failed to satisfy constraint: Member must not be null"),
            ("a pattern", {"TrainingJobName": "a_b"},
             f"ValidationException: 1 validation error detected: Value 'a_b' at 'trainingJobName' failed to satisfy constraint: "
             f"Member must satisfy regular expression pattern: {pattern}"),
            ("a length and its pattern", {"TrainingJobName": "x" * 64},
             f"ValidationException: 2 validation errors detected: Value '{'x' * 64}' at 'trainingJobName' failed to satisfy constraint: "
             f"Member must have length less than or equal to 63; Value '{'x' * 64}' at 'trainingJobName' failed to satisfy constraint: "
             f"Member must satisfy regular expression pattern: {pattern}"),
            ("a value that is too small", {"StoppingCondition": {"MaxRuntimeInSeconds": 0}},
             "ValidationException: 1 validation error detected: Value '0' at 'stoppingCondition.maxRuntimeInSeconds' failed to satisfy "
             "constraint: Member must have value greater than or equal to 1"),
            ("a set of values", {"AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "Files"}},
             "ValidationException: 1 validation error detected: Value 'Files' at 'algorithmSpecification.trainingInputMode' failed to "
             "satisfy constraint: Member must satisfy enum value set: [Pipe, File, FastFile]"),
            ("a number for a string", {"HyperParameters": {"num_round": 5}},
             "SerializationException: NUMBER_VALUE can not be converted to a String"),
            ("a string for a number", {"StoppingCondition": {"MaxRuntimeInSeconds": "600"}},
             "SerializationException: STRING_VALUE can not be converted to an Integer"),
            ("an object for a list", {"Tags": {}},
             "SerializationException: Start of structure or map found where not expected."),
        ):
            with self.subTest(name):
                self.assertEqual(self.refused("CreateTrainingJob", {**JOB, **change}), want)

    def test_an_unknown_member_is_named_with_its_place(self):
        text = self.refused("CreateTrainingJob", {**JOB, "StoppingCondition": {"MaxRuntime": 600}})
        self.assertIn("Unknown parameter at 'stoppingCondition': \"MaxRuntime\", must be one of: ", text)

    def test_the_index_of_an_item_counts_from_one(self):
        text = self.refused("CreateEndpointConfig", {
            "EndpointConfigName": "config", "ProductionVariants": [{"VariantName": "primary", "ModelName": "no good"}]})
        self.assertIn("at 'productionVariants.1.member.modelName'", text)

    def test_every_pattern_of_the_models_can_be_used(self):
        for service in (apimodel.SAGEMAKER, apimodel.SAGEMAKER_RUNTIME, apimodel.APPLICATION_AUTO_SCALING, apimodel.SERVICE_QUOTAS):
            for shape in apimodel.Model(service).shapes.values():
                if "pattern" in shape:
                    apimodel._java_pattern(shape["pattern"])

    def test_a_class_of_java_may_stand_in_brackets_or_alone(self):
        for pattern, fits, differs in ((r"\p{Print}+", "load 70", "a\nb"), (r"[\p{Alnum}_]+", "a_1", "a-1"), (r"\[\p{N}\]", "[7]", "7")):
            with self.subTest(pattern):
                self.assertTrue(apimodel._java_pattern(pattern).fullmatch(fits))
                self.assertFalse(apimodel._java_pattern(pattern).fullmatch(differs))

    def test_metadata_of_a_model_package_has_the_characters_of_tags_only(self):
        package = {"ModelPackageGroupName": "g", "CustomerMetadataProperties": {"query sha256": "abc/=+-@.:_ 1"}}
        self.model.check("CreateModelPackage", package)
        for value in ("a,b", "50%", "(x)", "x" * 257):
            with self.subTest(value):
                text = self.refused("CreateModelPackage", {**package, "CustomerMetadataProperties": {"key": value}})
                self.assertIn("Map value must satisfy constraint", text)

    def test_tags_may_have_letters_of_any_alphabet(self):
        self.model.check("AddTags", {"ResourceArn": "arn:aws:sagemaker:us-east-1:000000000000:model/m",
                                     "Tags": [{"Key": "Größe", "Value": "大 1_.:/=+-@"}]})


if __name__ == "__main__":
    unittest.main()
