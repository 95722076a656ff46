// PackSurvey: what the packs of a pool hold, as metad knows it (live bytes), and what they take, as
// the drives say it (raw bytes). One figure follows for each pack: raw bytes for a byte that lives.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/async/task.h"
#include "base/cluster_map.h"
#include "base/result.h"
#include "proto/metadata.pb.h"
#include "proto/storage_api.h"

namespace shoal::client {

// Who is asked. All of it outlives the survey.
struct SurveySource {
  const ClusterMap* map = nullptr;
  // What the reply says comes back as the status.
  std::function<Task<Result<proto::QueryReply>>(proto::Query)> query;
  std::function<StorageApi*(const DriveInfo&)> storage_of;  // null: nobody serves the drive
};

struct SurveyedPack {
  PackId id;
  CodeShape code;
  bool closed = false;
  std::uint64_t live_bytes = 0;
  // On all drives that answered: payload of fragments and their share of summaries.
  std::uint64_t raw_bytes = 0;

  // Raw bytes over what the live bytes take in full rows, in thousandths; of dead packs the most.
  std::uint64_t waste_permille() const;
};

struct PoolSurvey {
  std::vector<SurveyedPack> packs;  // ascending by id
  std::uint64_t raw_bytes = 0;      // of all packs
  std::vector<DriveStatus> drives;  // ascending by id; those of daemons that answered
  std::size_t silent_drives = 0;    // that did not answer: their raw bytes are missing

  // Free space for clients on the fullest drive, of its capacity.
  std::uint64_t least_free_permille() const;
};

// Errors: metad's.
Task<Result<PoolSurvey>> survey_pool(const SurveySource* source);

}  // namespace shoal::client
