#include "client/posix_store.h"

#include <gtest/gtest.h>

#include "tests/support/machine_cluster.h"

namespace shoal::client {
namespace {

using test::MachineCluster;
using test::make_cluster_map;

TEST(PosixStoreTest, StatisticsCountWhatADriveThatIsSilentSaidLast) {
  MachineCluster cluster(make_cluster_map(6, {{4, 2}}, 6));
  const auto statistics = [&] {
    cluster.wait();  // they are kept for a while
    return *cluster.run(cluster.user().files().statistics());
  };
  const FsStatistics before = statistics();
  EXPECT_EQ(before.total_bytes, std::uint64_t{4} << 40);  // six drives of a TiB, 4+2
  EXPECT_EQ(before.free_bytes, before.total_bytes);
  cluster.storage.status_answer = UnavailableError("no answer");
  EXPECT_EQ(statistics().total_bytes, before.total_bytes);
  cluster.storage.status_answer.reset();
  cluster.put("object", std::string(1 << 20, 'x'));
  EXPECT_LT(statistics().free_bytes, before.free_bytes);
}

}  // namespace
}  // namespace shoal::client
