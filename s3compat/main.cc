// shoal-s3: the S3 door of a cluster.
#include <atomic>

#include "base/log.h"
#include "base/program.h"
#include "client/remote_cluster.h"
#include "s3compat/server.h"

namespace shoal::s3compat {
namespace {

struct Options {
  std::string listen = "127.0.0.1:9000";
  std::string metad = "127.0.0.1:9100";
  std::string credentials;
  std::string region = "us-east-1";
  std::vector<std::string> domains;
};

Status serve_open(EventLoop& loop, const Options& options, const Credentials& credentials,
                  client::ClientStack& stack) {
  ASSIGN_OR_RETURN(const auto server,
                   S3Server::listen(loop, {options.listen, options.region, options.domains},
                                    credentials, stack.objects()));
  struct Start {
    static Task<Status> run(S3Server* server) { co_return server->start(); }
  };
  RETURN_IF_ERROR(sync_wait(loop, Start::run(server.get())));
  log_info("s3", "serving", {{"address", options.listen}});
  notify_ready();
  const std::atomic<bool> ended{false};
  wait_for_end(ended);
  sync_wait(loop, server->stop());
  return OkStatus();
}

Status serve(const Options& options, const Credentials& credentials) {
  return client::run_client("shoal-s3", options.metad, "s3 " + options.listen,
                            [&](EventLoop& loop, client::ClientStack& stack) {
                              return serve_open(loop, options, credentials, stack);
                            });
}

int run(const std::vector<std::string>& arguments) {
  Options options;
  Config config("shoal-s3", "Serves the files of a Shoal cluster over the S3 protocol.");
  config.add("listen", &options.listen, "HOST:PORT of the S3 server");
  config.add("metad", &options.metad, "HOST:PORT of the metadata daemon");
  config.add("credentials", &options.credentials,
             "file of keys in the AWS shared-credentials format");
  config.add("region", &options.region, "region that requests are signed for");
  config.add_list("domain", &options.domains,
                  "DOMAIN of virtual-host requests, BUCKET.DOMAIN; may be given again");
  Credentials credentials;
  return run_daemon(
      &config, arguments,
      [&]() -> Status {
        if (options.credentials.empty())
          return InvalidArgumentError("credentials is needed: the file of keys");
        ASSIGN_OR_RETURN(credentials, load_credentials(options.credentials));
        return OkStatus();
      },
      [&] { return serve(options, credentials); });
}

}  // namespace
}  // namespace shoal::s3compat

int main(int argc, char** argv) {
  return shoal::s3compat::run(std::vector<std::string>(argv + 1, argv + argc));
}
