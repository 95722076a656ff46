// CPU of the pack writer and the extent reader on one event loop against a storage that answers at
// once: what the data path itself costs. Prints microseconds of CPU for each piece and each MiB.
// Usage: pack_writer_bench [SECONDS [write|read SIZE CONCURRENCY]]
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>

#include "base/io/event_loop.h"
#include "base/random.h"
#include "client/extent_reader.h"
#include "client/pack_writer.h"
#include "client/storage_router.h"
#include "tests/support/fake_metadata_client.h"

namespace shoal::client {
namespace {

// Takes every fragment and gives the same bytes for every read, one turn of the loop later.
class InstantStorage final : public StorageApi {
 public:
  explicit InstantStorage(Buffer bytes) : bytes_(std::move(bytes)) {}
  Task<Status> write_fragment(WriteFragmentRequest request, MonotonicTime) override {
    co_await yield();
    written_bytes += total_size(request.payload);
    co_return OkStatus();
  }
  Task<Result<Buffer>> read_fragment(ReadFragmentRequest request, MonotonicTime) override {
    co_await yield();
    co_return bytes_.slice(0, request.length);
  }
  Task<Result<RowShape>> row_shape(DriveId, PackId, std::uint32_t, MonotonicTime) override {
    co_return NotFoundError("no rows are kept");
  }
  Task<Result<std::vector<RowObject>>> row_directory(DriveId, FragmentKey, MonotonicTime) override {
    co_return NotFoundError("no rows are kept");
  }
  Task<Status> seal_pack(DriveId, PackId, std::uint64_t, MonotonicTime) override {
    co_return OkStatus();
  }
  Task<Status> delete_pack(DriveId, PackId, MonotonicTime) override { co_return OkStatus(); }
  Task<Status> evict_pack(DriveId, PackId, MonotonicTime) override { co_return OkStatus(); }
  Task<Status> delete_rows(DriveId, PackId, std::vector<std::uint32_t>, MonotonicTime) override {
    co_return OkStatus();
  }
  Task<Result<std::vector<PackInfo>>> list_packs(DriveId, PackId, std::uint32_t,
                                                 MonotonicTime) override {
    co_return std::vector<PackInfo>();
  }
  Task<Result<std::vector<FragmentInfo>>> list_fragments(DriveId, PackId, std::uint32_t,
                                                         std::uint32_t, FragmentDetail,
                                                         MonotonicTime) override {
    co_return std::vector<FragmentInfo>();
  }
  Task<Result<std::vector<DamagedFragment>>> damaged_fragments(DriveId, FragmentKey, std::uint32_t,
                                                               MonotonicTime) override {
    co_return std::vector<DamagedFragment>();
  }
  Task<Status> scrub(DriveId, ScrubAction, std::uint64_t, MonotonicTime) override {
    co_return OkStatus();
  }
  Task<Result<std::vector<DriveStatus>>> status(MonotonicTime) override {
    co_return std::vector<DriveStatus>();
  }

  std::uint64_t written_bytes = 0;

