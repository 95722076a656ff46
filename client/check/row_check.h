// RowCheck: reads all columns of one row that its drives have, and says which of them do not hold
// what they should: by the CRCs of the extents in it, and by encoding its parity again.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/extent.h"
#include "client/background/pack_audit.h"

namespace shoal::client {

using RowExtents = std::map<std::uint32_t, std::vector<Extent>>;  // of one pack, by row

struct RowCheck {
  std::uint32_t wrong = 0;  // bit c: the column cannot be read, or its content is not the row's
  std::vector<std::string> troubles;  // of these columns, and of lost extents, for people
  std::uint64_t lost_extents = 0;     // no column gives their bytes
  std::uint64_t bytes_read = 0;
};
// `extents` are all that refer to the row.
Task<RowCheck> check_row(const SurveySource* source, const PackAudit* audit, const AuditedRow* row,
                         const std::vector<Extent>* extents);

}  // namespace shoal::client
