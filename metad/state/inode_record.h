// An inode as bytes: what the index keeps in memory for a file, what a checkpoint and a dump hold
// for every inode. A file with one extent takes some 45 bytes. The document is
// docs/on-disk-format.md; kRecordFormatVersion (metad/state/state_machine.h) counts its versions.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "metad/state/inode.h"

namespace shoal::metad {

// Everything but the id and a directory's entries, appended to `out`. Equal inodes give equal
// bytes.
void write_inode(const Inode& inode, std::string* out);
// Fills `inode`, which has its id and is otherwise as a new one; a directory's parent goes to its
// Directory, which is made where it is null. Errors: kCorruption naming what is wrong.
Status read_inode(std::string_view record, Inode* inode);
// The type alone, of a record that was read before.
inline proto::FileType type_of_record(std::string_view record) {
  return static_cast<proto::FileType>(static_cast<unsigned char>(record[0]) & 7);
}

}  // namespace shoal::metad
