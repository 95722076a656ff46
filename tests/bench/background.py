"""What background work costs and how fast it is, on one machine: `shoal up` with seven drives and 4+2.

    tests/bench/run rebuild --objects 1000000     one drive of seven is lost: objects/s, bytes/s, and the drives' own read rate
    tests/bench/run disturbance --runs 3          p99 of PUT and GET beside rebuild, scrub and repack, and without them
    tests/bench/run degraded --runs 3             GET with a drive gone, and with all

Everything that is compared is measured in one run; medians of several runs are printed last.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))

from harness import Cluster, shoal_binary, wait_until  # noqa: E402

CONNECTIONS = 64
LOST_DRIVE = 3


class Bench:
    def __init__(self, *extra):
        self.cluster = Cluster(mount=False, processes=False, drives=7, extra=list(extra))
        self.cluster.__enter__()
        self.cluster.s3().create_bucket(Bucket="bench")

    def load(self, operation, seconds, *words):
        done = subprocess.run([shoal_binary(), "bench", "s3", "--endpoint", self.cluster.endpoint, "--data",
                               self.cluster.data, "--op", operation, "--size", "4KiB", "--concurrency",
                               str(CONNECTIONS), "--seconds", str(seconds), "--bucket", "bench", "--json", *words],
                              capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stdout + done.stderr)
        return json.loads(done.stdout)

    def fill(self, objects):
        begin = time.monotonic()
        made = 0
        while made < objects:
            figures = self.load("put", 10)
            made += int(figures["ops_per_second"] * 10)
        print(f"  {made} objects in {time.monotonic() - begin:.0f} s", flush=True)
        return made

    def admin(self, *words):
        return subprocess.run([shoal_binary(), *words, "--data", self.cluster.data], capture_output=True, text=True)

    def repair(self):
        return json.loads(self.admin("repair", "status", "--json").stdout)

    def used(self, drives):
        return sum(drive["used_bytes"] for drive in self.cluster.status()["drives"] if drive["id"] in drives)

    def lose_drive(self):
        done = self.admin("drive", "lost", str(LOST_DRIVE), "--yes")
        if done.returncode != 0:
            sys.exit(done.stdout + done.stderr)


def rebuild(options):
    bench = Bench("--rebuild-rate", "16GiB", "--repack-rate", "0", "--scrub-rate", "0", "--capacity", "8GiB")
    try:
        made = bench.fill(options.objects)
        time.sleep(options.settle)
        on_lost = bench.used({LOST_DRIVE})
        survivors = bench.used(set(range(1, 8)) - {LOST_DRIVE})
        begin = time.monotonic()
        bench.admin("scrub", "start", "--wait", "--rate", "64GiB")
        read_rate = (survivors + on_lost) / (time.monotonic() - begin)
        begin = time.monotonic()
        bench.lose_drive()
        wait_until(lambda: bench.repair()["whole"], "everything being whole", 3600)
        took = time.monotonic() - begin
        status = bench.repair()
        # To decode a fragment, four are read.
        reading = 4 * status["restored_bytes"] / took
        # Of the rows that lost a column; a seventh of the objects lay on the drive itself.
        print(f"rebuild: {made * 6 // 7} objects in the rows, {status['restored_fragments']} fragments, "
              f"{status['restored_bytes'] / 1e6:.0f} MB (of {on_lost / 1e6:.0f} MB on the drive) in {took:.1f} s: "
              f"{made * 6 / 7 / took:.0f} objects/s, {status['restored_bytes'] / took / 1e6:.0f} MB/s; reads "
              f"{reading / 1e6:.0f} MB/s, {reading / read_rate:.2f} of the {read_rate / 1e6:.0f} MB/s that scrub reads")
    finally:
        bench.cluster.destroy()


def beside(bench, name, running):
    """PUT and GET in turns while the work runs: (PUT p99, GET p99) in us. None: it ended before the load did."""
    put = bench.load("put", 4)
    get = bench.load("get", 4)
    if not running():
        print(f"  {name} ended before the load: more objects are needed", flush=True)
        return None
    return put["p99_us"], get["p99_us"]


def scrubbing(bench):
    return any(drive["scrub"]["state"] == "running"
               for drive in json.loads(bench.admin("scrub", "status", "--json").stdout)["drives"])


def repacked(bench):
    tasks = json.loads(bench.admin("space", "--json").stdout)["tasks"]
    return next(task["moved_bytes"] for task in tasks if task["task"] == "repack")


def disturbance(options):
    ratios = {}
    for number in range(options.runs):
        bench = Bench("--capacity", "8GiB")
        try:
            bench.fill(options.objects)
            found = {}
            quiet = [beside(bench, "nothing", lambda: True)]
            bench.admin("scrub", "start")
            found["scrub"] = beside(bench, "scrub", lambda: scrubbing(bench))
            bench.admin("scrub", "stop")
            quiet.append(beside(bench, "nothing", lambda: True))
            bench.lose_drive()
            found["rebuild"] = beside(bench, "rebuild", lambda: not bench.repair()["whole"])
            wait_until(lambda: bench.repair()["whole"], "everything being whole", 600)
            bench.load("delete", 4)
            before = repacked(bench)
            found["repack"] = beside(bench, "repack", lambda: repacked(bench) > before)
            quiet.append(beside(bench, "nothing", lambda: True))
        finally:
            bench.cluster.destroy()
        still = tuple(statistics.median(figures[i] for figures in quiet) for i in (0, 1))
        for name, figures in found.items():
            if figures is None:
                continue
            pair = tuple(a / b for a, b in zip(figures, still))
            ratios.setdefault(name, []).append(pair)
            print(f"  run {number}, {name}: PUT p99 {figures[0]:.0f} us ({pair[0]:.2f}x of {still[0]:.0f}), GET p99 "
                  f"{figures[1]:.0f} us ({pair[1]:.2f}x of {still[1]:.0f})", flush=True)
    for name, pairs in ratios.items():
        print(f"{name}: PUT p99 {statistics.median(p[0] for p in pairs):.2f}x, GET p99 "
              f"{statistics.median(p[1] for p in pairs):.2f}x the undisturbed one, medians of {len(pairs)}")


def degraded(options):
    bench = Bench("--capacity", "4GiB", "--rebuild-rate", "0", "--repack-rate", "0", "--scrub-rate", "0", "--out-after",
                  "0", "--down-after", "1")
    rows = []
    try:
        bench.fill(options.objects)
        paths = {drive["id"]: drive["path"] for drive in bench.cluster.status()["drives"]}

        def failed(drive):
            return any(d["id"] == drive and d["state"].startswith("failed") for d in bench.cluster.status()["drives"])

        for number in range(options.runs):
            words = ("--prefix", f"run{number}/")
            healthy = bench.load("get", 4, *words)
            for drive in (1, 2):
                os.rename(paths[drive], paths[drive] + ".away")
            wait_until(lambda: failed(1) and failed(2), "the drives being missed")
            time.sleep(2)
            hurt = bench.load("get", 4, *words, "--prepared")
            for drive in (1, 2):
                os.rename(paths[drive] + ".away", paths[drive])
            wait_until(lambda: not failed(1) and not failed(2), "the drives being back")
            time.sleep(2)
            # The share of the reads that are decoded.
            share = 2 / 7
            cost = hurt["server_cpu_us_per_op"] / healthy["server_cpu_us_per_op"]
            one = 1 + (cost - 1) / share
            rows.append(one)
            print(f"  run {number}: {healthy['ops_per_second']:.0f} and {hurt['ops_per_second']:.0f} GET/s, p99 "
                  f"{healthy['p99_us']} and {hurt['p99_us']} us, CPU {healthy['server_cpu_us_per_op']:.1f} and "
                  f"{hurt['server_cpu_us_per_op']:.1f} us: a decoded GET costs {one:.2f}x", flush=True)
    finally:
        bench.cluster.destroy()
    print(f"degraded GET: {statistics.median(rows):.2f}x the CPU of a healthy one, median of {len(rows)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("rebuild", "disturbance", "degraded"))
    parser.add_argument("--objects", type=int, default=600_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--settle", type=float, default=3, help="seconds after the load")
    options = parser.parse_args()
    {"rebuild": rebuild, "disturbance": disturbance, "degraded": degraded}[options.what](options)


if __name__ == "__main__":
    main()
