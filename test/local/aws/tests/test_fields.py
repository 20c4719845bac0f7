"""The filters of batch transform."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from sagemaker_local import fields  # noqa: E402


class Filters(unittest.TestCase):
    def test_each_expression_selects_its_columns(self):
        row = "a,b,c,d"
        for path, want in (
            ("$", row), ("$[0]", "a"), ("$[-1]", "d"), ("$[0,-1]", "a,d"), ("$[1:]", "b,c,d"), ("$[:-1]", "a,b,c"),
            ("$[1:3]", "b,c"), ("$[0,2:]", "a,c,d"), ("$[-2:]", "c,d"),
        ):
            with self.subTest(path):
                self.assertEqual(fields.Filter(path).apply(row), want)

    def test_a_quoted_column_is_one(self):
        self.assertEqual(fields.Filter("$[1:]").apply('1,"x, ""y""",2'), '"x, ""y""",2')
        self.assertEqual(fields.Filter("$").apply('1, "x" ,2'), '1, "x" ,2')

    def test_a_column_that_the_row_does_not_have_is_an_error(self):
        with self.assertRaisesRegex(fields.OutOfRange, r"the row has 2 columns, \$\[2\] asks for \[2\]"):
            fields.Filter("$[2]").apply("a,b")

    def test_what_selects_no_columns_of_csv_is_refused(self):
        for path in ("", "$.features", "$['id']", "$[*]", "$[a]", "$[1:2:3]", "$[]", "[0]", "$[0][1]"):
            with self.subTest(path), self.assertRaises(fields.BadPath):
                fields.Filter(path)


if __name__ == "__main__":
    unittest.main()
