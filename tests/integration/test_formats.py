"""The on-disk format: today's program opens the committed fixture and finds every byte; of a newer format it says so.

Also back-ups of the metadata: dump and load, of a cluster that runs and of one that does not.
"""

import glob
import hashlib
import json
import os
import re
import struct
import subprocess
import tarfile
import unittest

from harness import Cluster, shoal_binary

FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures")
PAGE = 4096


def crc32c(data):
    """Castagnoli, bit by bit: for a page at most."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def bump_version(path, offset, length):
    """Makes the struct of `length` bytes at `offset` one of the next version, with its CRC right: magic u64, version u32,
    CRC u32 of it with 0 there."""
    with open(path, "r+b") as file:
        file.seek(offset)
        header = bytearray(file.read(length))
        version = struct.unpack_from("<I", header, 8)[0]
        struct.pack_into("<II", header, 8, version + 1, 0)
        struct.pack_into("<I", header, 12, crc32c(header))
        file.seek(offset)
        file.write(header)


class FixtureCluster(Cluster):
    """A copy of the fixture."""

    def __init__(self, name="cluster-v1"):
        super().__init__(drives=3, code="2+1")
        os.makedirs(self.data)
        with tarfile.open(os.path.join(FIXTURES, name + ".tar.xz")) as archive:
            archive.extractall(self.data)
        conf = os.path.join(self.data, "cluster.conf")
        with open(conf) as file:
            text = file.read()
        with open(conf, "w") as file:
            file.write(text.replace("@DATA@", self.data))
        with open(os.path.join(FIXTURES, name + ".json")) as file:
            self.contents = json.load(file)

    def start_fails(self):
        """Returns what a start says that does not succeed."""
        done = subprocess.run(self.command(), capture_output=True, text=True, timeout=60)
        assert done.returncode != 0, done.stdout + done.stderr
        return done.stdout + done.stderr


def run(*arguments):
    return subprocess.run([shoal_binary(), *arguments], capture_output=True, text=True, timeout=120)


class FormatTest(unittest.TestCase):
    def setUp(self):
        self.cluster = FixtureCluster()
        self.addCleanup(self.cluster.destroy)

    def check_contents(self):
        bucket = self.cluster.contents["bucket"]
        s3 = self.cluster.s3()
        objects = self.cluster.contents["objects"]
        found = {}
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            found.update({entry["Key"]: entry["Size"] for entry in page.get("Contents", [])})
        self.assertEqual(found, {key: what["size"] for key, what in objects.items()})
        for key, what in objects.items():
            answer = s3.get_object(Bucket=bucket, Key=key)
            self.assertEqual(hashlib.sha256(answer["Body"].read()).hexdigest(), what["sha256"], key)
            self.assertEqual(answer["ContentType"], what.get("ContentType", answer["ContentType"]), key)
            self.assertEqual(answer["Metadata"], what.get("Metadata", {}), key)
        if not self.cluster.mount_point:
            return
        for name, what in self.cluster.contents["paths"].items():
            path = os.path.join(self.cluster.mount_point, bucket, name)
            if "target" in what:
                self.assertEqual(os.readlink(path), what["target"])
                continue
            self.assertEqual(os.stat(path).st_mode & 0o7777, what["mode"])
            self.assertEqual(os.stat(path).st_nlink, what["links"])
            for attribute, value in what["xattrs"].items():
                self.assertEqual(os.getxattr(path, attribute), value.encode())

    def test_every_byte_of_the_fixture_is_found_and_more_can_be_written(self):
        self.cluster.start()
        self.check_contents()
        s3 = self.cluster.s3()
        bucket = self.cluster.contents["bucket"]
        s3.put_object(Bucket=bucket, Key="new", Body=b"new")
        self.cluster.stop()
        self.cluster.start()
        self.assertEqual(s3.get_object(Bucket=bucket, Key="new")["Body"].read(), b"new")
        s3.delete_object(Bucket=bucket, Key="new")
        self.check_contents()

    def test_a_newer_checkpoint_is_refused_by_name(self):
        path = os.path.join(self.cluster.data, "metad/checkpoint/FORMAT")
        with open(path) as file:
            text = file.read()
        version = int(re.search(r"version (\d+)$", text).group(1))
        with open(path, "w") as file:
            file.write(text.replace(f"version {version}", f"version {version + 1}"))
        said = self.cluster.start_fails()
        self.assertIn(f"format version {version + 1}, newer than this program knows ({version})", said)

    def test_a_newer_journal_is_refused_by_name(self):
        for path in glob.glob(os.path.join(self.cluster.data, "metad/journal/journal-*")):
            bump_version(path, 0, 48)
        self.assertRegex(self.cluster.start_fails(), r"journal-\d+ is of format version 2, newer than this program knows")

    def drive_states(self):
        self.cluster.start()
        return [drive["state"] for drive in self.cluster.status()["drives"]]

    def test_a_newer_drive_is_refused_by_name(self):
        path = os.path.join(self.cluster.data, "drives/1/superblock")
        for copy in range(4):
            bump_version(path, copy * PAGE, 88)
        self.assertRegex(self.drive_states()[0], r"format version 2")
        self.check_contents()  # from the other two drives

    def test_a_newer_segment_is_refused_by_name(self):
        for path in glob.glob(os.path.join(self.cluster.data, "drives/2/segment-*")):
            bump_version(path, 0, 48)
        self.assertRegex(self.drive_states()[1], r"segment-\d+.*format version 2")
        self.check_contents()

    def test_a_dump_is_loaded_in_the_place_of_lost_metadata(self):
        running = os.path.join(self.cluster.root, "running.dump")
        stopped = os.path.join(self.cluster.root, "stopped.dump")
        self.cluster.start()
        done = run("metad", "dump", "--data", self.cluster.data, "--out", running)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        # Newer than that dump.
        bucket = self.cluster.contents["bucket"]
        self.cluster.s3().put_object(Bucket=bucket, Key="newer", Body=b"newer" * 1000)
        self.cluster.stop()
        done = run("metad", "dump", "--data", self.cluster.data, "--out", stopped)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        done = run("metad", "dump", "--data", self.cluster.data, "--out", stopped)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("exists", (done.stdout + done.stderr).lower())
        done = run("metad", "load", "--data", self.cluster.data, "--in", stopped)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("holds metadata already", done.stderr)
        self.load(stopped, "lost-1")
        self.cluster.start()
        self.assertEqual(self.cluster.s3().get_object(Bucket=bucket, Key="newer")["Body"].read(), b"newer" * 1000)
        self.cluster.s3().delete_object(Bucket=bucket, Key="newer")
        self.check_contents()
        self.cluster.stop()
        fragments = self.stored_fragments()
        self.load(running, "lost-2")
        self.cluster.start()
        self.check_contents()
        # The collector looks at once and every few seconds: what it does not know stays.
        self.cluster.stop()
        self.assertGreaterEqual(self.stored_fragments(), fragments)

    def stored_fragments(self):
        self.cluster.start()
        count = sum(drive["fragments"] for drive in self.cluster.status()["drives"])
        self.cluster.stop()
        return count

    def load(self, dump, lost):
        os.rename(os.path.join(self.cluster.data, "metad"), os.path.join(self.cluster.root, lost))
        with open(dump, "rb") as file:
            content = file.read()
        damaged = os.path.join(self.cluster.root, "damaged.dump")
        with open(damaged, "wb") as file:
            file.write(content[:-1])
        done = run("metad", "load", "--data", self.cluster.data, "--in", damaged)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("cut short", done.stderr)
        done = run("metad", "load", "--data", self.cluster.data, "--in", dump)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
