#include "client/background/pack_audit.h"

#include <algorithm>
#include <optional>

#include "base/async/sync.h"

namespace shoal::client {
namespace {

constexpr std::uint32_t kPage = 2048;
constexpr Duration kDeadline = std::chrono::seconds(30);
constexpr Duration kOpeningsDeadline = std::chrono::seconds(5);

MonotonicTime deadline_from_now() { return Executor::current()->now() + kDeadline; }

bool is_absent(const DriveInfo& drive) {
  return drive.state == DriveState::kDown || drive.state == DriveState::kOut;
}

AuditedRow* find_row(std::vector<AuditedRow>* rows, std::uint32_t row) {
  const auto found = std::lower_bound(
      rows->begin(), rows->end(), row,
      [](const AuditedRow& candidate, std::uint32_t number) { return candidate.row < number; });
  return found != rows->end() && found->row == row ? &*found : nullptr;
}

void learn_shape(const RowShape& shape, const PlacementGroup& group, AuditedRow* row) {
  if (row->shape_known || !(shape.code == group.code)) return;
  row->shape = shape;
  row->shape_known = true;
  for (int c = 0; c < shape.code.width(); ++c)
    if (shape.height(c) > 0) row->wanted |= std::uint32_t{1} << c;
}

bool knows_all_shapes(const PackAudit& audit) {
  const auto known = [](const AuditedRow& row) { return row.shape_known; };
  return std::all_of(audit.rows.begin(), audit.rows.end(), known) &&
         std::all_of(audit.damaged_rows.begin(), audit.damaged_rows.end(), known);
}

// Asking one drive for what it has of one column.
struct ColumnList {
  DriveId drive;
  std::uint8_t column = 0;
  FragmentDetail detail = FragmentDetail::kShape;
  std::uint32_t AuditedRow::*mask = nullptr;  // gets what is there
};

// False: no answer.
Task<bool> list_column(const SurveySource* source, const DamageMap* damage, PackAudit* audit,
                       ColumnList list) {
  const DriveInfo* info = source->map->drive(list.drive);
  if (info == nullptr || is_absent(*info) || damage->unknown(list.drive)) co_return false;
  StorageApi* const storage = source->storage_of(*info);
  if (storage == nullptr) co_return false;
  std::uint32_t next = 0;
  while (true) {
    const auto page = co_await storage->list_fragments(list.drive, audit->pack, next, kPage,
                                                       list.detail, deadline_from_now());
    if (!page.ok()) co_return false;
    for (const FragmentInfo& fragment : *page) {
      if (fragment.shape) ++audit->records_read;
      AuditedRow* row = find_row(&audit->rows, fragment.key.row);
      if (row == nullptr) {
        audit->unreferenced_rows.insert(fragment.key.row);
        audit->unreferenced_bytes += fragment.stored_bytes;
        row = find_row(&audit->damaged_rows, fragment.key.row);
        if (row == nullptr) continue;
      }
      if (fragment.shape) learn_shape(*fragment.shape, audit->group, row);
      const RowShape& shape = fragment.shape ? *fragment.shape : row->shape;
      const bool counts = fragment.key.column == list.column &&
                          !damage->contains(list.drive, fragment.key) &&
                          fragment.stored_bytes == shape.height(list.column);
      if (counts) row->*list.mask |= std::uint32_t{1} << list.column;
    }
    // Whole rows only: a page may end inside one, whose rest comes again with the next.
    if (page->size() < kPage) co_return true;
    const std::uint32_t last = page->back().key.row;
    next = last == next ? last + 1 : last;
  }
}

Task<void> list_present(const SurveySource* source, const DamageMap* damage, PackAudit* audit,
                        std::uint8_t column, FragmentDetail detail) {
  const DriveId id = audit->group.drives[column];
  const ColumnList list{id, column, detail, &AuditedRow::present};
  const bool answered = co_await list_column(source, damage, audit, list);
  if (answered) co_return;
  audit->silent |= std::uint32_t{1} << column;
  const DriveInfo* drive = source->map->drive(id);
  if (drive == nullptr || is_absent(*drive)) audit->absent |= std::uint32_t{1} << column;
}

Task<void> list_target(const SurveySource* source, const DamageMap* damage, PackAudit* audit,
                       const ColumnMove* move, FragmentDetail detail) {
  const ColumnList list{move->to, move->column, detail, &AuditedRow::at_target};
  const bool answered = co_await list_column(source, damage, audit, list);
  if (!answered) audit->silent_targets |= std::uint32_t{1} << move->column;
}

}  // namespace

Task<DamageMap> collect_damage(const SurveySource* source) {
  DamageMap damage;
  for (const DriveInfo& drive : source->map->drives) {
    if (is_absent(drive)) continue;
    StorageApi* const storage = source->storage_of(drive);
    FragmentKey after;
    Result<std::vector<DamagedFragment>> page = UnavailableError("nobody serves it");
    while (storage != nullptr) {
      page = co_await storage->damaged_fragments(drive.id, after, kPage, deadline_from_now());
      if (!page.ok() || page->empty()) break;
      for (const DamagedFragment& fragment : *page) damage.add(drive.id, fragment.key);
      after = page->back().key;
    }
    if (!page.ok()) damage.set_unknown(drive.id);
  }
  co_return damage;
}

namespace {

Task<void> ask_openings(StorageApi* storage, DriveOpenings* openings) {
  const auto drives = co_await storage->status(Executor::current()->now() + kOpeningsDeadline);
  if (!drives.ok()) co_return;
  for (const DriveStatus& drive : *drives) (*openings)[drive.drive] = drive.opened_ns;
}

}  // namespace

Task<DriveOpenings> collect_openings(const SurveySource* source) {
  DriveOpenings said;
  std::set<StorageApi*> daemons;
  TaskScope asking;
  for (const DriveInfo& drive : source->map->drives) {
    if (is_absent(drive)) continue;
    StorageApi* const storage = source->storage_of(drive);
    if (storage != nullptr && daemons.insert(storage).second)
      asking.spawn(ask_openings(storage, &said));
  }
  co_await asking.join();
  // A daemon may serve drives that are out, or of which the map does not know yet.
  std::erase_if(said, [&](const auto& opening) {
    const DriveInfo* drive = source->map->drive(opening.first);
    return drive == nullptr || is_absent(*drive);
  });
  co_return said;
}

namespace {

Result<PackAudit> begin_audit(const SurveySource& source, const proto::PackRecord& record) {
  PackAudit audit;
  audit.pack = PackId(record.pack());
  const PlacementGroup* group = source.map->group(pg_of_pack(audit.pack));
  if (group == nullptr)
    return NotFoundError("placement group " + pg_of_pack(audit.pack).to_string() +
                         " is not in the cluster map");
  audit.group = *group;
  for (int i = 0; i < record.row_live_bytes_size(); ++i) {
    if (record.row_live_bytes(i) == 0) continue;
    AuditedRow row;
    row.row = static_cast<std::uint32_t>(i);
    audit.rows.push_back(row);
  }
  return audit;
}

// What is not asked is thought to be as it should, unless the drive is known not to serve it.
void presume_present(const SurveySource& source, const DamageMap& damage, std::uint32_t asked,
                     PackAudit* audit) {
  for (std::uint8_t c = 0; c < audit->group.drives.size(); ++c) {
    const std::uint32_t bit = std::uint32_t{1} << c;
    if ((asked & bit) != 0) continue;
    const DriveId id = audit->group.drives[c];
    const DriveInfo* drive = source.map->drive(id);
    const bool absent = drive == nullptr || is_absent(*drive);
    if (absent || damage.unknown(id)) audit->silent |= bit;
    if (absent) audit->absent |= bit;
    if ((audit->silent & bit) != 0) continue;
    for (AuditedRow& row : audit->rows) {
      if ((row.wanted & bit) != 0 && !damage.contains(id, {audit->pack, row.row, c}))
        row.present |= bit;
    }
  }
}

// A parity column whose drive is in service.
std::optional<std::uint8_t> parity_to_ask(const SurveySource& source, const DamageMap& damage,
                                          const PlacementGroup& group) {
  for (int c = group.code.k; c < group.code.width(); ++c) {
    const DriveInfo* drive = source.map->drive(group.drives[static_cast<std::size_t>(c)]);
    if (drive != nullptr && !is_absent(*drive) && !damage.unknown(drive->id))
      return static_cast<std::uint8_t>(c);
  }
  return std::nullopt;
}

}  // namespace

Task<Result<PackAudit>> audit_pack(const SurveySource* source, const DamageMap* damage,
                                   const proto::PackRecord* record, FragmentDetail detail) {
  auto begun = begin_audit(*source, *record);
  if (!begun.ok()) co_return begun.status();
  PackAudit audit = std::move(*begun);
  if (const std::set<std::uint32_t>* damaged = damage->rows(audit.pack)) {
    for (const std::uint32_t number : *damaged) {
      if (find_row(&audit.rows, number) != nullptr) continue;
      AuditedRow row;
      row.row = number;
      audit.damaged_rows.push_back(row);
    }
  }
  std::optional<std::uint8_t> parity;
  if (detail == FragmentDetail::kIndexed) {
    parity = parity_to_ask(*source, *damage, audit.group);
    if (parity) co_await list_present(source, damage, &audit, *parity, FragmentDetail::kShape);
    if (!parity || !knows_all_shapes(audit)) {
      auto full = co_await audit_pack(source, damage, record, FragmentDetail::kShape);
      co_return full;
    }
  }
  // The others side by side.
  TaskScope lists;
  for (std::uint8_t c = 0; c < audit.group.drives.size(); ++c)
    if (c != parity) lists.spawn(list_present(source, damage, &audit, c, detail));
  for (const ColumnMove& move : audit.group.moves)
    lists.spawn(list_target(source, damage, &audit, &move, detail));
  co_await lists.join();
  co_return audit;
}

Task<Result<PackAudit>> audit_move(const SurveySource* source, const DamageMap* damage,
                                   const proto::PackRecord* record, ColumnMove move) {
  auto begun = begin_audit(*source, *record);
  if (!begun.ok()) co_return begun.status();
  PackAudit audit = std::move(*begun);
  const auto parity = parity_to_ask(*source, *damage, audit.group);
  if (parity) co_await list_present(source, damage, &audit, *parity, FragmentDetail::kShape);
  if (!parity || !knows_all_shapes(audit)) {
    auto full = co_await audit_pack(source, damage, record, FragmentDetail::kShape);
    co_return full;
  }
  co_await list_target(source, damage, &audit, &move, FragmentDetail::kIndexed);
  presume_present(*source, *damage, std::uint32_t{1} << *parity, &audit);
  co_return audit;
}

Task<bool> has_arrived(const SurveySource* source, const DamageMap* damage, PackAudit* audit,
                       ColumnMove move) {
  const std::uint32_t bit = std::uint32_t{1} << move.column;
  for (AuditedRow& row : audit->rows) row.at_target &= ~bit;
  co_await list_target(source, damage, audit, &move, FragmentDetail::kIndexed);
  co_return std::all_of(audit->rows.begin(), audit->rows.end(), [bit](const AuditedRow& row) {
    return (row.wanted & ~row.at_target & bit) == 0;
  });
}

Task<Result<proto::PackRecord>> fetch_pack(const SurveySource* source, PackId pack) {
  proto::Query query;
  query.mutable_list_packs()->set_after(pack.value() - 1);
  query.mutable_list_packs()->set_limit(1);
  query.mutable_list_packs()->set_with_rows(true);
  auto reply = co_await source->query(std::move(query));
  if (!reply.ok()) co_return reply.status();
  const proto::ListPacksReply& packs = reply->list_packs();
  if (packs.packs_size() == 0 || packs.packs(0).pack() != pack.value())
    co_return NotFoundError("pack " + pack.to_string() + " is gone");
  co_return packs.packs(0);
}

Task<Result<std::vector<proto::PackRecord>>> fetch_packs(const SurveySource* source, PackId after) {
  constexpr std::uint32_t kPacks = 1000;
  proto::Query query;
  query.mutable_list_packs()->set_after(after.value());
  query.mutable_list_packs()->set_limit(kPacks);
  auto reply = co_await source->query(std::move(query));
  if (!reply.ok()) co_return reply.status();
  const auto& packs = reply->list_packs().packs();
  co_return std::vector<proto::PackRecord>(packs.begin(), packs.end());
}

}  // namespace shoal::client
