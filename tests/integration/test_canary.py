"""The crash test, run against a build that answers before its journal is written, must fail: else it proves nothing."""

import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


class CanaryTest(unittest.TestCase):
    def test_answers_before_the_journal_are_noticed(self):
        environment = dict(os.environ, SHOAL_BIN=os.environ["SHOAL_CANARY_BIN"], SHOAL_TEST_PROCESSES="0",
                           SHOAL_CRASH_ROUNDS="3")
        run = subprocess.run([sys.executable, os.path.join(HERE, "test_crash.py"), "-v",
                              "CrashTest.test_kill_everything"],
                             cwd=HERE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=500)
        output = run.stdout.decode(errors="replace")
        self.assertNotEqual(run.returncode, 0, "the canary was not found:\n" + output)
        found = [word for word in ("missing", "deleted, but back", "other bytes") if word in output]
        self.assertTrue(found, "it failed for another reason:\n" + output)


if __name__ == "__main__":
    unittest.main()
