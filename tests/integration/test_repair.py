"""Drives that are lost, drained, added and damaged: everything ends whole again, and the ledger says so.

That a drive's loss is made good is shown by losing two more afterwards: with 4+2, that reads only if repair put every
fragment where it said.
"""

import json
import os
import shutil
import subprocess
import unittest

from harness import Cluster, shoal_binary, wait_until


def admin(cluster, *words, check=True):
    done = subprocess.run([shoal_binary(), *words, "--data", cluster.data], capture_output=True, text=True, timeout=120)
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def repair_status(cluster):
    return json.loads(admin(cluster, "repair", "status", "--json", check=False).stdout)


def drive_paths(cluster):
    return {drive["id"]: drive["path"] for drive in cluster.status()["drives"]}


class PoolCase(unittest.TestCase):
    drives = 8

    def setUp(self):
        self.cluster = Cluster(mount=False, drives=self.drives, extra=["--capacity", "2GiB", "--down-after", "1"])
        self.addCleanup(self.cluster.destroy)
        self.cluster.start()
        self.s3 = self.cluster.s3()
        self.s3.create_bucket(Bucket="bkt")
        self.expected = {}

    def put(self, prefix, count):
        for i in range(count):
            body = os.urandom((i * 997) % 20_000 + 1)
            self.s3.put_object(Bucket="bkt", Key=f"{prefix}/{i}", Body=body)
            self.expected[f"{prefix}/{i}"] = body
        body = os.urandom(9 << 20)
        self.s3.put_object(Bucket="bkt", Key=f"{prefix}/large", Body=body)
        self.expected[f"{prefix}/large"] = body

    def verify(self):
        for key, body in self.expected.items():
            self.assertEqual(self.s3.get_object(Bucket="bkt", Key=key)["Body"].read(), body, key)

    def wait_until_whole(self):
        wait_until(lambda: repair_status(self.cluster)["whole"], "everything being whole", 120)

    def lose(self, path):
        os.rename(path, path + ".away")

    def verify_without(self, *drives):
        """Reads everything while these drives are taken away."""
        paths = drive_paths(self.cluster)
        for drive in drives:
            self.lose(paths[drive])

        def failed():
            return {d["id"] for d in self.cluster.status()["drives"] if d["state"].startswith("failed")}

        wait_until(lambda: set(drives) <= failed(), "the drives being missed")
        self.verify()
        for drive in drives:
            os.rename(paths[drive] + ".away", paths[drive])
        wait_until(lambda: not set(drives) & failed(), "the drives being back")


class RepairTest(PoolCase):
    def test_a_lost_drive_is_made_good_by_the_others(self):
        self.put("before", 60)
        lost = drive_paths(self.cluster)[3]
        self.lose(lost)
        refused = admin(self.cluster, "drive", "lost", "3", check=False)
        self.assertEqual(refused.returncode, 2)
        self.assertIn("--yes", refused.stderr)
        admin(self.cluster, "drive", "lost", "3", "--yes")
        self.put("during", 30)
        self.wait_until_whole()
        shutil.rmtree(lost + ".away")
        self.assertGreater(repair_status(self.cluster)["restored_fragments"], 0)
        admin(self.cluster, "drive", "remove", "3")
        self.assertNotIn(3, [drive["id"] for drive in
                             json.loads(admin(self.cluster, "drive", "list", "--json").stdout)["drives"]])
        self.verify_without(1, 2)
        self.verify_without(5, 8)

    def test_a_drive_that_stays_away_is_given_up_without_being_told(self):
        self.cluster.stop()
        self.cluster.extra += ["--out-after", "2"]
        self.cluster.start()
        self.s3 = self.cluster.s3()
        self.put("before", 40)
        self.lose(drive_paths(self.cluster)[2])

        def state():
            drives = json.loads(admin(self.cluster, "drive", "list", "--json").stdout)["drives"]
            return next(drive["state"] for drive in drives if drive["id"] == 2)

        wait_until(lambda: state() == "down", "the drive being down")
        wait_until(lambda: state() == "out", "the drive being given up")
        self.wait_until_whole()
        self.verify_without(4, 6)

    def test_a_drained_drive_can_be_taken_out(self):
        self.put("before", 40)
        admin(self.cluster, "drive", "drain", "5")
        busy = admin(self.cluster, "drive", "remove", "5", check=False)
        self.wait_until_whole()
        if busy.returncode != 0:
            self.assertIn("need drive 5", busy.stderr)
            admin(self.cluster, "drive", "remove", "5")
        self.verify_without(1, 7)

    def test_repair_goes_on_after_everything_was_killed(self):
        self.put("before", 80)
        admin(self.cluster, "drive", "lost", "1", "--yes")
        self.cluster.kill()
        self.cluster.start()
        self.s3 = self.cluster.s3()
        self.wait_until_whole()
        self.verify_without(2, 3)


class SmallPoolTest(PoolCase):
    """As many drives as the code is wide: a lost drive waits for a new one."""

    drives = 6

    def test_a_new_drive_takes_the_place_of_a_lost_one(self):
        self.put("before", 60)
        paths = drive_paths(self.cluster)
        self.lose(paths[4])
        os.mkdir(paths[4])
        with open(os.path.join(paths[4], "segment-00000001"), "wb") as garbage:
            garbage.write(os.urandom(1 << 20))
        said = admin(self.cluster, "drive", "lost", "4", "--yes")
        self.assertIn("add a drive", said.stdout)
        self.put("during", 20)
        self.assertFalse(repair_status(self.cluster)["whole"])
        fresh = os.path.join(self.cluster.root, "fresh")
        self.assertIn("drive 7 has joined", admin(self.cluster, "drive", "add", fresh).stdout)
        again = admin(self.cluster, "drive", "add", fresh, check=False)
        self.assertIn("already", again.stderr)
        self.put("after", 20)
        self.wait_until_whole()
        admin(self.cluster, "drive", "remove", "4")
        self.verify_without(1, 2)
        wait_until(lambda: all(d["state"] == "up" for d in self.cluster.status()["drives"] if d["id"] != 4),
                   "the drives being back")
        self.cluster.stop()
        self.cluster.start()
        self.s3 = self.cluster.s3()
        self.verify_without(5, 6)

    def test_an_added_drive_gets_its_share(self):
        self.put("before", 60)
        admin(self.cluster, "drive", "add", os.path.join(self.cluster.root, "fresh"))
        self.put("during", 20)
        self.wait_until_whole()
        columns = {drive["id"]: drive["columns"] for drive in
                   json.loads(admin(self.cluster, "drive", "list", "--json").stdout)["drives"]}
        self.assertGreater(columns[7], min(columns.values()) // 2)
        self.verify_without(1, 7)

if __name__ == "__main__":
    unittest.main()
