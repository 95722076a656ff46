"""fio writes, reads back and verifies checksums on the mount: random and sequential, direct and buffered."""

import json
import os
import subprocess
import unittest

from harness import Cluster

SIZE = os.environ.get("SHOAL_FIO_SIZE", "48m")


class FioTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster()
        cls.addClassCleanup(cls.cluster.destroy)
        cls.cluster.start()
        if not cls.cluster.mount_point:
            raise unittest.SkipTest("a mount needs /dev/fuse and root")

    def verify(self, name, *options):
        directory = os.path.join(self.cluster.mount_point, name)
        os.mkdir(directory)
        done = subprocess.run(["fio", "--name=job", f"--directory={directory}", f"--size={SIZE}", "--verify=crc32c",
                               "--do_verify=1", "--verify_fatal=1", "--verify_state_save=0", "--output-format=json",
                               *options],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr[-3000:])
        for job in json.loads(done.stdout)["jobs"]:
            self.assertEqual(job["error"], 0)
            self.assertGreater(job["read"]["io_bytes"], 0, "nothing was verified")

    def test_sequential_buffered(self):
        self.verify("a", "--rw=write", "--bs=128k", "--end_fsync=1")

    def test_sequential_direct(self):
        self.verify("b", "--rw=write", "--bs=1m", "--direct=1", "--ioengine=libaio", "--iodepth=4")

    def test_random_buffered(self):
        self.verify("c", "--rw=randwrite", "--bs=4k", "--fsync=64")

    def test_random_direct(self):
        self.verify("d", "--rw=randwrite", "--bs=4k", "--direct=1", "--ioengine=libaio", "--iodepth=16")

    def test_unaligned_pieces_by_several_jobs(self):
        self.verify("e", "--rw=randwrite", "--bsrange=512-90k", "--bs_unaligned", "--numjobs=3", "--size=16m")

    def test_mixed_reads_and_writes(self):
        self.verify("f", "--rw=randrw", "--bs=16k", "--fsync=16")


if __name__ == "__main__":
    unittest.main()
