// PackAudit: whether the drives hold all that the metadata refers to in one pack, row by row. The
// ledger that says when repair has ended. What a drive lists counts, unless the drive knows it to
// be damaged.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <bit>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "client/background/pack_survey.h"

namespace shoal::client {

// Fragments that the drives know they cannot serve.
class DamageMap {
 public:
  void add(DriveId drive, const FragmentKey& key) {
    damaged_[drive].insert(key);
    rows_[key.pack].insert(key.row);
  }
  bool contains(DriveId drive, const FragmentKey& key) const {
    const auto found = damaged_.find(drive);
    return found != damaged_.end() && found->second.contains(key);
  }
  // Rows of the pack with damaged fragments; null: none.
  const std::set<std::uint32_t>* rows(PackId pack) const {
    const auto found = rows_.find(pack);
    return found == rows_.end() ? nullptr : &found->second;
  }
  // It did not say what it knows to be damaged: nothing it lists can be relied on.
  void set_unknown(DriveId drive) { unknown_.insert(drive); }
  bool unknown(DriveId drive) const { return unknown_.contains(drive); }
  friend bool operator==(const DamageMap&, const DamageMap&) = default;

 private:
  absl::flat_hash_set<DriveId> unknown_;
  absl::flat_hash_map<DriveId, absl::flat_hash_set<FragmentKey>> damaged_;
  absl::flat_hash_map<PackId, std::set<std::uint32_t>> rows_;
};
// Asks every drive that answers.
Task<DamageMap> collect_damage(const SurveySource* source);

// When each drive in service was opened, as it says; those that do not answer are left out.
using DriveOpenings = std::map<DriveId, WallTimeNs>;
Task<DriveOpenings> collect_openings(const SurveySource* source);

struct AuditedRow {
  std::uint32_t row = 0;
  bool shape_known = false;  // else no drive that answered has anything of the row
  RowShape shape;
  std::uint32_t log_place = 0;  // as FragmentInfo's, of who told the shape
  std::uint32_t wanted = 0;     // bit c: the row has something in column c
  std::uint32_t present = 0;    // bit c: it is on the drive of the column
  std::uint32_t at_target = 0;  // bit c: it is where the column moves to
  // Whether these columns are enough, with those that are empty, to decode the others.
  bool readable(std::uint32_t columns) const {
    const int empty = shape.code.k - std::popcount(wanted & ((1U << shape.code.k) - 1));
    return std::popcount(wanted & columns) + empty >= shape.code.k;
  }
};

struct PackAudit {
  PackId pack;
  PlacementGroup group;
  std::vector<AuditedRow> rows;  // that anything refers to, ascending
  // Of the others those with fragments that are known to be damaged: somebody may refer to them
  // yet.
  std::vector<AuditedRow> damaged_rows;
  std::uint32_t silent = 0;      // bit c: the column's drive did not answer, or is not to be asked
  std::uint32_t absent = 0;      // bit c: of these, drives that are down or out by the map
  std::uint32_t silent_targets = 0;  // bit c: nor the one it moves to
  std::uint64_t records_read = 0;    // of fragments, for their rows' shapes
  // Rows that nothing refers to, and what they take on all drives.
  std::set<std::uint32_t> unreferenced_rows;
  std::uint64_t unreferenced_bytes = 0;
  // Whether a drive that should have answered did not.
  bool unexpected() const { return (silent & ~absent) != 0; }
  // Fragments of `row` that no drive has where they belong, of drives that answered.
  std::uint32_t missing(const AuditedRow& row) const { return row.wanted & ~row.present & ~silent; }
};
// `record` comes with its rows. With kIndexed all drives answer by their indexes; only when a row
// is not listed by all of them, one parity drive, which has a fragment of every row, says the
// shapes. When it leaves a row unknown, and with kRecord, all drives read their records. Errors:
// kNotFound when the map does not know the pack's group.
Task<Result<PackAudit>> audit_pack(const SurveySource* source, const DamageMap* damage,
                                   const proto::PackRecord* record, FragmentDetail detail);

// Of one moving column only: the shapes from one parity drive, and what is where the column moves
// to, by the index. Drives that are not asked are thought to have all that they should; all are
// asked, and read, when a row is left unknown. Errors: as audit_pack().
Task<Result<PackAudit>> audit_move(const SurveySource* source, const DamageMap* damage,
                                   const proto::PackRecord* record, ColumnMove move);
// Asks where the column moves to again: whether all that the audit wants there has arrived.
Task<bool> has_arrived(const SurveySource* source, const DamageMap* damage, PackAudit* audit,
                       ColumnMove move);

// The pack with its rows. Errors: metad's; kNotFound when there is no such pack any more.
Task<Result<proto::PackRecord>> fetch_pack(const SurveySource* source, PackId pack);
// Ids of packs above `after`, ascending, a page of them; empty at the end. Errors: metad's.
Task<Result<std::vector<proto::PackRecord>>> fetch_packs(const SurveySource* source, PackId after);

}  // namespace shoal::client
