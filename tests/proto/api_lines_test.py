#!/usr/bin/python3
"""Tests of the check itself: each kind of change is seen for what it is. PROTOC in the environment."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import api_lines
import breaking_test

PROTOC = os.environ.get("PROTOC", "protoc")

BEFORE = """
syntax = "proto3";
package thaw.test.v1;
service Shop {
  rpc Buy(Order) returns (Answer);
  rpc Watch(Order) returns (stream Answer);
}
message Order {
  string name = 1;
  uint32 count = 2;
  map<string, string> labels = 3;
  oneof pay { string card = 4; string cash = 5; }
  message Line { bytes text = 1; }
  repeated Line lines = 6;
  optional string note = 7;
}
message Answer { Kind kind = 1; }
enum Kind { KIND_UNSPECIFIED = 0; KIND_GOOD = 1; }
"""


def lines(text):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "thaw" / "test.proto"
        path.parent.mkdir()
        path.write_text(text)
        return api_lines.lines_of_folder(PROTOC, folder)


class BreakingChanges(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.before = lines(BEFORE)

    def broken_by(self, old, new):
        self.assertIn(old, BEFORE)
        return breaking_test.breaking_changes(self.before, lines(BEFORE.replace(old, new)))

    def test_no_change_breaks_nothing(self):
        self.assertEqual(self.broken_by("Shop", "Shop"), [])

    def test_comments_and_order_break_nothing(self):
        self.assertEqual(self.broken_by("string name = 1;\n  uint32 count = 2;",
                                        "// how many\n  uint32 count = 2;\n  string name = 1;"), [])

    def test_additions_break_nothing_and_are_seen(self):
        after = lines(BEFORE.replace("uint32 count = 2;", "uint32 count = 2; bool gift = 8;"))
        self.assertEqual(breaking_test.breaking_changes(self.before, after), [])
        self.assertEqual(breaking_test.additions(self.before, after),
                         ["field thaw.test.v1.Order.gift = 8 optional bool"])

    def test_removed_field(self):
        self.assertEqual(self.broken_by("uint32 count = 2;", ""),
                         ["field thaw.test.v1.Order.count = 2 optional uint32"])

    def test_renamed_field(self):
        self.assertTrue(self.broken_by("uint32 count = 2;", "uint32 number = 2;"))

    def test_renumbered_field(self):
        self.assertTrue(self.broken_by("uint32 count = 2;", "uint32 count = 12;"))

    def test_retyped_field(self):
        self.assertTrue(self.broken_by("uint32 count = 2;", "uint64 count = 2;"))

    def test_field_made_repeated(self):
        self.assertTrue(self.broken_by("uint32 count = 2;", "repeated uint32 count = 2;"))

    def test_a_further_choice_in_a_oneof_breaks_nothing(self):
        self.assertEqual(self.broken_by("string cash = 5; }", "string cash = 5; bytes coin = 9; }"), [])

    def test_field_moved_out_of_a_oneof(self):
        self.assertTrue(self.broken_by("string card = 4; string cash = 5; }", "string card = 4; }\n  string cash = 5;"))

    def test_another_map_value(self):
        self.assertTrue(self.broken_by("map<string, string> labels", "map<string, bytes> labels"))

    def test_lost_presence(self):
        self.assertTrue(self.broken_by("optional string note", "string note"))

    def test_removed_nested_message(self):
        self.assertTrue(self.broken_by("message Line { bytes text = 1; }\n  repeated Line lines = 6;", ""))

    def test_removed_method(self):
        self.assertEqual(self.broken_by("rpc Buy(Order) returns (Answer);", ""),
                         ["rpc thaw.test.v1.Shop.Buy(.thaw.test.v1.Order) returns (.thaw.test.v1.Answer)"])

    def test_method_that_no_longer_streams(self):
        self.assertTrue(self.broken_by("returns (stream Answer)", "returns (Answer)"))

    def test_removed_and_renumbered_enum_values(self):
        self.assertTrue(self.broken_by(" KIND_GOOD = 1;", ""))
        self.assertTrue(self.broken_by("KIND_GOOD = 1;", "KIND_GOOD = 2;"))

    def test_another_package(self):
        self.assertTrue(self.broken_by("package thaw.test.v1", "package thaw.test.v2"))


class CommandLine(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.proto = self.root / "thaw" / "test.proto"
        self.proto.parent.mkdir()
        self.proto.write_text(BEFORE)
        self.baseline = self.root / "baseline.txt"

    def run_check(self, *flags):
        script = pathlib.Path(__file__).with_name("breaking_test.py")
        return subprocess.run([sys.executable, script, PROTOC, self.root, self.baseline, *flags],
                              capture_output=True, text=True, timeout=60, check=False)

    def test_an_unrecorded_addition_asks_for_an_update_which_records_it(self):
        self.assertEqual(self.run_check().returncode, 1)
        self.assertEqual(self.run_check("--update").returncode, 0)
        self.assertEqual(self.run_check().returncode, 0)

    def test_a_break_fails_and_an_update_does_not_hide_it(self):
        self.run_check("--update")
        self.proto.write_text(BEFORE.replace("uint32 count = 2;", ""))
        self.assertIn("gone: field thaw.test.v1.Order.count", self.run_check().stdout)
        self.assertEqual(self.run_check("--update").returncode, 1)
        self.assertEqual(self.run_check("--update", "--accept-breaking").returncode, 0)
        self.assertEqual(self.run_check().returncode, 0)

    def test_a_proto_that_does_not_parse_fails(self):
        self.run_check("--update")
        self.proto.write_text("syntax = nonsense")
        self.assertNotEqual(self.run_check().returncode, 0)


if __name__ == "__main__":
    unittest.main()
