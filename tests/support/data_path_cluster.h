// DataPathCluster: a pack writer and an extent reader over fake drives and a fake metad, in virtual
// time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/async/manual_executor.h"
#include "base/random.h"
#include "client/extent_reader.h"
#include "client/pack_writer.h"
#include "client/storage_router.h"
#include "tests/support/fake_metadata_client.h"
#include "tests/support/fake_storage.h"

namespace shoal::test {

inline Buffer random_bytes(Random& random, std::size_t size) {
  Buffer bytes = Buffer::allocate(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes.mutable_data()[i] = static_cast<std::byte>(random.next() >> 56);
  }
  return bytes;
}

class DataPathCluster {
 public:
  explicit DataPathCluster(ClusterMap map, client::PackWriterLimits write_limits = {},
                           client::ExtentReaderLimits read_limits = {})
      : metadata(std::move(map)),
        router(executor, [this](const DriveInfo&) -> Result<StorageApi*> { return &storage; }),
        writer(client::make_pack_writer({metadata, router, executor, random, write_limits})),
        reader(client::make_extent_reader({metadata, router, executor, read_limits})) {
    storage.add_drives(static_cast<std::uint32_t>(metadata.cluster_map()->drives.size()));
  }
  // Losers and hung calls of fakes end at their deadlines.
  ~DataPathCluster() {
    if (!closed_) (void)close();
    reader.reset();
    writer.reset();
    executor.run_until_idle();
  }

  Status close() {
    closed_ = true;
    return executor.run(writer->close());
  }

  Result<Extent> write(Buffer piece) { return executor.run(writer->write(std::move(piece), {})); }

  // All pieces are written side by side; the results come in their order.
  std::vector<Result<Extent>> write_all(std::vector<Buffer> pieces) {
    std::vector<Task<Result<Extent>>> tasks;
    for (Buffer& piece : pieces) tasks.push_back(writer->write(std::move(piece), {}));
    return executor.run(when_all(std::move(tasks)));
  }

  Result<Buffer> read(const Extent& extent, std::uint32_t offset, std::uint32_t length) {
    return executor.run(reader->read(extent, offset, length));
  }
  Result<Buffer> read(const Extent& extent) { return read(extent, 0, extent.length); }

  DriveId drive_of(const Extent& extent) const {
    return metadata.cluster_map()->group(pg_of_pack(extent.pack))->drives[extent.column];
  }

  VirtualClock clock;
  ManualExecutor executor{clock};
  SeededRandom random{42};
  FakeStorage storage;
  FakeMetadataClient metadata;
  client::StorageRouter router;
  std::unique_ptr<client::PackWriter> writer;
  std::unique_ptr<client::ExtentReader> reader;

 private:
  bool closed_ = false;
};

}  // namespace shoal::test
