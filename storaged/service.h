// StorageServer: the drives of one process behind StorageApi. Belongs to one executor. A drive that
// cannot be opened, or whose directory is taken away, does not keep the others from serving: calls
// for it say why, and it is opened again when it is back.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/async/sync.h"
#include "base/io/uring_device.h"
#include "proto/storage_api.h"
#include "storaged/background_pace.h"
#include "storaged/call_gate.h"
#include "storaged/store/drive.h"

namespace shoal::storaged {

struct DriveConfig {
  std::string path;
  DriveOptions options;
};

class StorageServer final : public StorageApi {
 public:
  // Opens the directory or device that a drive lies on. With options.format_if_empty it may be
  // made.
  using OpenDirectory =
      std::function<Task<Result<std::unique_ptr<BlockDirectory>>>(const DriveConfig& config)>;

  // Opens every drive; on `executor`, which will serve.
  static Task<std::unique_ptr<StorageServer>> open(Executor& executor, OpenDirectory open_directory,
                                                   std::vector<DriveConfig> drives);
  // The same with directories and block devices of this machine, on io's loop.
  static Task<std::unique_ptr<StorageServer>> open(IoContext& io, std::vector<DriveConfig> drives);
  Task<void> close();
  // Opens one more drive, and serves it. Errors: kAlreadyExists for a drive that is served; what
  // keeps it from being opened.
  Task<Status> add_drive(DriveConfig config);
  // What keeps a drive from serving, of the first such drive.
  Status trouble() const;

  Task<Status> write_fragment(WriteFragmentRequest request, MonotonicTime deadline) override;
  Task<Result<Buffer>> read_fragment(ReadFragmentRequest request, MonotonicTime deadline) override;
  Task<Result<RowShape>> row_shape(DriveId drive, PackId pack, std::uint32_t row,
                                   MonotonicTime deadline) override;
  Task<Result<std::vector<RowObject>>> row_directory(DriveId drive, FragmentKey key,
                                                     MonotonicTime deadline) override;
  Task<Status> seal_pack(DriveId drive, PackId pack, std::uint64_t epoch,
                         MonotonicTime deadline) override;
  Task<Status> delete_pack(DriveId drive, PackId pack, MonotonicTime deadline) override;
  Task<Status> evict_pack(DriveId drive, PackId pack, MonotonicTime deadline) override;
  Task<Status> delete_rows(DriveId drive, PackId pack, std::vector<std::uint32_t> rows,
                           MonotonicTime deadline) override;
  Task<Result<std::vector<PackInfo>>> list_packs(DriveId drive, PackId after, std::uint32_t limit,
                                                 MonotonicTime deadline) override;
  Task<Result<std::vector<FragmentInfo>>> list_fragments(DriveId drive, PackId pack,
                                                         std::uint32_t first_row,
                                                         std::uint32_t limit, FragmentDetail detail,
                                                         MonotonicTime deadline) override;
  Task<Result<std::vector<DamagedFragment>>> damaged_fragments(DriveId drive, FragmentKey after,
                                                               std::uint32_t limit,
                                                               MonotonicTime deadline) override;
  Task<Status> scrub(DriveId drive, ScrubAction action, std::uint64_t bytes_per_second,
                     MonotonicTime deadline) override;
  Task<Result<std::vector<DriveStatus>>> status(MonotonicTime deadline) override;

 private:
  // A call under way holds its drive, so that it can be closed beside it.
  using DrivePtr = std::shared_ptr<Drive>;
  struct Entry {
    DriveConfig config;
    DrivePtr drive;
    Status trouble;
    CallGate calls;
    bool checking = false;  // it is looked whether the drive is there
  };
  StorageServer(Executor& executor, OpenDirectory open_directory)
      : executor_(executor), open_directory_(std::move(open_directory)) {}
  static Task<Result<std::unique_ptr<Drive>>> open_drive(const OpenDirectory* open_directory,
                                                         DriveConfig config);
  Result<Entry*> find(DriveId id) const;
  // Runs `call(drive)`, a coroutine function, on an open drive until the deadline. Errors:
  // kNotFound (not served here), kIoError (not open), those of CallGate::run and of the call.
  template <typename Call>
  auto on_drive(DriveId id, MonotonicTime deadline, Call call)
      -> std::invoke_result_t<Call&, Drive&>;
  template <typename Call>
  static auto run_call(DrivePtr drive, Call call) -> std::invoke_result_t<Call&, Drive&>;
  Task<void> watch_drives();
  Task<void> check(Entry* entry);
  static void set_trouble(Entry* entry, Status trouble);

  Executor& executor_;
  const OpenDirectory open_directory_;
  std::map<DriveId, std::unique_ptr<Entry>> drives_;  // never changes once open
  BackgroundPace pace_{executor_};
  bool closing_ = false;
  TimerId watch_timer_;
  Signal wake_;
  TaskScope background_;
};

}  // namespace shoal::storaged
