"""Space comes back: short rows become full ones, dead bytes go, a full pool recovers; nothing that can be seen changes."""

import concurrent.futures
import json
import os
import random
import subprocess
import threading
import time
import unittest

from harness import Cluster, shoal_binary, wait_until


def space(cluster):
    done = subprocess.run([shoal_binary(), "space", "--data", cluster.data, "--json"], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def repack_of(figures):
    return next(task for task in figures["tasks"] if task["task"] == "repack")


def put_all(cluster, bodies, concurrency):
    """Over several clients; returns what was refused as (key, error)."""
    local = threading.local()

    def put(item):
        if not hasattr(local, "s3"):
            local.s3 = cluster.s3()
        try:
            local.s3.put_object(Bucket="bkt", Key=item[0], Body=item[1])
            return None
        except Exception as error:
            return item[0], error

    with concurrent.futures.ThreadPoolExecutor(concurrency) as pool:
        return [refused for refused in pool.map(put, bodies.items()) if refused]


class RepackTest(unittest.TestCase):
    def verify(self, s3, bodies):
        for key, body in bodies.items():
            self.assertEqual(s3.get_object(Bucket="bkt", Key=key)["Body"].read(), body, key)

    def tags(self, s3, keys):
        return {key: s3.head_object(Bucket="bkt", Key=key)["ETag"] for key in keys}

    def test_small_objects_end_below_twice_their_size_and_look_as_before(self):
        with Cluster() as cluster:
            s3 = cluster.s3()
            s3.create_bucket(Bucket="bkt")
            # The files first: their packs are closed before the pass that the objects are worth.
            files = {}
            if cluster.mount_point:
                self.write_files(os.path.join(cluster.mount_point, "bkt"), files)
            bodies = {f"k{i}": os.urandom(4096) for i in range(2000)}
            self.assertEqual(put_all(cluster, bodies, 2), [])
            bodies.update(files)
            tags = self.tags(s3, bodies)
            times = {key: s3.head_object(Bucket="bkt", Key=key)["LastModified"] for key in list(bodies)[-4:]}
            before = space(cluster)
            self.assertGreater(before["payload_ratio"], 2.0)

            def settled():
                now = space(cluster)
                return now if repack_of(now)["moved_bytes"] >= 2000 * 4096 and now["payload_ratio"] < 1.6 else None

            after = wait_until(settled, "short rows being repacked and dropped", 180)
            moved = repack_of(after)["moved_bytes"]
            # All that was written for it, summaries too.
            taken = after["written"]["device_bytes"] - before["written"]["device_bytes"]
            self.assertLessEqual(taken / moved, 2.0)
            self.assertEqual(after["live_bytes"], before["live_bytes"])
            self.assertEqual(after["written"]["repacked_bytes"], moved)
            self.assertEqual(after["wasteful"]["packs"], 0)
            self.verify(s3, bodies)
            self.assertEqual(self.tags(s3, bodies), tags)
            for key, when in times.items():
                self.assertEqual(s3.head_object(Bucket="bkt", Key=key)["LastModified"], when)
            cluster.stop()
            cluster.start()
            s3 = cluster.s3()
            self.verify(s3, bodies)
            self.assertEqual(self.tags(s3, bodies), tags)

    def write_files(self, directory, bodies):
        """Files whose extents are whole, and others that were cut."""
        bodies["plain"] = os.urandom(20_000)
        bodies["shorter"] = os.urandom(15_000)
        bodies["patched"] = os.urandom(30_000)
        for name in ("plain", "shorter", "patched"):
            with open(os.path.join(directory, name), "wb") as file:
                file.write(bodies[name])
        os.truncate(os.path.join(directory, "shorter"), 7_000)
        bodies["shorter"] = bodies["shorter"][:7_000]
        with open(os.path.join(directory, "patched"), "r+b") as file:
            file.seek(10_000)
            file.write(b"patch")
        bodies["patched"] = bodies["patched"][:10_000] + b"patch" + bodies["patched"][10_005:]
        bodies["copy"] = bodies["patched"]
        with open(os.path.join(directory, "patched"), "rb") as source, \
                open(os.path.join(directory, "copy"), "wb") as target:
            os.copy_file_range(source.fileno(), target.fileno(), 1 << 20)

    def test_what_is_written_beside_a_pass_is_never_lost(self):
        with Cluster(mount=False, extra=["--repack-rate", "256KiB"]) as cluster:
            s3 = cluster.s3()
            s3.create_bucket(Bucket="bkt")
            bodies = {f"k{i}": os.urandom(4096) for i in range(1500)}
            self.assertEqual(put_all(cluster, bodies, 2), [])
            wait_until(lambda: repack_of(space(cluster))["moved_bytes"] > 0, "a pass having begun", 120)
            chance = random.Random(1)
            end = time.monotonic() + 60
            changed = 0
            # The pass takes about 24 s at this rate: all of it is met.
            while time.monotonic() < end and repack_of(space(cluster))["passes"] == 0:
                for _ in range(50):
                    key = f"k{chance.randrange(1500)}"
                    if chance.random() < 0.2:
                        s3.delete_object(Bucket="bkt", Key=key)
                        bodies.pop(key, None)
                    elif chance.random() < 0.5 or key not in bodies:
                        bodies[key] = os.urandom(chance.randrange(1, 9000))
                        s3.put_object(Bucket="bkt", Key=key, Body=bodies[key])
                    else:
                        self.assertEqual(s3.get_object(Bucket="bkt", Key=key)["Body"].read(), bodies[key], key)
                    changed += 1
            figures = repack_of(space(cluster))
            self.assertGreater(changed, 100)
            self.assertGreater(figures["moved_bytes"], 1 << 20)
            self.assertEqual(figures["unreadable_extents"], 0)
            self.verify(s3, bodies)
            listed = set()
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket="bkt"):
                listed.update(entry["Key"] for entry in page.get("Contents", []))
            self.assertEqual(listed, set(bodies))


