// StorageServer: the drives of one process behind StorageApi. Belongs to one executor. A drive that
// cannot be opened does not keep the others from serving: calls for it say why.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <memory>
#include <string>
#include <vector>

#include "base/io/uring_device.h"
#include "proto/storage_api.h"
#include "storaged/store/drive.h"

namespace shoal::storaged {

struct DriveConfig {
  std::string path;
  DriveOptions options;
};

class StorageServer final : public StorageApi {
 public:
  // Opens every drive; on the executor that will serve.
  static Task<std::unique_ptr<StorageServer>> open(IoContext& io, std::vector<DriveConfig> drives);
  Task<void> close();

  Task<Status> write_fragment(WriteFragmentRequest request, MonotonicTime deadline) override;
  Task<Result<Buffer>> read_fragment(ReadFragmentRequest request, MonotonicTime deadline) override;
  Task<Result<RowShape>> row_shape(DriveId drive, PackId pack, std::uint32_t row,
                                   MonotonicTime deadline) override;
  Task<Status> seal_pack(DriveId drive, PackId pack, std::uint64_t epoch,
                         MonotonicTime deadline) override;
  Task<Status> delete_pack(DriveId drive, PackId pack, MonotonicTime deadline) override;
  Task<Status> delete_rows(DriveId drive, PackId pack, std::vector<std::uint32_t> rows,
                           MonotonicTime deadline) override;
  Task<Result<std::vector<PackInfo>>> list_packs(DriveId drive, PackId after, std::uint32_t limit,
                                                 MonotonicTime deadline) override;
  Task<Result<std::vector<FragmentInfo>>> list_fragments(DriveId drive, PackId pack,
                                                         std::uint32_t first_row,
                                                         std::uint32_t limit,
                                                         MonotonicTime deadline) override;
  Task<Result<std::vector<DriveStatus>>> status(MonotonicTime deadline) override;

 private:
  struct Entry {
    DriveConfig config;
    std::unique_ptr<Drive> drive;
    Status trouble;
  };
  StorageServer() = default;
  Result<Drive*> find(DriveId id) const;
  absl::flat_hash_map<DriveId, Entry> drives_;
};

}  // namespace shoal::storaged
