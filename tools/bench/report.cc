#include "tools/bench/report.h"

#include <algorithm>
#include <cstdio>

#include "base/config.h"
#include "tools/json.h"

namespace shoal::tools {

ServerCounters operator-(const ServerCounters& after, const ServerCounters& before) {
  return {after.cpu_seconds - before.cpu_seconds, after.drive_flushes - before.drive_flushes,
          after.journal_flushes - before.journal_flushes, after.drives};
}

void print_report(const LoadDescription& load, const LoadReport& report,
                  const ServerCounters* used) {
  const double rate = static_cast<double>(report.requests) / report.seconds;
  const double done = static_cast<double>(std::max<std::uint64_t>(report.requests, 1));
  if (load.json) {
    JsonWriter json;
    json.begin_object();
    json.field("operation", load.operation);
    json.field("size_bytes", load.size_bytes);
    json.field("concurrency", load.concurrency);
    json.field("seconds", report.seconds);
    json.field("requests", report.requests);
    json.field("ops_per_second", rate);
    json.field("bytes_per_second", static_cast<double>(report.bytes) / report.seconds);
    json.field("p50_us", report.latency_us.percentile(0.5));
    json.field("p90_us", report.latency_us.percentile(0.9));
    json.field("p99_us", report.latency_us.percentile(0.99));
    json.field("p999_us", report.latency_us.percentile(0.999));
    json.field("errors", report.errors);
    json.field("mismatches", report.mismatches);
    json.field("client_cpu_us_per_op", report.client_cpu_seconds * 1e6 / done);
    if (used != nullptr) {
      json.field("server_cpu_us_per_op", used->cpu_seconds * 1e6 / done);
      json.field("flushes_per_op_and_drive", static_cast<double>(used->drive_flushes) / done /
                                                 static_cast<double>(used->drives));
      json.field("journal_flushes_per_op", static_cast<double>(used->journal_flushes) / done);
    }
    if (!report.first_error.empty()) json.field("first_error", report.first_error);
    json.end_object();
    std::printf("%s\n", json.text().c_str());
    return;
  }
  std::printf(
      "%s %s x %llu: %.0f ops/s, %s/s\n", load.operation.c_str(),
      format_size(load.size_bytes).c_str(), static_cast<unsigned long long>(load.concurrency), rate,
      format_size(static_cast<std::uint64_t>(static_cast<double>(report.bytes) / report.seconds))
          .c_str());
  std::printf("  p50 %llu us, p90 %llu us, p99 %llu us, p99.9 %llu us\n",
              static_cast<unsigned long long>(report.latency_us.percentile(0.5)),
              static_cast<unsigned long long>(report.latency_us.percentile(0.9)),
              static_cast<unsigned long long>(report.latency_us.percentile(0.99)),
              static_cast<unsigned long long>(report.latency_us.percentile(0.999)));
  std::printf("  %llu errors (%llu wrong bodies)%s%s\n",
              static_cast<unsigned long long>(report.errors),
              static_cast<unsigned long long>(report.mismatches),
              report.first_error.empty() ? "" : ", first: ", report.first_error.c_str());
  if (used == nullptr) return;
  std::printf(
      "  server: %.1f us of CPU, %.3f flushes a drive, %.3f journal flushes per operation\n",
      used->cpu_seconds * 1e6 / done,
      static_cast<double>(used->drive_flushes) / done / static_cast<double>(used->drives),
      static_cast<double>(used->journal_flushes) / done);
}

}  // namespace shoal::tools
