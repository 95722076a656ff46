#include "client/background/pack_audit.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "base/async/sync.h"

namespace shoal::client {
namespace {

constexpr std::uint32_t kPage = 2048;
// Of so many rows one may be asked for by itself; if they are more, all are, in one list.
constexpr std::size_t kFewRows = 3;
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

void learn_shape(const FragmentInfo& fragment, const PlacementGroup& group, AuditedRow* row) {
  const RowShape& shape = *fragment.shape;
  if (row->shape_known || !(shape.code == group.code)) return;
  row->shape = shape;
  row->shape_known = true;
  row->log_place = fragment.log_place;
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
  std::uint32_t first_row = 0;
  std::uint32_t end_row = UINT32_MAX;
};

// What a drive said of it.
struct Listing {
  ColumnList list;
  bool answered = false;
  std::vector<FragmentInfo> fragments;  // by row and column
};

Task<void> ask(const SurveySource* source, const DamageMap* damage, PackId pack, Listing* listing) {
  const ColumnList& list = listing->list;
  const DriveInfo* info = source->map->drive(list.drive);
  if (info == nullptr || is_absent(*info) || damage->unknown(list.drive)) co_return;
  StorageApi* const storage = source->storage_of(*info);
  if (storage == nullptr) co_return;
  std::vector<FragmentInfo>& all = listing->fragments;
  std::uint32_t next = list.first_row;
  while (next < list.end_row) {
    const std::uint32_t limit = std::min(kPage, list.end_row - next);
    const auto page = co_await storage->list_fragments(list.drive, pack, next, limit, list.detail,
                                                       deadline_from_now());
    if (!page.ok()) co_return;
    // A page may end inside a row, whose rest comes with the next one, behind what is known.
    const auto fresh = std::find_if(page->begin(), page->end(), [&](const FragmentInfo& one) {
      return all.empty() || all.back().key < one.key;
    });
    all.insert(all.end(), fresh, page->end());
    if (page->size() < limit) break;
    const std::uint32_t last = page->back().key.row;
    next = last == next ? last + 1 : last;
  }
  listing->answered = true;
}

// Asks for all of them side by side.
Task<void> ask_all(const SurveySource* source, const DamageMap* damage, PackId pack,
                   std::vector<Listing>* listings) {
  TaskScope asking;
  for (Listing& listing : *listings) asking.spawn(ask(source, damage, pack, &listing));
  co_await asking.join();
}

void learn_shapes(const Listing& listing, PackAudit* audit) {
  for (const FragmentInfo& fragment : listing.fragments) {
    if (!fragment.shape) continue;
    ++audit->records_read;
    for (auto* rows : {&audit->rows, &audit->damaged_rows}) {
      AuditedRow* const row = find_row(rows, fragment.key.row);
      if (row != nullptr) learn_shape(fragment, audit->group, row);
    }
  }
}

// Whether the drive that was asked has this fragment of its column, as far as it knows.
bool holds(const Listing& listing, const DamageMap& damage, const FragmentInfo& fragment) {
  return fragment.key.column == listing.list.column &&
         !damage.contains(listing.list.drive, fragment.key);
}

// A row of which every column is listed needs no shape to be known whole: it has what the drives
// list. `listings` are of all columns in their places.
void know_complete_rows(std::span<const Listing> listings, const DamageMap& damage,
                        PackAudit* audit) {
  const CodeShape& code = audit->group.code;
  const auto width = static_cast<std::size_t>(code.width());
  std::vector<std::array<std::uint32_t, kMaxColumns>> heights(audit->rows.size());
  for (const Listing& listing : listings) {
    for (const FragmentInfo& fragment : listing.fragments) {
      const AuditedRow* row = find_row(&audit->rows, fragment.key.row);
      if (row == nullptr || !holds(listing, damage, fragment)) continue;
      heights[static_cast<std::size_t>(row - audit->rows.data())][listing.list.column] =
          fragment.stored_bytes;
    }
  }
  for (std::size_t i = 0; i < heights.size(); ++i) {
    const std::span<const std::uint32_t> listed(heights[i].data(), width);
    RowShape shape;
    shape.code = code;
    std::copy_n(listed.begin(), code.k, shape.heights.begin());
    const auto parity = listed.subspan(code.k);
    const bool complete = std::count(listed.begin(), listed.end(), 0U) == 0 &&
                          std::all_of(parity.begin(), parity.end(), [&](std::uint32_t height) {
                            return height == shape.parity_height();
                          });
    if (complete) learn_shape({.key = {}, .shape = shape}, audit->group, &audit->rows[i]);
  }
}

// Counts what is where it should be. Shapes are known by now.
void count_listed(const Listing& listing, const DamageMap& damage, PackAudit* audit) {
  const ColumnList& list = listing.list;
  for (const FragmentInfo& fragment : listing.fragments) {
    AuditedRow* row = find_row(&audit->rows, fragment.key.row);
    if (row == nullptr) {
      audit->unreferenced_rows.insert(fragment.key.row);
      audit->unreferenced_bytes += fragment.stored_bytes;
      row = find_row(&audit->damaged_rows, fragment.key.row);
      if (row == nullptr) continue;
    }
    if (holds(listing, damage, fragment) && fragment.stored_bytes == row->shape.height(list.column))
      row->*list.mask |= std::uint32_t{1} << list.column;
  }
}

Listing listing_of(const PlacementGroup& group, std::uint8_t column, FragmentDetail detail) {
  const ColumnList list{.drive = group.drives[column],
                        .column = column,
                        .detail = detail,
                        .mask = &AuditedRow::present};
  return {list, false, {}};
}

Listing listing_of(const ColumnMove& move, FragmentDetail detail) {
  const ColumnList list{
      .drive = move.to, .column = move.column, .detail = detail, .mask = &AuditedRow::at_target};
  return {list, false, {}};
}

void count(const SurveySource& source, const std::vector<Listing>& listings,
           const DamageMap& damage, PackAudit* audit) {
  for (const Listing& listing : listings) {
    const std::uint32_t bit = std::uint32_t{1} << listing.list.column;
    if (listing.answered) {
      count_listed(listing, damage, audit);
    } else if (listing.list.mask == &AuditedRow::at_target) {
      audit->silent_targets |= bit;
    } else {
      audit->silent |= bit;
      const DriveInfo* drive = source.map->drive(listing.list.drive);
      if (drive == nullptr || is_absent(*drive)) audit->absent |= bit;
    }
  }
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

// The shapes of the rows whose shape is not known yet, when they are few.
Task<void> ask_single_shapes(const SurveySource* source, const DamageMap* damage,
                             PackAudit* audit) {
  constexpr std::size_t kAtOnce = 64;
  const auto parity = parity_to_ask(*source, *damage, audit->group);
  if (!parity) co_return;
  std::vector<std::uint32_t> unknown;
  for (const auto* rows : {&audit->rows, &audit->damaged_rows}) {
    for (const AuditedRow& row : *rows)
      if (!row.shape_known) unknown.push_back(row.row);
  }
  if (unknown.size() > (audit->rows.size() + audit->damaged_rows.size()) / kFewRows) co_return;
  for (std::size_t at = 0; at < unknown.size(); at += kAtOnce) {
    std::vector<Listing> listings;
    for (std::size_t i = at; i < std::min(at + kAtOnce, unknown.size()); ++i) {
      Listing one = listing_of(audit->group, *parity, FragmentDetail::kShape);
      one.list.first_row = unknown[i];
      one.list.end_row = unknown[i] + 1;
      listings.push_back(std::move(one));
    }
    co_await ask_all(source, damage, audit->pack, &listings);
    for (const Listing& listing : listings) learn_shapes(listing, audit);
  }
}

// The shapes of all rows, as a parity drive says. What it listed; empty: there is none to ask.
Task<std::vector<Listing>> ask_shapes(const SurveySource* source, const DamageMap* damage,
                                      PackAudit* audit) {
  std::vector<Listing> listings;
  const auto parity = parity_to_ask(*source, *damage, audit->group);
  if (!parity) co_return listings;
  listings.push_back(listing_of(audit->group, *parity, FragmentDetail::kShape));
  co_await ask_all(source, damage, audit->pack, &listings);
  learn_shapes(listings.front(), audit);
  co_return listings;
}

Task<void> ask_target(const SurveySource* source, const DamageMap* damage, PackAudit* audit,
                      const ColumnMove* move) {
  std::vector<Listing> listings;
  listings.push_back(listing_of(*move, FragmentDetail::kIndexed));
  co_await ask_all(source, damage, audit->pack, &listings);
  count(*source, listings, *damage, audit);
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
  std::vector<Listing> listings;
  for (std::uint8_t c = 0; c < audit.group.drives.size(); ++c)
    listings.push_back(listing_of(audit.group, c, detail));
  for (const ColumnMove& move : audit.group.moves) listings.push_back(listing_of(move, detail));
  co_await ask_all(source, damage, audit.pack, &listings);
  if (detail != FragmentDetail::kIndexed) {
    for (const Listing& listing : listings) learn_shapes(listing, &audit);
  } else {
    know_complete_rows({listings.data(), audit.group.drives.size()}, *damage, &audit);
    co_await ask_single_shapes(source, damage, &audit);
    std::vector<Listing> shapes;
    if (!knows_all_shapes(audit)) shapes = co_await ask_shapes(source, damage, &audit);
    if (!knows_all_shapes(audit)) {
      auto full = co_await audit_pack(source, damage, record, FragmentDetail::kRecord);
      co_return full;
    }
  }
  count(*source, listings, *damage, &audit);
  co_return audit;
}

Task<Result<PackAudit>> audit_move(const SurveySource* source, const DamageMap* damage,
                                   const proto::PackRecord* record, ColumnMove move) {
  auto begun = begin_audit(*source, *record);
  if (!begun.ok()) co_return begun.status();
  PackAudit audit = std::move(*begun);
  const std::vector<Listing> shapes = co_await ask_shapes(source, damage, &audit);
  if (shapes.empty() || !knows_all_shapes(audit)) {
    auto full = co_await audit_pack(source, damage, record, FragmentDetail::kRecord);
    co_return full;
  }
  count(*source, shapes, *damage, &audit);
  co_await ask_target(source, damage, &audit, &move);
  presume_present(*source, *damage, std::uint32_t{1} << shapes.front().list.column, &audit);
  co_return audit;
}

Task<bool> has_arrived(const SurveySource* source, const DamageMap* damage, PackAudit* audit,
                       ColumnMove move) {
  const std::uint32_t bit = std::uint32_t{1} << move.column;
  for (AuditedRow& row : audit->rows) row.at_target &= ~bit;
  co_await ask_target(source, damage, audit, &move);
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
