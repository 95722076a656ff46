"""kill -9 in the middle of a mixed load: what was answered is there, what was answered as deleted stays away.

SHOAL_CRASH_ROUNDS sets the number of rounds (default 2; by hand, try 10 and more).
"""

import os
import time
import unittest

from harness import Cluster, wait_until
from ledger import Ledger, Worker, posix_door, s3_door

ROUNDS = int(os.environ.get("SHOAL_CRASH_ROUNDS", "2"))
# A file that is replaced in place is gone, then empty, before it has its new bytes.
IN_PLACE = (None, b"")


class CrashTest(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster()
        self.addCleanup(self.cluster.destroy)
        self.cluster.start()
        self.cluster.s3().create_bucket(Bucket="ledger")
        self.s3_ledger = Ledger()
        self.posix_ledger = Ledger()

    def start_load(self, round_number):
        workers = []
        for i in range(4):
            write, delete, _ = s3_door(self.cluster.s3(), "ledger")
            workers.append(Worker(self.s3_ledger, f"s3/{i}/", write, delete, seed=round_number * 100 + i))
        if self.cluster.mount_point:
            top = os.path.join(self.cluster.mount_point, "ledger")
            for i in range(2):
                os.makedirs(os.path.join(top, "posix", str(i)), exist_ok=True)
                write, delete, _ = posix_door(top)
                workers.append(Worker(self.posix_ledger, f"posix/{i}/", write, delete,
                                      seed=round_number * 100 + 50 + i, between=IN_PLACE))
        for worker in workers:
            worker.start()
        return workers

    def let_it_run(self, workers):
        time.sleep(1.5)
        # Also on a machine that has other things to do.
        wait_until(lambda: sum(worker.answered for worker in workers) > 40, "the load being under way")

    def verify(self, context):
        _, _, read = s3_door(self.cluster.s3(), "ledger")
        wrong = self.s3_ledger.verify(read, context + ", by S3")
        if self.cluster.mount_point:
            _, _, read = posix_door(os.path.join(self.cluster.mount_point, "ledger"))
            wrong += self.posix_ledger.verify(read, context + ", by the mount")
        self.assertEqual(wrong, [])

    def stop_load(self, workers):
        for worker in workers:
            worker.stopping.set()
        for worker in workers:
            worker.join(timeout=60)
            self.assertFalse(worker.is_alive(), "a worker hangs")

    def test_kill_everything(self):
        for round_number in range(ROUNDS):
            workers = self.start_load(round_number)
            self.let_it_run(workers)
            self.cluster.kill()
            self.stop_load(workers)
            self.cluster.start()
            self.verify(f"round {round_number}")

    def test_kill_one_daemon_at_a_time(self):
        if not self.cluster.processes:
            self.skipTest("only with --processes")
        daemons = ["shoal-metad", "shoal-storaged", "shoal-s3"]
        for round_number in range(max(ROUNDS, len(daemons))):
            name = daemons[round_number % len(daemons)]
            workers = self.start_load(round_number)
            self.let_it_run(workers)
            pids = self.cluster.daemon_pids(name)
            self.assertTrue(pids, f"no {name} runs")
            os.kill(pids[0], 9)
            time.sleep(3.0)
            self.stop_load(workers)
            self.verify(f"round {round_number}, {name} killed")


if __name__ == "__main__":
    unittest.main()
