#ifndef THAW_AGENT_INIT_VOLATILE_PAGES_H_
#define THAW_AGENT_INIT_VOLATILE_PAGES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/init/outcome.h"

namespace thaw::init {

struct AddressRange {
  uint64_t start = 0;
  uint64_t end = 0;
};

// The mappings of a /proc/<pid>/smaps text whose VmFlags have `dp`: pages that the kernel may drop at any
// time. glibc keeps the state of the vDSO's getrandom() in one.
std::vector<AddressRange> DroppableRanges(std::string_view smaps);

struct FileExtent {
  uint64_t offset = 0;
  uint64_t size = 0;
};

// Where the pages of `ranges` lie in the pages image that `pagemap_image` describes; `pages_id` gets the
// number of that image. Empty and *ok = false when the pagemap can't be read.
std::vector<FileExtent> LocatePages(std::string_view pagemap_image, const std::vector<AddressRange>& ranges,
                                    uint64_t* pages_id, bool* ok);

// Overwrites with zeros, in the images of a dump just made, every page of a droppable mapping of every
// process dumped. CRIU stores such pages as plain memory, and each restore of the snapshot would draw the same
// "random" numbers from them; zeroed, glibc asks the kernel anew. To be called while the processes are frozen.
Outcome ZeroVolatilePages(const std::string& images_dir);

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_VOLATILE_PAGES_H_
