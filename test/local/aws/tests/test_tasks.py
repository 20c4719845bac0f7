"""Optimized tasks of Step Functions."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import tasks  # noqa: E402


class Errors(unittest.TestCase):
    def test_an_error_of_sns_has_the_name_of_the_sdk(self):
        answer = "<ErrorResponse><Error><Type>Sender</Type><Code>{}</Code><Message>{}</Message></Error></ErrorResponse>"
        for code, want in (("NotFound", "SNS.NotFoundException"), ("InvalidParameter", "SNS.InvalidParameterException")):
            with self.subTest(code):
                name, cause = tasks.sns_error(answer.format(code, "Topic does not exist"))
                self.assertEqual(name, want)
                self.assertTrue(cause.startswith(f"Topic does not exist (Service: AmazonSNS; Status Code: {404 if code == 'NotFound' else 400}; Error Code: {code};"))
        self.assertEqual(tasks.sns_error("no XML"), ("SNS.AmazonSNSException", "no XML"))


if __name__ == "__main__":
    unittest.main()