class FullPoolTest(unittest.TestCase):
    """Many small objects share each row, so that after half of them nothing is dead as a whole: without repack the pool
    stays full."""

    def fill(self, cluster):
        done = subprocess.run([shoal_binary(), "bench", "s3", "--endpoint", cluster.endpoint, "--credentials",
                               os.path.join(cluster.data, "credentials"), "--op", "put", "--size", "8KiB",
                               "--concurrency", "256", "--seconds", "30", "--bucket", "filling"],
                              capture_output=True, text=True, timeout=120)
        self.assertIn("507", done.stdout + done.stderr)

    def delete_half(self, s3):
        chance = random.Random(2)
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket="filling"):
            keys = [{"Key": entry["Key"]} for entry in page["Contents"] if chance.random() < 0.5]
            answer = s3.delete_objects(Bucket="filling", Delete={"Objects": keys, "Quiet": True})
            self.assertNotIn("Errors", answer)

    def test_a_full_pool_of_half_dead_packs_recovers_by_repack(self):
        from botocore.exceptions import ClientError

        with Cluster(mount=False, drives=3, code="2+1", extra=["--capacity", "640MiB"]) as cluster:
            s3 = cluster.s3()
            s3.create_bucket(Bucket="bkt")
            bodies = {f"k{i}": os.urandom(1 + 131 * i) for i in range(300)}
            self.assertEqual(put_all(cluster, bodies, 8), [])
            self.fill(cluster)
            with self.assertRaises(ClientError) as refused:
                s3.put_object(Bucket="bkt", Key="refused", Body=b"x" * 4096)
            self.assertEqual(refused.exception.response["Error"]["Code"], "InsufficientCapacity")
            before = repack_of(space(cluster))["moved_bytes"]
            self.delete_half(s3)

            def accepts_again():
                more = {f"after{len(bodies)}-{i}": os.urandom(8192) for i in range(16)}
                if put_all(cluster, more, 8):
                    time.sleep(0.5)
                    return False
                bodies.update(more)
                return True

            wait_until(accepts_again, "the pool taking objects again", 200)
            figures = repack_of(space(cluster))
            self.assertGreater(figures["moved_bytes"], before)
            self.assertEqual(figures["unreadable_extents"], 0)
            # What full rows take is 1.5 times the data.
            wait_until(lambda: space(cluster)["payload_ratio"] < 1.9, "what was repacked being dropped", 120)
            for key, body in bodies.items():
                self.assertEqual(s3.get_object(Bucket="bkt", Key=key)["Body"].read(), body, key)


if __name__ == "__main__":
    unittest.main()
