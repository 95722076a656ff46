"""Training: PyTorch data loaders over the mount read a data set that was uploaded through S3."""

import concurrent.futures
import hashlib
import os
import random
import unittest

from harness import Cluster

SAMPLES = int(os.environ.get("SHOAL_TRAINING_SAMPLES", "600"))
CLASSES = 10


def sample(index):
    """Bytes of the sample: of 100 to 60,000, different for each index."""
    return random.Random(index).randbytes(100 + index * 7919 % 60_000)


class Samples:
    """A map-style data set in the folder-per-class layout."""

    def __init__(self, root):
        self.paths = sorted(os.path.join(directory, name) for directory, _, names in os.walk(root) for name in names)

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        path = self.paths[index]
        with open(path, "rb") as file:
            body = file.read()
        label = int(os.path.basename(os.path.dirname(path)).removeprefix("class"))
        number = int(os.path.basename(path).removesuffix(".bin"))
        return number, label, hashlib.sha256(body).hexdigest()


class TrainingTest(unittest.TestCase):
    def test_shuffled_epochs_read_every_sample(self):
        from torch.utils.data import DataLoader

        with Cluster() as cluster:
            if not cluster.mount_point:
                self.skipTest("a mount needs /dev/fuse and root")
            s3 = cluster.s3(max_pool_connections=16)
            s3.create_bucket(Bucket="data")
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda i: s3.put_object(Bucket="data", Key=f"train/class{i % CLASSES}/{i:06}.bin",
                                                      Body=sample(i)), range(SAMPLES)))
            expected = {i: (i % CLASSES, hashlib.sha256(sample(i)).hexdigest()) for i in range(SAMPLES)}
            loader = DataLoader(Samples(os.path.join(cluster.mount_point, "data", "train")), batch_size=32,
                                shuffle=True, num_workers=4, persistent_workers=True)
            orders = []
            for _ in range(3):
                seen = {}
                for numbers, labels, digests in loader:
                    for number, label, digest in zip(numbers.tolist(), labels.tolist(), digests):
                        seen[number] = (label, digest)
                self.assertEqual(seen, expected)
                orders.append(list(seen))
            self.assertNotEqual(orders[0], orders[1])
            del loader


if __name__ == "__main__":
    unittest.main()
