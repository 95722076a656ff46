// FragmentRestorer: makes one fragment again: copies it from the drive that it leaves, or decodes
// it from the row's other columns, and writes it where it belongs. Belongs to one executor.
#pragma once

#include <cstdint>

#include "base/buffer.h"
#include "base/result.h"
#include "client/storage_router.h"

namespace shoal::client {

struct RestoreJob {
  PlacementGroup group;
  FragmentKey key;
  RowShape shape;
  std::uint32_t present = 0;  // bit c: the drive of column c is thought to have it
  DriveId to;                 // the drive that is to hold it
  std::uint32_t log_place = 0;  // as AuditedRow's: in which order many are done best
};

class FragmentRestorer {
 public:
  FragmentRestorer(StorageRouter& router, Executor& executor)
      : router_(router), executor_(executor) {}

  // *Durable:* the fragment on job.to, once OK. Returns its bytes. A parity fragment gets the row's
  // directory from another parity column; when there is none left, it has an empty one. Errors:
  // kUnavailable naming what is missing when fewer than k columns can be read, kFenced when its row
  // or pack was deleted meanwhile, and what the drive says to the write.
  Task<Result<std::uint64_t>> restore(RestoreJob job);

 private:
  struct Column {
    std::uint8_t column = 0;
    std::uint32_t length = 0;
    Result<Buffer> bytes = UnavailableError("not read");
  };
  std::uint64_t turn(const RestoreJob* job, std::uint8_t column) const;
  Task<Result<Buffer>> read_column(const RestoreJob* job, std::uint8_t column,
                                   std::uint32_t length);
  Task<void> read_into(const RestoreJob* job, Column* column);
  Task<Result<Buffer>> decode(const RestoreJob* job);
  Task<Status> gather(const RestoreJob* job, std::vector<Column>* columns, std::size_t needed);
  Task<std::vector<RowObject>> directory(const RestoreJob* job);

  StorageRouter& router_;
  Executor& executor_;
};

}  // namespace shoal::client
