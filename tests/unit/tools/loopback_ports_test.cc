#include "tools/loopback_ports.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <set>

namespace shoal::tools {
namespace {

// What a server that listens at 127.0.0.1:PORT gets: 0 or errno.
int try_listen(const std::string& address, bool shares_port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port =
      htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int one = 1;
  if (shares_port) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  const bool listens =
      bind(fd, reinterpret_cast<sockaddr*>(&where), sizeof where) == 0 && listen(fd, 1) == 0;
  const int err = listens ? 0 : errno;
  close(fd);
  return err;
}

TEST(LoopbackPortsTest, NoPortIsGivenTwice) {
  LoopbackPorts ours;
  LoopbackPorts theirs;
  std::set<std::string> addresses;
  for (int i = 0; i < 400; ++i) {
    LoopbackPorts& ports = i % 2 == 0 ? ours : theirs;
    auto address = ports.reserve();
    ASSERT_TRUE(address.ok()) << address.status().to_string();
    EXPECT_TRUE(addresses.insert(*address).second) << *address;
  }
}

TEST(LoopbackPortsTest, AReservedPortIsThereForItsDaemonEachTimeItStarts) {
  std::string address;
  {
    LoopbackPorts ports;
    auto reserved = ports.reserve();
    ASSERT_TRUE(reserved.ok()) << reserved.status().to_string();
    address = *reserved;
    EXPECT_EQ(try_listen(address, false), EADDRINUSE);
    EXPECT_EQ(try_listen(address, true), 0);
    EXPECT_EQ(try_listen(address, true), 0);
    EXPECT_EQ(try_listen(address, false), EADDRINUSE);
  }
  EXPECT_EQ(try_listen(address, false), 0);
}

}  // namespace
}  // namespace shoal::tools
