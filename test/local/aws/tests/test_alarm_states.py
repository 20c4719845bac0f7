"""The states of alarms: M out of N periods, and what is missing."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import alarm_states  # noqa: E402

ALARM = {"ComparisonOperator": "GreaterThanThreshold", "Threshold": 10.0, "EvaluationPeriods": 3}
OLD = 3600  # seconds, more than the periods looked at


class States(unittest.TestCase):
    def state(self, windows, age=OLD, **change):
        return alarm_states.judge({**ALARM, **change}, 60, windows + [None] * (5 - len(windows)), age)[0]

    def test_so_many_of_the_last_periods_must_breach(self):
        for windows, needed, want in (
            ([11, 11, 11], None, "ALARM"), ([11, 11, 9], None, "OK"), ([11, 9, 11], 2, "ALARM"), ([9, 9, 11], 2, "OK"),
            ([9, 11, 11, 11], None, "OK"),
        ):
            with self.subTest(windows=windows, needed=needed):
                self.assertEqual(self.state(windows, DatapointsToAlarm=needed), want)

    def test_a_late_point_is_no_missing_one(self):
        self.assertEqual(self.state([None, 9, 9, 9], TreatMissingData="breaching"), "OK")
        self.assertEqual(self.state([None, 11, 11, 11]), "ALARM")

    def test_what_is_missing_is_treated_as_configured(self):
        # The table of the CloudWatch User Guide, for 3 out of 3: what is there, then the state by treatment; None stays.
        for windows, missing, ignore, breaching, not_breaching in (
            ([], "INSUFFICIENT_DATA", None, "ALARM", "OK"),
            ([11], "ALARM", None, "ALARM", "OK"),
            ([9], "OK", "OK", "OK", "OK"),
        ):
            for treatment, want in (("missing", missing), ("ignore", ignore), ("breaching", breaching), ("notBreaching", not_breaching)):
                with self.subTest(windows=windows, treatment=treatment):
                    self.assertEqual(self.state(windows, TreatMissingData=treatment), want)

    def test_nothing_is_missing_before_the_alarm_was_there(self):
        self.assertIsNone(self.state([], age=59, TreatMissingData="missing"))
        self.assertIsNone(self.state([], age=179, TreatMissingData="breaching"))
        self.assertEqual(self.state([], age=180, TreatMissingData="breaching"), "ALARM")


if __name__ == "__main__":
    unittest.main()
