// What is free in the heap goes back to the kernel: the memory of a load that is over.
#pragma once

namespace shoal {

// Of the calling thread's heap, and of what is shared. Costs little when there is nothing to give.
void release_free_memory();

}  // namespace shoal
