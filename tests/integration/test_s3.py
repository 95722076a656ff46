"""The S3 door, as boto3 uses it."""

import hashlib
import io
import json
import os
import subprocess
import unittest

from harness import Cluster, shoal_binary


class S3Test(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster()
        cls.cluster.start()
        cls.s3 = cls.cluster.s3()
        cls.s3.create_bucket(Bucket="main")

    @classmethod
    def tearDownClass(cls):
        cls.cluster.destroy()

    def put(self, key, body, bucket="main", **extra):
        return self.s3.put_object(Bucket=bucket, Key=key, Body=body, **extra)

    def get(self, key, bucket="main", **extra):
        return self.s3.get_object(Bucket=bucket, Key=key, **extra)

    def test_sizes_around_the_pieces(self):
        for size in (0, 1, 100, 4095, 4096, 4097, 65536, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5 << 20, 9_999_999):
            with self.subTest(size=size):
                body = os.urandom(size)
                answer = self.put(f"sizes/{size}", body)
                self.assertEqual(answer["ETag"], '"' + hashlib.md5(body).hexdigest() + '"')
                got = self.get(f"sizes/{size}")
                self.assertEqual(got["ContentLength"], size)
                self.assertEqual(got["Body"].read(), body)

    def test_ranges(self):
        body = os.urandom(3 << 20)
        self.put("ranges", body, ChecksumAlgorithm="CRC32")
        self.assertIn("ChecksumCRC32", self.get("ranges", ChecksumMode="ENABLED"))
        for spec, want in (("bytes=0-0", body[:1]), ("bytes=100-4200", body[100:4201]),
                           ("bytes=1048570-1048590", body[1048570:1048591]), ("bytes=-17", body[-17:]),
                           ("bytes=3000000-", body[3000000:])):
            with self.subTest(spec=spec):
                got = self.get("ranges", Range=spec, ChecksumMode="ENABLED")  # of the whole, not of a range
                self.assertNotIn("ChecksumCRC32", got)
                self.assertEqual(got["ResponseMetadata"]["HTTPStatusCode"], 206)
                self.assertEqual(got["Body"].read(), want)
        with self.assertRaises(self.s3.exceptions.ClientError) as caught:
            self.get("ranges", Range="bytes=99999999-")
        self.assertEqual(caught.exception.response["Error"]["Code"], "InvalidRange")

    def test_the_mixed_load_of_the_benchmark_has_no_errors(self):
        self.s3.create_bucket(Bucket="bench")
        for operation in ("list", "mixed"):
            with self.subTest(operation=operation):
                done = subprocess.run([shoal_binary(), "bench", "s3", "--endpoint", self.cluster.endpoint, "--data",
                                       self.cluster.data, "--op", operation, "--size", "4KiB", "--concurrency", "8",
                                       "--seconds", "1", "--bucket", "bench", "--json"], capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                figures = json.loads(done.stdout)
                self.assertEqual(figures["errors"], 0, figures.get("first_error"))
                self.assertGreater(figures["requests"], 0)

    def test_metadata_and_headers_come_back(self):
        self.put("meta", b"x", ContentType="text/x-test", CacheControl="max-age=3", ContentDisposition="inline",
                 ContentEncoding="identity", ContentLanguage="de", Metadata={"mtime": "1.5", "name": "value"})
        head = self.s3.head_object(Bucket="main", Key="meta")
        self.assertEqual(head["ContentType"], "text/x-test")
        self.assertEqual(head["CacheControl"], "max-age=3")
        self.assertEqual(head["ContentDisposition"], "inline")
        self.assertEqual(head["ContentLanguage"], "de")
        self.assertEqual(head["Metadata"], {"mtime": "1.5", "name": "value"})

    def test_odd_keys_have_a_place_and_keep_the_order(self):
        keys = ["a", "a/b", "a//b", "/a", "a-b", "a.b", "a/../c", "./x", "..", "dir/", "dir/x", "ü/ö", "a" * 300,
                "b" * 300 + "/" + "c" * 700, "sp ace", "per%cent", "plus+plus", "q?u=e&r", "back\\slash", "a/b/"]
        self.s3.create_bucket(Bucket="odd")
        for index, key in enumerate(keys):
            self.put(key, str(index).encode() if not key.endswith("/") else b"", bucket="odd")
        listed = [item["Key"] for page in self.s3.get_paginator("list_objects_v2").paginate(
            Bucket="odd", PaginationConfig={"PageSize": 3}) for item in page.get("Contents", [])]
        self.assertEqual(listed, sorted(keys, key=lambda k: k.encode()))
        for index, key in enumerate(keys):
            if not key.endswith("/"):
                self.assertEqual(self.get(key, bucket="odd")["Body"].read(), str(index).encode(), key)
        for key in keys:
            self.s3.delete_object(Bucket="odd", Key=key)
        self.assertEqual(self.s3.list_objects_v2(Bucket="odd")["KeyCount"], 0)
        self.s3.delete_bucket(Bucket="odd")

    def test_listing_with_delimiter(self):
        for key in ("list/a", "list/b/1", "list/b/2", "list/c/1", "list/d"):
            self.put(key, b"1")
        answer = self.s3.list_objects_v2(Bucket="main", Prefix="list/", Delimiter="/")
        self.assertEqual([item["Key"] for item in answer["Contents"]], ["list/a", "list/d"])
        self.assertEqual([item["Prefix"] for item in answer["CommonPrefixes"]], ["list/b/", "list/c/"])
        answer = self.s3.list_objects_v2(Bucket="main", Prefix="list/", StartAfter="list/b/1")
        self.assertEqual([item["Key"] for item in answer["Contents"]], ["list/b/2", "list/c/1", "list/d"])
        answer = self.s3.list_objects(Bucket="main", Prefix="list/", Marker="list/b/2", MaxKeys=1)
        self.assertEqual([item["Key"] for item in answer["Contents"]], ["list/c/1"])
        self.assertTrue(answer["IsTruncated"])

    def test_multipart(self):
        part = os.urandom(5 << 20)
        last = os.urandom(12345)
        upload = self.s3.create_multipart_upload(Bucket="main", Key="multi", ContentType="a/b")["UploadId"]
        tags = [self.s3.upload_part(Bucket="main", Key="multi", UploadId=upload, PartNumber=n, Body=body)["ETag"]
                for n, body in ((1, part), (2, part), (3, last))]
        listed = self.s3.list_parts(Bucket="main", Key="multi", UploadId=upload)
        self.assertEqual([p["Size"] for p in listed["Parts"]], [len(part), len(part), len(last)])
        self.assertEqual(len(self.s3.list_multipart_uploads(Bucket="main")["Uploads"]), 1)
        done = self.s3.complete_multipart_upload(
            Bucket="main", Key="multi", UploadId=upload,
            MultipartUpload={"Parts": [{"PartNumber": n + 1, "ETag": tag} for n, tag in enumerate(tags)]})
        digest = hashlib.md5(b"".join(hashlib.md5(p).digest() for p in (part, part, last))).hexdigest()
        self.assertEqual(done["ETag"], f'"{digest}-3"')
        got = self.get("multi")
        self.assertEqual(got["Body"].read(), part + part + last)
        self.assertEqual(got["ContentType"], "a/b")

    def test_upload_part_copy_and_abort(self):
        body = os.urandom(6 << 20)
        self.put("source", body)
        upload = self.s3.create_multipart_upload(Bucket="main", Key="copied")["UploadId"]
        first = self.s3.upload_part_copy(Bucket="main", Key="copied", UploadId=upload, PartNumber=1,
                                         CopySource="main/source", CopySourceRange=f"bytes=7-{6 + (5 << 20)}")
        second = self.s3.upload_part(Bucket="main", Key="copied", UploadId=upload, PartNumber=2, Body=b"tail")
        self.s3.complete_multipart_upload(
            Bucket="main", Key="copied", UploadId=upload,
            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": first["CopyPartResult"]["ETag"]},
                                       {"PartNumber": 2, "ETag": second["ETag"]}]})
        self.assertEqual(self.get("copied")["Body"].read(), body[7:7 + (5 << 20)] + b"tail")
        upload = self.s3.create_multipart_upload(Bucket="main", Key="aborted")["UploadId"]
        self.s3.upload_part(Bucket="main", Key="aborted", UploadId=upload, PartNumber=1, Body=b"x")
        self.s3.abort_multipart_upload(Bucket="main", Key="aborted", UploadId=upload)
        with self.assertRaises(self.s3.exceptions.ClientError) as caught:
            self.s3.list_parts(Bucket="main", Key="aborted", UploadId=upload)
        self.assertEqual(caught.exception.response["Error"]["Code"], "NoSuchUpload")

    def test_copy_object(self):
        self.put("copy-from", b"bytes", Metadata={"k": "v"})
        self.s3.copy_object(Bucket="main", Key="copy-to", CopySource="main/copy-from")
        got = self.get("copy-to")
        self.assertEqual((got["Body"].read(), got["Metadata"]), (b"bytes", {"k": "v"}))
        self.s3.copy_object(Bucket="main", Key="copy-to", CopySource="main/copy-from", MetadataDirective="REPLACE",
                            Metadata={"n": "w"})
        self.assertEqual(self.get("copy-to")["Metadata"], {"n": "w"})

    def test_conditions(self):
        tag = self.put("cond", b"1")["ETag"]
        self.assertEqual(self.get("cond", IfMatch=tag)["Body"].read(), b"1")
        for condition, status in ((dict(IfNoneMatch=tag), 304), (dict(IfMatch='"nope"'), 412)):
            with self.assertRaises(self.s3.exceptions.ClientError) as caught:
                self.get("cond", **condition)
            self.assertEqual(caught.exception.response["ResponseMetadata"]["HTTPStatusCode"], status)

    def test_delete_many(self):
        keys = [f"many/{i}" for i in range(25)]
        for key in keys:
            self.put(key, b"x")
        answer = self.s3.delete_objects(Bucket="main", Delete={"Objects": [{"Key": k} for k in keys + ["many/none"]]})
        self.assertEqual(len(answer["Deleted"]), 26)
        self.assertEqual(self.s3.list_objects_v2(Bucket="main", Prefix="many/")["KeyCount"], 0)

    def test_buckets(self):
        self.s3.create_bucket(Bucket="second")
        self.assertIn("second", [b["Name"] for b in self.s3.list_buckets()["Buckets"]])
        self.put("x", b"1", bucket="second")
        with self.assertRaises(self.s3.exceptions.ClientError) as caught:
            self.s3.delete_bucket(Bucket="second")
        self.assertEqual(caught.exception.response["Error"]["Code"], "BucketNotEmpty")
        self.s3.delete_object(Bucket="second", Key="x")
        self.s3.delete_bucket(Bucket="second")
        with self.assertRaises(self.s3.exceptions.ClientError) as caught:
            self.s3.list_objects_v2(Bucket="second")
        self.assertEqual(caught.exception.response["Error"]["Code"], "NoSuchBucket")

    def test_what_is_not_there_says_so_by_name(self):
        with self.assertRaises(self.s3.exceptions.ClientError) as caught:
            self.s3.put_bucket_policy(Bucket="main", Policy="{}")
        self.assertEqual(caught.exception.response["Error"]["Code"], "NotImplemented")
        self.assertEqual(caught.exception.response["ResponseMetadata"]["HTTPStatusCode"], 501)

    def test_presigned_urls_and_streamed_bodies(self):
        import urllib.request
        self.s3.upload_fileobj(io.BytesIO(b"s" * 300_000), "main", "streamed")
        url = self.s3.generate_presigned_url("get_object", Params={"Bucket": "main", "Key": "streamed"})
        with urllib.request.urlopen(url) as answer:
            self.assertEqual(answer.read(), b"s" * 300_000)

    def test_both_doors_show_the_same(self):
        if not self.cluster.mount_point:
            self.skipTest("no FUSE here")
        top = os.path.join(self.cluster.mount_point, "main", "doors")
        self.put("doors/from-s3", b"hello")
        with open(os.path.join(top, "from-s3"), "rb") as file:
            self.assertEqual(file.read(), b"hello")
        with open(os.path.join(top, "from-posix"), "wb") as file:
            file.write(b"there")
        got = self.get("doors/from-posix")
        self.assertEqual(got["Body"].read(), b"there")
        self.assertRegex(got["ETag"], r'^"[0-9a-f]+-0"$')
        self.put("doors/from-posix", b"again")
        with open(os.path.join(top, "from-posix"), "rb") as file:
            self.assertEqual(file.read(), b"again")
        os.unlink(os.path.join(top, "from-s3"))
        with self.assertRaises(self.s3.exceptions.NoSuchKey):
            self.get("doors/from-s3")


if __name__ == "__main__":
    unittest.main()
