"""CloudWatch: what is read and written."""

import os
import sys
import unittest
from datetime import datetime, timezone

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import metrics  # noqa: E402

# Appendix A of RFC 8949.
EXAMPLES = (
    ("00", 0), ("17", 23), ("1818", 24), ("1903e8", 1000), ("1a000f4240", 1000000), ("1bffffffffffffffff", 18446744073709551615),
    ("20", -1), ("3903e7", -1000), ("fb3ff199999999999a", 1.1), ("f4", False), ("f5", True), ("f6", None),
    ("4401020304", b"\x01\x02\x03\x04"), ("6449455446", "IETF"), ("62c3bc", "ü"), ("83010203", [1, 2, 3]), ("8301820203820405", [1, [2, 3], [4, 5]]),
    ("a0", {}), ("a26161016162820203", {"a": 1, "b": [2, 3]}),
)
ONLY_READ = (
    ("f93c00", 1.0), ("fa47c35000", 100000.0), ("7f657374726561646d696e67ff", "streaming"), ("5f42010243030405ff", b"\x01\x02\x03\x04\x05"),
    ("9f01820203ff", [1, [2, 3]]), ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}), ("c11a514b67b0", datetime(2013, 3, 21, 20, 4, tzinfo=timezone.utc)),
)


class CBOR(unittest.TestCase):
    def test_values_are_read_and_written_as_the_rfc_shows(self):
        for encoded, value in EXAMPLES:
            with self.subTest(encoded):
                self.assertEqual(value, metrics.loads(bytes.fromhex(encoded)))
                self.assertEqual(encoded, metrics.dumps(value).hex())
        for encoded, value in ONLY_READ:
            with self.subTest(encoded):
                self.assertEqual(value, metrics.loads(bytes.fromhex(encoded)))

    def test_times_are_tagged(self):
        self.assertEqual("c1fb41d452d9ec000000", metrics.dumps(metrics.CBORTag(1, 1363896240.0)).hex())

    def test_what_is_cut_off_or_goes_on_is_refused(self):
        for encoded in ("6449", "0000", "1c"):
            with self.subTest(encoded), self.assertRaises((ValueError, IndexError)):
                metrics.loads(bytes.fromhex(encoded))


if __name__ == "__main__":
    unittest.main()
