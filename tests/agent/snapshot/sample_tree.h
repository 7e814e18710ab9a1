#ifndef THAW_TESTS_AGENT_SNAPSHOT_SAMPLE_TREE_H_
#define THAW_TESTS_AGENT_SNAPSHOT_SAMPLE_TREE_H_

#include <cstdint>
#include <string>

#include "tests/support/temp_dir.h"
#include "thaw/agent/v1/manifest.pb.h"

namespace thaw::testing {

void WriteFile(const std::string& path, const std::string& content);
std::string ReadFile(const std::string& path);
void FlipByte(const std::string& path, std::uint64_t offset);

// Bytes that look like memory pages: half of them noise, the rest compressible. The same for the same seed.
std::string PageLikeBytes(std::size_t size, unsigned seed);

// What a dump looks like: images/ with a page file of several chunks (one of zeros), files/ with an empty file, an
// empty directory, a link that leads nowhere, a FIFO, set-id and odd modes, other owners (as root), names that are not
// UTF-8, and times. `dir` exists.
void WriteSampleTree(const std::string& dir, unsigned seed = 1);

// One line per entry: path, type, mode, owner, time, size, target, digest.
std::string DescribeTree(const std::string& dir);
std::uint64_t TreeBytes(const std::string& dir);

// All that a checkpoint driver knows before Publish.
agent::v1::Manifest DraftManifest(const std::string& version);

}  // namespace thaw::testing

#endif  // THAW_TESTS_AGENT_SNAPSHOT_SAMPLE_TREE_H_
