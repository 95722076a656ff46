"""shoal fsck on whole clusters: what is whole is clean, what is not is named and put right, running or stopped."""

import glob
import json
import os
import shutil
import subprocess
import unittest

from harness import Cluster, ObjectsCase, shoal_binary


class FsckTest(ObjectsCase):
    def start(self, *extra, **options):
        self.cluster = Cluster(extra=["--capacity", "2GiB", "--repack-rate", "0", *extra], **options)
        self.addCleanup(self.cluster.destroy)
        self.cluster.start()
        self.s3 = self.cluster.s3()
        self.s3.create_bucket(Bucket="bkt")
        self.expected = {}
        for i in range(40):
            self.put(f"dir{i % 4}/k{i}", 4096 + i)
        self.put("large", 9 << 20)

    def fsck(self, *words, code=0):
        done = subprocess.run([shoal_binary(), "fsck", *words, "--data", self.cluster.data], capture_output=True,
                              text=True, timeout=120)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout

    def report(self, *words, code=0):
        return json.loads(self.fsck("--json", *words, code=code))

    def in_both(self, check):
        """Beside the running cluster, and without it."""
        check()
        self.cluster.stop()
        check()

    def test_a_whole_cluster_is_clean_running_or_stopped(self):
        self.start()
        if self.cluster.mount_point:
            with open(os.path.join(self.cluster.mount_point, "bkt", "file"), "wb") as file:
                file.write(os.urandom(100_000))

        def check():
            report = self.report("--read")
            self.assertTrue(report["clean"], report)
            self.assertGreaterEqual(report["extents_read"], len(self.expected))
            self.assertGreater(report["bytes_read"], sum(map(len, self.expected.values())))
            self.assertEqual(report["problems"], [])
            self.assertEqual(report["metadata_damage"], "")
            self.assertGreater(report["metadata_records"], len(self.expected))
            self.assertIn("\nclean\n", self.fsck())

        self.in_both(check)
        self.cluster.start()
        self.s3 = self.cluster.s3()
        self.verify()

    def test_flipped_bytes_are_found_by_reading_and_put_right(self):
        self.start("--rebuild-rate", "0")
        self.flip("dir1/k1", "dir2/k2")
        self.assertTrue(self.report()["clean"])
        report = self.report("--read", code=1)
        self.assertEqual(report["wrong_fragments"], 2)
        self.assertEqual(len(report["problems"]), 2)
        report = self.report("--read", "--repair")
        self.assertEqual(report["restored_fragments"], 2)
        self.in_both(lambda: self.assertEqual(self.report("--read")["problem_count"], 0))

    def test_a_stopped_cluster_that_lost_a_drives_content_is_repaired(self):
        self.start("--rebuild-rate", "0")
        self.cluster.stop()
        drive = sorted(glob.glob(os.path.join(self.cluster.data, "drives", "*")))[2]
        # All it had written: the superblock stays.
        for path in glob.glob(os.path.join(drive, "segment-*")):
            with open(path, "r+b") as file:
                file.write(bytes(os.path.getsize(path)))
        report = self.report(code=1)
        self.assertGreater(report["missing_fragments"], 0)
        self.assertEqual(report["lost_rows"], 0)
        self.assertTrue(self.report("--repair")["clean"])
        self.assertTrue(self.report("--read")["clean"])
        self.cluster.start()
        self.s3 = self.cluster.s3()
        self.verify()

    def test_files_that_lost_too_much_are_named(self):
        self.start("--rebuild-rate", "0")
        self.cluster.stop()
        for drive in sorted(glob.glob(os.path.join(self.cluster.data, "drives", "*")))[:3]:
            for path in glob.glob(os.path.join(drive, "segment-*")):
                with open(path, "r+b") as file:
                    file.write(bytes(os.path.getsize(path)))
        report = self.report(code=1)
        self.assertGreater(report["lost_rows"], 0, report)
        self.assertIn("hurt file /bkt/large", report["problems"])

    def test_a_drive_that_is_away_is_said(self):
        self.start(mount=False)
        drive = sorted(glob.glob(os.path.join(self.cluster.data, "drives", "*")))[0]
        self.cluster.stop()
        shutil.move(drive, drive + ".away")
        report = self.report(code=1)
        self.assertEqual(report["unwell_drives"] + report["absent_drives"], 1)
        self.assertGreater(report["degraded_rows"], 0)
        self.assertEqual(report["lost_rows"], 0)
        self.assertIn("NOT CLEAN", self.fsck(code=1))
        shutil.move(drive + ".away", drive)
        self.assertTrue(self.report("--read")["clean"])

    def test_bad_words_are_refused(self):
        self.start(mount=False)
        self.fsck("--reed", code=2)
        self.cluster.stop()
        self.fsck("--reed", code=2)
        done = subprocess.run([shoal_binary(), "fsck", "--data", self.cluster.root + "/nothing"], capture_output=True,
                              text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("nothing", done.stderr)


if __name__ == "__main__":
    unittest.main()
