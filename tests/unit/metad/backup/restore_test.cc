#include "metad/backup/restore.h"

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "metad/backup/dump_stream.h"
#include "metad/checkpoint/checkpoint_store.h"
#include "tests/support/metadata_driver.h"
#include "tests/support/temp_directory.h"

namespace shoal::metad {
namespace {

constexpr std::uint64_t kRoot = kRootInode.value();

proto::QueryReply ask(StateMachine& machine, const proto::Query& query) {
  proto::QueryReply reply;
  machine.query(query, &reply);
  return reply;
}

// What clients see of an inode and of all below it.
void describe(StateMachine& machine, std::uint64_t inode, const std::string& path,
              std::map<std::string, std::string>* out) {
  proto::Query query;
  query.mutable_get_extents()->set_inode(inode);
  (*out)[path + " extents"] = ask(machine, query).DebugString();
  query.mutable_read_symlink()->set_inode(inode);
  (*out)[path + " target"] = ask(machine, query).bytes().value();
  query.mutable_list_xattrs()->set_inode(inode);
  const proto::QueryReply xattrs = ask(machine, query);
  for (const std::string& name : xattrs.names().names()) {
    proto::Query value;
    value.mutable_get_xattr()->set_inode(inode);
    value.mutable_get_xattr()->set_name(name);
    (*out)[path + " xattr " + name] = ask(machine, value).bytes().value();
  }
  query.mutable_read_directory()->set_inode(inode);
  query.mutable_read_directory()->set_limit(10'000);
  const proto::QueryReply names = ask(machine, query);
  for (const proto::DirectoryEntry& entry : names.directory().entries()) {
    (*out)[path + "/" + entry.name()] = entry.DebugString();
    describe(machine, entry.attributes().inode(), path + "/" + entry.name(), out);
  }
}

std::map<std::string, std::string> describe(StateMachine& machine) {
  std::map<std::string, std::string> out;
  describe(machine, kRoot, "", &out);
  proto::Query query;
  query.mutable_list_objects()->set_bucket("bucket");
  query.mutable_list_objects()->set_limit(1000);
  const proto::QueryReply objects = ask(machine, query);
  for (const proto::Dentry& object : objects.objects().objects()) {
    proto::Query get;
    get.mutable_get_object()->set_bucket("bucket");
    get.mutable_get_object()->set_key(object.key());
    get.mutable_get_object()->set_with_extents(true);
    out["object " + object.key()] = ask(machine, get).DebugString();
  }
  query.mutable_list_uploads()->set_bucket("bucket");
  query.mutable_list_uploads()->set_limit(1000);
  const proto::QueryReply uploads = ask(machine, query);
  for (const proto::UploadInfo& upload : uploads.uploads().uploads()) {
    proto::Query parts;
    parts.mutable_list_parts()->set_bucket("bucket");
    parts.mutable_list_parts()->set_key(upload.key());
    parts.mutable_list_parts()->set_upload(upload.upload());
    parts.mutable_list_parts()->set_limit(1000);
    out["upload " + upload.upload()] = ask(machine, parts).DebugString();
  }
  query.mutable_get_bucket()->set_name("bucket");
  query.mutable_get_bucket()->set_config("cors");
  out["bucket"] = ask(machine, query).DebugString();
  query.mutable_get_cluster_map();
  out["map"] = ask(machine, query).DebugString();
  return out;
}

std::vector<proto::PackRecord> packs_of(StateMachine& machine) {
  proto::Query query;
  query.mutable_list_packs()->set_limit(1000);
  query.mutable_list_packs()->set_with_rows(true);
  const proto::QueryReply reply = ask(machine, query);
  return {reply.list_packs().packs().begin(), reply.list_packs().packs().end()};
}

class RestoreTest : public testing::Test {
 protected:
  // Odd keys, a shadowed file, hard links, xattrs, all types, an upload, a configuration, an
  // unlinked file that is held, closed and open packs.
  void fill() {
    for (const std::string& key : {std::string("a"), std::string("a/b"), std::string("a//b"),
                                   std::string("dir/"), std::string("."), std::string("../x"),
                                   std::string("\xff\xfe\0z", 4), std::string(1024, 'k')})
      driver_.put(key);
    driver_.put("gone");
    driver_.remove("gone");
    driver_.close_pack(driver_.pack);
    driver_.pack = driver_.lease();
    const std::uint64_t directory = driver_.make_file(kRoot, "posix", proto::DIRECTORY);
    const std::uint64_t file = driver_.make_file(directory, "file", proto::REGULAR);
    proto::Command commit;
    commit.mutable_commit_data()->set_inode(file);
    for (std::uint64_t i = 0; i < 10; ++i)
      driver_.add_extent(commit.mutable_commit_data()->mutable_extents(), i * 10'000, 5000);
    driver_.run(std::move(commit));
    proto::Command link;
    link.mutable_link_file()->set_inode(file);
    link.mutable_link_file()->set_parent(kRoot);
    link.mutable_link_file()->set_name("second name");
    driver_.run(std::move(link));
    proto::Command xattr;
    xattr.mutable_set_xattr()->set_inode(file);
    xattr.mutable_set_xattr()->set_name("user.\xff");
    xattr.mutable_set_xattr()->set_value(std::string("\0v", 2));
    driver_.run(std::move(xattr));
    driver_.make_file(directory, "link", proto::SYMLINK);
    driver_.make_file(directory, "pipe", proto::FIFO);
    proto::Command upload;
    upload.mutable_create_upload()->set_bucket("bucket");
    upload.mutable_create_upload()->set_key("big");
    const std::string id = driver_.run(std::move(upload)).upload().upload();
    proto::Command part;
    part.mutable_put_part()->set_bucket("bucket");
    part.mutable_put_part()->set_key("big");
    part.mutable_put_part()->set_upload(id);
    part.mutable_put_part()->set_number(3);
    part.mutable_put_part()->set_size(100);
    driver_.add_extent(part.mutable_put_part()->mutable_extents(), 0, 100);
    driver_.run(std::move(part));
    proto::Command config;
    config.mutable_set_bucket_config()->set_bucket("bucket");
    config.mutable_set_bucket_config()->set_name("cors");
    config.mutable_set_bucket_config()->set_document("document");
    driver_.run(std::move(config));
    proto::Command unlinked;
    unlinked.mutable_create_file()->set_parent(kRoot);
    unlinked.mutable_create_file()->set_type(proto::REGULAR);
    unlinked.mutable_create_file()->set_unlinked(true);
    driver_.run(std::move(unlinked));
  }
  // The driver's state as a dump.
  std::string dump() {
    const std::string path = temp_.path() + "/dump";
    CheckpointChanges changes;
    while (driver_.machine->drain_changes(
        10, [&](std::string_view key, const std::string* value) { changes.add(key, value); })) {
    }
    auto store = std::move(CheckpointStore::open(temp_.path() + "/dumped")).value();
    EXPECT_TRUE(store->write(changes, driver_.position).ok());
    auto file = std::move(DumpFile::make(path)).value();
    DumpWriter writer(file.fd(), path);
    EXPECT_TRUE(writer.begin(driver_.position).ok());
    EXPECT_TRUE(store
                    ->load(1, [&](std::string_view key,
                                  std::string_view value) { return writer.add(key, value); })
                    .ok());
    EXPECT_TRUE(writer.finish().ok());
    return path;
  }
  Result<RestoreReport> restore(const std::string& path, const std::string& uuid = "cluster") {
    const int fd = open(path.c_str(), O_RDONLY);
    auto restored = restore_dump(fd, path, metad_path_, uuid);
    close(fd);
    return restored;
  }
  std::unique_ptr<StateMachine> load() {
    auto store = std::move(CheckpointStore::open(metad_path_ + "/checkpoint")).value();
    auto machine = make_state_machine();
    machine->begin_load();
    EXPECT_TRUE(
        store
            ->load(2, [&](std::string_view key,
                          std::string_view value) { return machine->load_record(key, value); })
            .ok());
    const Status finished = machine->finish_load(*store->position());
    EXPECT_TRUE(finished.ok()) << finished.to_string();
    return machine;
  }

  test::TempDirectory temp_;
  std::string metad_path_ = temp_.path() + "/metad";
  test::MetadataDriver driver_;
};

TEST_F(RestoreTest, TheNamespaceIsTheSame) {
  fill();
  const auto restored = restore(dump());
  ASSERT_TRUE(restored.ok()) << restored.status().to_string();
  EXPECT_EQ(restored->position, driver_.position);
  EXPECT_EQ(restored->kept_packs, 1U);
  const auto machine = load();
  EXPECT_EQ(machine->applied_position(), driver_.position);
  const auto before = describe(*driver_.machine);
  EXPECT_GT(before.size(), 40U);
  EXPECT_EQ(describe(*machine), before);
}

TEST_F(RestoreTest, NothingThatIsNewerThanTheDumpMayBeDroppedOrUsedAgain) {
  fill();
  const std::uint64_t open_pack = driver_.pack;
  const auto before = packs_of(*driver_.machine);
  const std::string path = dump();
  // After the dump: another pack.
  const std::uint64_t newer = driver_.lease();
  ASSERT_TRUE(restore(path).ok());
  const auto machine = load();
  EXPECT_TRUE(machine->keeps_unknown(PackId(newer)));
  EXPECT_FALSE(machine->keeps_unknown(PackId(before[0].pack()))) << "dropped before the dump";
  EXPECT_TRUE(machine->sessions().empty());
  const auto after = packs_of(*machine);
  ASSERT_EQ(after.size(), before.size());
  for (std::size_t i = 0; i < after.size(); ++i) {
    EXPECT_EQ(after[i].state(), proto::PACK_CLOSED);
    EXPECT_EQ(after[i].kept(), after[i].pack() == open_pack);
    EXPECT_EQ(after[i].live_bytes(), before[i].live_bytes());
    EXPECT_TRUE(std::equal(after[i].row_live_bytes().begin(), after[i].row_live_bytes().end(),
                           before[i].row_live_bytes().begin(), before[i].row_live_bytes().end()));
  }
  // New ids lie behind all that can have been given.
  test::MetadataDriver next;
  next.machine = load();
  next.position = driver_.position;
  next.session = 0;
  proto::Command open;
  open.mutable_open_session()->set_slot_count(4);
  next.session = next.run(std::move(open)).open_session().session();
  EXPECT_GT(next.session, std::uint64_t{1} << 32);
  const std::uint64_t leased = next.lease();
  EXPECT_GT(sequence_of_pack(PackId(leased)), sequence_of_pack(PackId(newer)) + 1'000'000);
  EXPECT_FALSE(next.machine->keeps_unknown(PackId(leased))) << "what is leased now may be dropped";
  EXPECT_GT(next.make_file(kRoot, "new", proto::REGULAR), std::uint64_t{1} << 32);
  // Nor does the metadata forget the pack that was open.
  proto::Command deleted;
  deleted.mutable_pack_deleted()->set_pack(open_pack);
  EXPECT_NE(next.machine->apply(deleted, next.position + 1).status().code(), 0);
  // The unlinked file that a client held waits to be reaped.
  EXPECT_EQ(next.machine->orphans().size(), 1U + 1U);  // and "gone", which was unlinked just before
}

TEST_F(RestoreTest, ALoadOnceMoreKeepsBothRanges) {
  ASSERT_TRUE(restore(dump()).ok());
  auto machine = load();
  const std::uint64_t first = sequence_of_pack(PackId(driver_.pack)) + 1;
  ASSERT_TRUE(machine->become_restored().ok());
  EXPECT_TRUE(machine->keeps_unknown(make_pack_id(PgId(1), first)));
  EXPECT_TRUE(machine->keeps_unknown(make_pack_id(PgId(9), first + (std::uint64_t{1} << 32))));
  EXPECT_FALSE(machine->keeps_unknown(make_pack_id(PgId(1), first + (std::uint64_t{2} << 32))));
  EXPECT_FALSE(machine->keeps_unknown(make_pack_id(PgId(1), first - 1)));
  Status status;
  for (int i = 0; i < 300 && status.ok(); ++i) status = machine->become_restored();
  EXPECT_EQ(status.code(), StatusCode::kOutOfRange);
}

TEST_F(RestoreTest, MetadataThatIsThereIsNotOverwritten) {
  const std::string path = dump();
  for (const char* part : {"/checkpoint", "/journal"}) {
    std::filesystem::create_directories(metad_path_ + part);
    std::ofstream(metad_path_ + part + "/file") << "x";
    EXPECT_EQ(restore(path).status().code(), StatusCode::kAlreadyExists);
    std::filesystem::remove_all(metad_path_ + part);
  }
  std::filesystem::create_directories(metad_path_ + "/checkpoint");
  std::filesystem::create_directories(metad_path_ + "/checkpoint.loading/left over");
  EXPECT_TRUE(restore(path).ok());
  EXPECT_EQ(restore(path).status().code(), StatusCode::kAlreadyExists);
}

TEST_F(RestoreTest, ABadDumpOrAnotherClustersLeavesNothing) {
  const std::string path = dump();
  EXPECT_EQ(restore(path, "another").status().code(), StatusCode::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(metad_path_ + "/checkpoint"));
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  EXPECT_EQ(restore(path).status().code(), StatusCode::kCorruption);
  EXPECT_FALSE(std::filesystem::exists(metad_path_ + "/checkpoint"));
}

}  // namespace
}  // namespace shoal::metad
