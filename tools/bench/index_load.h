// IndexLoad: fills the metadata's index with many small files or objects, below every door and the
// journal, and measures what it costs: memory, checkpoints, start-up.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "base/async/task.h"
#include "base/result.h"
#include "metad/service/metadata_server.h"

namespace shoal::tools {

struct IndexLoadOptions {
  std::string data;  // a directory of its own, empty
  std::uint64_t files = 1'000'000;
  std::uint64_t tail_files = 50'000;  // made afterwards, in the journal only
  bool objects = false;               // S3 objects with an MD5 and a content type, instead of files
};

// Figures by name, in the order of their making.
using IndexFigures = std::vector<std::pair<std::string, double>>;

// The steps, each for a process of its own. Names of 20 bytes, one extent of 4 KiB, directories of
// a thousand; a checkpoint after as many commands as 64 MiB of journal hold, in the slices of the
// service.
Result<IndexFigures> fill_index(const IndexLoadOptions& options);
// Opens the metadata, makes the files of the tail and ends without a checkpoint: the process is
// over.
Result<IndexFigures> add_tail(const IndexLoadOptions& options);
// Opens it again and measures.
Result<IndexFigures> start_index(const IndexLoadOptions& options);

}  // namespace shoal::tools
