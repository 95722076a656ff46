// shoal bench data and shoal bench meta: loads below the doors.
#pragma once

#include "tools/commands/commands.h"

namespace shoal::tools {

int bench_data(const Arguments& arguments);
int bench_meta(const Arguments& arguments);
int bench_metad(const Arguments& arguments);

}  // namespace shoal::tools
