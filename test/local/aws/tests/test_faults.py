"""Ordered faults, and the texts of AWS's errors."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from sagemaker_local import errors, faults  # noqa: E402


class Orders(unittest.TestCase):
    def test_an_order_is_used_up_by_what_it_matches(self):
        orders = faults.Faults()
        orders.order(faults.parse({"operation": "CreateModel", "code": "ThrottlingException", "times": 2, "match": {"ModelName": "ml-*"}}))
        self.assertIsNone(orders.for_call("CreateModel", {"ModelName": "other"})[0])
        self.assertIsNone(orders.for_call("DescribeModel", {"ModelName": "ml-1"})[0])
        for _ in range(2):
            self.assertEqual(orders.for_call("CreateModel", {"ModelName": "ml-1"})[0].code, "ThrottlingException")
        self.assertIsNone(orders.for_call("CreateModel", {"ModelName": "ml-1"})[0])
        self.assertEqual(orders.waiting(), [])

    def test_an_order_that_makes_no_sense_is_refused(self):
        for order, want in (
            ([], "a fault is a JSON object"),
            ({"operation": "CreateModel"}, "needs a 'code'"),
            ({"operation": "CreateModel", "code": "X", "outcome": "training-failed"}, "either 'operation'"),
            ({"outcome": "training-failed", "often": 2}, "unknown member 'often'"),
            ({"outcome": "training-failed", "times": "2"}, "'times' has the wrong type"),
            ({"outcome": "training-failed", "times": 0}, "it must be at least 1"),
        ):
            with self.subTest(order), self.assertRaisesRegex(faults.BadFault, want):
                faults.parse(order)


class Texts(unittest.TestCase):
    def test_every_text_has_a_code_and_a_source(self):
        for name, entry in errors.TEXTS.items():
            with self.subTest(name):
                self.assertTrue(entry["code"] and entry["text"] and entry["source"])

    def test_a_value_may_look_like_a_placeholder(self):
        self.assertIn('"{arn}"', errors.aws_error("endpoint-not-found", arn="{arn}").message)


if __name__ == "__main__":
    unittest.main()
