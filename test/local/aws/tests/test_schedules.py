"""Schedules: what a target gets, and when."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import schedules  # noqa: E402


def rate_seconds(expression):
    return 60 if expression == "rate(1 minute)" else None


class Schedules(unittest.TestCase):
    def test_the_scheduled_time_is_filled_in(self):
        got = schedules.fill_in('{"scheduledTime":"<aws.scheduler.scheduled-time>"}', "arn", 1767232800)
        self.assertEqual('{"scheduledTime":"2026-01-01T02:00:00Z"}', got)

    def test_the_other_attributes_are_filled_in_too(self):
        got = schedules.fill_in("<aws.scheduler.schedule-arn> <aws.scheduler.attempt-number> <aws.scheduler.execution-id>", "arn:s", 0)
        self.assertRegex(got, "^arn:s 1 [0-9a-f-]{36}$")

    def test_which_schedules_fire_at_once(self):
        for name, schedule, want in (
            ("a rate", {"State": "ENABLED", "ScheduleExpression": "rate(1 minute)"}, True),
            ("a rate with a start date", {"State": "ENABLED", "ScheduleExpression": "rate(1 minute)", "StartDate": 1767232800}, False),
            ("a rate that is disabled", {"State": "DISABLED", "ScheduleExpression": "rate(1 minute)"}, False),
            ("a cron expression", {"State": "ENABLED", "ScheduleExpression": "cron(0 2 * * ? *)"}, False),
        ):
            with self.subTest(name):
                self.assertEqual(want, schedules.fires_at_once(schedule, rate_seconds))


if __name__ == "__main__":
    unittest.main()