 private:
  Buffer bytes_;
};

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds_of = [](const timeval& t) {
    return double(t.tv_sec) + double(t.tv_usec) * 1e-6;
  };
  return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

struct Load {
  PackWriter* writer = nullptr;
  ExtentReader* reader = nullptr;
  Buffer piece;
  MonotonicTime until{};
  std::uint64_t done = 0;
};

Task<void> write_loop(Load* load) {
  while (system_clock().now() < load->until) {
    const Result<Extent> extent = co_await load->writer->write(load->piece, {});
    if (!extent.ok()) {
      std::fprintf(stderr, "pack_writer_bench: %s\n", extent.status().to_string().c_str());
      std::exit(1);
    }
    const Extent settled = *extent;
    load->writer->settled({&settled, 1});
    ++load->done;
  }
}

Task<void> read_loop(Load* load, Extent extent) {
  while (system_clock().now() < load->until) {
    const Result<Buffer> bytes = co_await load->reader->read(extent, 0, extent.length);
    if (!bytes.ok()) {
      std::fprintf(stderr, "pack_writer_bench: %s\n", bytes.status().to_string().c_str());
      std::exit(1);
    }
    ++load->done;
  }
}

Task<double> run_load(Load* load, int concurrency, Duration time, Extent extent) {
  load->until = system_clock().now() + time;
  load->done = 0;
  const double before = cpu_seconds();
  TaskScope scope;
  for (int i = 0; i < concurrency; ++i) {
    scope.spawn(load->reader == nullptr ? write_loop(load) : read_loop(load, extent));
  }
  co_await scope.join();
  co_return cpu_seconds() - before;
}

Task<Result<Extent>> write_one(PackWriter* writer, Buffer piece) {
  co_return co_await writer->write(std::move(piece), {});
}

void report(const char* what, std::size_t size, int concurrency, const Load& load, double cpu,
            double per_row) {
  const double each = cpu * 1e6 / double(load.done);
  std::printf("%-6s %8zu B x %3d: %8.3f us of CPU each, %9.1f us/MiB, %.1f pieces/row\n", what,
              size, concurrency, each, each * double(1 << 20) / double(size), per_row);
}

struct Shape {
  bool write = true;
  bool read = true;
  std::size_t size;
  int concurrency;
};

int run(double seconds_each, const std::vector<Shape>& shapes) {
  auto loop = EventLoop::create("bench");
  if (!loop.ok()) return 1;
  (*loop)->start();
  InstantStorage storage(Buffer::zeros(kMaxColumnBytes));
  test::FakeMetadataClient metadata(test::make_cluster_map(8, {{4, 2}}, 8));
  StorageRouter router(**loop, [&](const DriveInfo&) -> Result<StorageApi*> { return &storage; });
  SeededRandom random(1);
  auto writer = make_pack_writer({metadata, router, **loop, random});
  auto reader = make_extent_reader({metadata, router, **loop});
  const Duration time(static_cast<std::int64_t>(seconds_each * 1e9));
  for (const auto& [write, read, size, concurrency] : shapes) {
    Load load{writer.get(), nullptr, Buffer::zeros(size)};
    const auto before = writer->counters();
    if (write) {
      const double cpu = sync_wait(**loop, run_load(&load, concurrency, time, {}));
      const auto after = writer->counters();
      report("write", size, concurrency, load, cpu,
             double(after.pieces - before.pieces) / double(after.rows - before.rows));
    }
    if (!read) continue;
    const Result<Extent> extent = sync_wait(**loop, write_one(writer.get(), load.piece));
    if (!extent.ok()) return 1;
    load.reader = reader.get();
    const double cpu = sync_wait(**loop, run_load(&load, concurrency, time, *extent));
    report("read", size, concurrency, load, cpu, 1);
  }
  const Status closed = sync_wait(**loop, writer->close());
  reader.reset();
  writer.reset();
  (*loop)->stop();
  (*loop)->join();
  return closed.ok() ? 0 : 1;
}

}  // namespace
}  // namespace shoal::client

int main(int argc, char** argv) {
  using shoal::client::Shape;
  const double seconds_each = argc > 1 ? std::atof(argv[1]) : 1.0;
  std::vector<Shape> shapes = {{true, true, 4096, 1},    {true, true, 4096, 64},
                               {true, true, 4000, 64},   {true, true, 4096, 500},
                               {true, true, 100, 64},    {true, true, 65'536, 16},
                               {true, true, 1 << 20, 16}};
  if (argc == 5) {
    const bool write = std::string_view(argv[2]) == "write";
    shapes = {{write, !write, std::strtoull(argv[3], nullptr, 10), std::atoi(argv[4])}};
  }
  return shoal::client::run(seconds_each, shapes);
}
