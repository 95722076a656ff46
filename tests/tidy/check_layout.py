#!/usr/bin/python3
"""Who may include whom, that every source is built, and names that are banned. The rules are in CONTRIBUTING.md."""

import os
import re
import sys

ROOT = sys.argv[1]
PARTS = ["base", "proto", "client", "storaged", "metad", "fuse", "s3compat", "tools", "tests"]

# What each part may include of the others, besides itself.
ALLOWED = {
    "base": set(),
    "proto": {"base"},
    "client": {"base", "proto"},
    "storaged": {"base", "proto"},
    "metad": {"base", "proto"},
    "fuse": {"base", "proto", "client"},
    "s3compat": {"base", "proto", "client"},
    "tools": {"base", "proto", "client", "storaged", "metad", "fuse", "s3compat"},
    "tests": set(PARTS),
}

# Headers that only some files may include.
CONFINED = [
    (re.compile(r"<liburing\.h>"), re.compile(r"^base/io/uring_device\.cc$")),
    (re.compile(r"fuse_lowlevel\.h|<linux/fuse\.h>"), re.compile(r"^fuse/")),
    (re.compile(r"<httplib\.h>|<boost/beast"), re.compile(r"^s3compat/http/")),
    (re.compile(r"<grpc|<grpcpp"), re.compile(r"^proto/rpc/|^tests/")),
    (re.compile(r"<rocksdb/"), re.compile(r"^metad/checkpoint/")),
]

BANNED = [
    (re.compile(r"std::shuffle\b"), "std::shuffle differs between libraries"),
    (re.compile(r"(?<![\w:.])s?rand\(\)"), "randomness comes from base/random.h"),
    (re.compile(r"system_clock::now"), "the time comes from base/clock.h"),
]
BANNED_EXCEPT = {"base/clock.cc"}


def sources():
    for part in PARTS:
        for folder, _, names in os.walk(os.path.join(ROOT, part)):
            for name in names:
                if name.endswith((".cc", ".h")):
                    yield os.path.relpath(os.path.join(folder, name), ROOT)


def built_files():
    """Every path that some CMakeLists.txt names, from the root."""
    named = set()
    for folder, _, names in os.walk(ROOT):
        if "CMakeLists.txt" not in names or os.sep + "build" in folder:
            continue
        with open(os.path.join(folder, "CMakeLists.txt")) as file:
            for word in re.findall(r"[\w./-]+\.cc\b", file.read()):
                named.add(os.path.normpath(os.path.relpath(os.path.join(folder, word), ROOT)))
    return named


def main():
    wrong = []
    built = built_files()
    for path in sorted(sources()):
        part = path.split(os.sep)[0]
        with open(os.path.join(ROOT, path)) as file:
            text = file.read()
        lines = text.count("\n")
        if lines > 800:
            wrong.append(f"{path}: {lines} lines, 800 are the most")
        if path.endswith(".cc") and path not in built:
            wrong.append(f"{path}: no target builds it")
        for include in re.findall(r'#include "([^"]+)"', text):
            owner = include.split("/")[0]
            if owner in PARTS and owner != part and owner not in ALLOWED[part]:
                wrong.append(f"{path}: {part} may not include {include}")
        for header in re.findall(r"#include\s+(<[^>]+>)", text):
            for pattern, where in CONFINED:
                if pattern.search(header) and not where.search(path):
                    wrong.append(f"{path}: {header} is not for this place")
        if path not in BANNED_EXCEPT:
            for pattern, why in BANNED:
                if pattern.search(text):
                    wrong.append(f"{path}: {why}")
    for line in wrong:
        print(line)
    print(f"{len(wrong)} breaches")
    return 1 if wrong else 0


sys.exit(main())
