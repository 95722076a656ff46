"""Scrub on a whole cluster: what is damaged is found and shown, and put right where repair runs."""

import json
import subprocess
import unittest

from harness import Cluster, ObjectsCase, shoal_binary, wait_until


class ScrubTest(ObjectsCase):
    def start(self, *extra):
        self.cluster = Cluster(mount=False, extra=["--capacity", "2GiB", *extra])
        self.addCleanup(self.cluster.destroy)
        self.cluster.start()
        self.s3 = self.cluster.s3()
        self.s3.create_bucket(Bucket="bkt")
        self.expected = {}
        for i in range(60):
            self.put(f"k{i}", 4096 + i)
        self.put("large", 9 << 20)

    def scrub(self, *words, code=0):
        done = subprocess.run([shoal_binary(), "scrub", *words, "--data", self.cluster.data], capture_output=True,
                              text=True, timeout=120)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def drives(self):
        return json.loads(self.scrub("status", "--json").stdout)["drives"]

    def damaged(self):
        return sum(drive["damaged_fragments"] for drive in self.drives())

    def test_damage_is_found_shown_and_makes_the_command_fail(self):
        self.start("--rebuild-rate", "0", "--repack-rate", "0")
        done = json.loads(self.scrub("start", "--wait", "--json", "--rate", "1GiB").stdout)
        self.assertEqual(len(done["drives"]), 6)
        for drive in done["drives"]:
            self.assertEqual(drive["scrub"]["passes"], 1)
            self.assertEqual(drive["scrub"]["bytes_done"], drive["scrub"]["bytes_total"])
            self.assertGreater(drive["scrub"]["bytes_total"], 0)
            self.assertGreater(drive["scrub"]["last_finished_ns"], 0)
        self.assertEqual(self.damaged(), 0)
        self.flip("k3", "k20", "k41")
        found = self.scrub("start", "--wait", "--rate", "1GiB", code=1)
        self.assertIn("damaged fragments", found.stdout)
        self.assertEqual(self.damaged(), 3)
        self.assertEqual(sum(drive["damaged_fragments"] for drive in self.cluster.status()["drives"]), 3)
        self.verify()

    def test_damage_is_put_right_where_repair_runs(self):
        self.start()
        self.flip("k5", "k6", "k50")
        self.scrub("start", "--rate", "1GiB")
        wait_until(lambda: all(drive["scrub"]["passes"] == 1 for drive in self.drives()), "the passes' end")
        wait_until(lambda: self.damaged() == 0, "repair of what scrub has found")
        self.scrub("start", "--wait", "--rate", "1GiB")
        self.verify()

    def test_a_pass_can_be_slow_be_stopped_and_be_one_drives(self):
        self.start("--scrub-rate", "0")
        self.assertTrue(all(drive["scrub"]["state"] == "off" for drive in self.drives()))
        self.scrub("start", "--drive", "2", "--rate", "16KiB")
        running = [drive["id"] for drive in self.drives() if drive["scrub"]["state"] == "running"]
        self.assertEqual(running, [2])
        self.scrub("stop")
        wait_until(lambda: all(drive["scrub"]["state"] == "off" for drive in self.drives()), "the pass being stopped")
        self.assertTrue(all(drive["scrub"]["passes"] == 0 for drive in self.drives()))
        self.scrub("start", "--drive", "77", code=1)
        self.scrub("begin", code=2)


if __name__ == "__main__":
    unittest.main()
