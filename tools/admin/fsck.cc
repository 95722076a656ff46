// shoal fsck: the metadata against itself and against the drives, in both directions.
#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include "base/program.h"
#include "client/check/pool_check.h"
#include "proto/wire/convert.h"
#include "tools/admin/commands.h"
#include "tools/json.h"

namespace shoal::tools {
namespace {

constexpr std::chrono::hours kMetadataDeadline{2};  // a billion files
constexpr std::uint32_t kNamesPerPage = 1000;
constexpr std::uint64_t kRootDirectory = 1;

struct FsckOptions {
  bool read = false;
  bool repair = false;
  bool json = false;
  std::uint64_t max_problems = 1000;
};

// What has been found, said as it comes or kept for the JSON object.
class Problems {
 public:
  Problems(const FsckOptions& options, AdminOutput* output) : options_(options), output_(output) {}
  void add(const std::string& text) {
    if (++count_ > options_.max_problems) return;
    if (options_.json)
      kept_.push_back(text);
    else
      output_->out("problem  " + text + "\n");
  }
  std::uint64_t count() const { return count_; }
  std::uint64_t untold() const { return count_ - std::min(count_, options_.max_problems); }
  const std::vector<std::string>& kept() const { return kept_; }

 private:
  const FsckOptions& options_;
  AdminOutput* const output_;
  std::uint64_t count_ = 0;
  std::vector<std::string> kept_;
};

Task<Result<proto::CheckMetadataReply>> check_metadata(AdminCluster* cluster) {
  proto::Query query;
  query.mutable_check_metadata();
  auto reply = co_await cluster->metadata.query(std::move(query),
                                                cluster->executor.now() + kMetadataDeadline);
  if (!reply.ok()) co_return reply.status();
  CO_RETURN_IF_ERROR(wire::status_from_proto(reply->status()));
  co_return std::move(*reply->mutable_check());
}

// Files and uploads with bytes in rows that cannot be had.
struct Hurt {
  absl::flat_hash_set<std::uint64_t> inodes;
  std::set<std::string> uploads;
};

Task<Result<Hurt>> find_hurt(AdminCluster* cluster, const client::CheckReport* report) {
  Hurt hurt;
  std::string cursor;
  do {
    proto::Query query;
    for (const auto& [pack, rows] : report->hurt_rows)
      query.mutable_list_references()->add_packs(pack.value());
    query.mutable_list_references()->set_cursor(cursor);
    const auto reply = co_await admin_query(cluster, std::move(query));
    if (!reply.ok()) co_return reply.status();
    for (const proto::Reference& reference : reply->list_references().references()) {
      for (const proto::ExtentProto& extent : reference.extents()) {
        const auto rows = report->hurt_rows.find(PackId(extent.pack()));
        if (rows == report->hurt_rows.end() || !rows->second.contains(extent.row())) continue;
        if (reference.inode() != 0)
          hurt.inodes.insert(reference.inode());
        else
          hurt.uploads.insert(reference.upload());
      }
    }
    cursor = reply->list_references().next();
  } while (!cursor.empty());
  co_return hurt;
}

// Walks all directories: names lead to files, and not back.
Task<Status> name_hurt(AdminCluster* cluster, Hurt hurt, Problems* problems) {
  for (const std::string& upload : hurt.uploads) problems->add("hurt upload " + upload);
  std::vector<std::pair<std::uint64_t, std::string>> directories{{kRootDirectory, ""}};
  absl::flat_hash_set<std::uint64_t> named;
  while (!directories.empty() && !hurt.inodes.empty()) {
    const auto [directory, path] = directories.back();
    directories.pop_back();
    std::string marker;
    for (bool more = true; more;) {
      proto::Query query;
      query.mutable_read_directory()->set_inode(directory);
      query.mutable_read_directory()->set_marker(marker);
      query.mutable_read_directory()->set_limit(kNamesPerPage);
      const auto reply = co_await admin_query(cluster, std::move(query));
      if (reply.status().code() == StatusCode::kNotFound ||
          reply.status().code() == StatusCode::kStaleHandle)
        break;  // removed meanwhile
      if (!reply.ok()) co_return reply.status();
      more = reply->directory().more() && reply->directory().entries_size() > 0;
      for (const proto::DirectoryEntry& entry : reply->directory().entries()) {
        marker = entry.cookie();
        const std::string name = path + "/" + entry.name();
        const std::uint64_t inode = entry.attributes().inode();
        if (entry.attributes().type() == proto::DIRECTORY) directories.emplace_back(inode, name);
        if (!hurt.inodes.contains(inode)) continue;
        named.insert(inode);
        problems->add("hurt file " + name);
      }
    }
  }
  for (const std::uint64_t inode : hurt.inodes) {
    if (!named.contains(inode))
      problems->add("hurt file without a name, inode " + std::to_string(inode));
  }
  co_return OkStatus();
}

void say_json(const proto::CheckMetadataReply& metadata, const client::CheckReport& report,
              const Problems& problems, bool clean, AdminOutput* output) {
  JsonWriter json;
  json.begin_object();
  json.field("clean", clean);
  json.field("metadata_records", std::uint64_t{metadata.records()});
  json.field("metadata_damage", metadata.damage());
  json.field("packs", report.packs);
  json.field("open_packs", report.open_packs);
  json.field("rows", report.rows);
  json.field("degraded_rows", report.degraded_rows);
  json.field("unreadable_rows", report.unreadable_rows);
  json.field("lost_rows", report.lost_rows);
  json.field("lost_extents", report.lost_extents);
  json.field("missing_fragments", report.missing_fragments);
  json.field("wrong_fragments", report.wrong_fragments);
  json.field("restored_fragments", report.restored_fragments);
  json.field("unreferenced_rows", report.unreferenced_rows);
  json.field("unreferenced_bytes", report.unreferenced_bytes);
  json.field("dropped_rows", report.dropped_rows);
  json.field("stray_packs", report.stray_packs);
  json.field("unwell_drives", report.unwell_drives);
  json.field("absent_drives", report.absent_drives);
  json.field("extents_read", report.extents_read);
  json.field("bytes_read", report.bytes_read);
  json.field("problem_count", problems.count());
  json.begin_array("problems");
  for (const std::string& problem : problems.kept()) json.value(problem);
  json.end_array();
  json.end_object();
  output->out(json.text() + "\n");
}

std::string count_text(std::uint64_t count, const std::string& what) {
  return count == 0 ? "" : ", " + std::to_string(count) + " " + what;
}

void say_text(const proto::CheckMetadataReply& metadata, const client::CheckReport& report,
              const Problems& problems, const FsckOptions& options, bool clean,
              AdminOutput* output) {
  std::string text;
  if (problems.untold() > 0)
    text += "problem  and " + std::to_string(problems.untold()) + " more\n";
  text += "metadata " + std::to_string(metadata.records()) + " records" +
          (metadata.damage().empty() ? ", which fit together\n" : ", damaged\n");
  text += "packs    " + std::to_string(report.packs) + count_text(report.open_packs, "open") +
          count_text(report.stray_packs, "where they do not belong") + "\n";
  text += "rows     " + std::to_string(report.rows) + count_text(report.degraded_rows, "degraded") +
          count_text(report.unreadable_rows, "unreadable now") +
          count_text(report.lost_rows, "lost") +
          count_text(report.missing_fragments, "fragments missing or damaged") +
          count_text(report.wrong_fragments, "fragments with wrong content") +
          count_text(report.restored_fragments, "fragments restored") + "\n";
  if (options.read)
    text += "read     " + std::to_string(report.extents_read) + " extents, " +
            format_size(report.bytes_read) + count_text(report.lost_extents, "extents lost") + "\n";
  if (report.unreferenced_rows > 0)
    text +=
        "garbage  " + std::to_string(report.unreferenced_rows) + " rows, " +
        format_size(report.unreferenced_bytes) + ", " +
        (report.dropped_rows == report.unreferenced_rows ? "dropped" : "to be given back in time") +
        "\n";
  text += clean ? "clean\n" : "NOT CLEAN\n";
  output->out(text);
}

Task<int> check(AdminCluster* cluster, FsckOptions options, AdminOutput* output) {
  Problems problems(options, output);
  auto metadata = co_await check_metadata(cluster);
  if (!metadata.ok()) co_return admin_fail(output, metadata.status());
  if (!metadata->damage().empty()) problems.add("metadata: " + metadata->damage());
  auto map = co_await fetch_cluster_map(cluster);
  if (!map.ok()) co_return admin_fail(output, map.status());
  client::CheckOptions check;
  check.read = options.read;
  check.repair = options.repair;
  check.problem = [&](const std::string& text) { problems.add(text); };
  check.cancelled = [output] { return output->cancelled(); };
  check.kept_unknown = [&metadata](PackId pack) {
    const std::uint64_t sequence = sequence_of_pack(pack);
    for (const proto::SequenceRange& range : metadata->kept_unknown())
      if (sequence >= range.first() && sequence < range.end()) return true;
    return false;
  };
  client::PoolCheck pool(
      std::move(*map),
      [cluster](proto::Query query) { return admin_query(cluster, std::move(query)); },
      cluster->storage_of, cluster->executor, std::move(check));
  const auto report = co_await pool.run();
  if (!report.ok()) co_return admin_fail(output, report.status());
  if (!report->hurt_rows.empty()) {
    auto hurt = co_await find_hurt(cluster, &*report);
    Status named = hurt.status();
    if (hurt.ok()) named = co_await name_hurt(cluster, std::move(*hurt), &problems);
    if (!named.ok()) co_return admin_fail(output, named.with_context("naming what is hurt"));
  }
  const bool clean = report->clean() && metadata->damage().empty();
  if (options.json)
    say_json(*metadata, *report, problems, clean, output);
  else
    say_text(*metadata, *report, problems, options, clean, output);
  co_return clean ? kExitOk : kExitFailed;
}

}  // namespace

Task<int> run_fsck(AdminCluster* cluster, std::vector<std::string> words, AdminOutput* output) {
  FsckOptions options;
  Config config("shoal fsck",
                "Checks that the metadata fits together, that the drives hold every row that it "
                "refers to, and that they hold nothing else but what waits to be given back. The "
                "exit status is 0 when all is well and 1 when not. A cluster that does not run "
                "(--data DIR) is opened for the time of the check.");
  config.add("read", &options.read,
             "read all data too: every extent against its checksum, all parity against its row");
  config.add("repair", &options.repair,
             "restore fragments that are missing, damaged or wrong, and drop what nothing refers "
             "to");
  config.add("json", &options.json, "as one JSON object");
  config.add("max-problems", &options.max_problems, "say at most so many");
  int exit_status = kExitOk;
  if (!parse_admin_words(&config, words, output, &exit_status)) co_return exit_status;
  co_return co_await check(cluster, options, output);
}

}  // namespace shoal::tools
