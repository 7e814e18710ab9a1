#ifndef THAW_AGENT_CHECKPOINT_REFUSAL_H_
#define THAW_AGENT_CHECKPOINT_REFUSAL_H_

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "thaw/common/v1/freezing.pb.h"

namespace thaw::agent {

// What an FDK of ours says, as JSON, turned into findings (docs/design/init-protocol.md).

// The body of a 409 to `POST /thaw/checkpoint`: one finding for each cause; one for the message where there is none, and
// one with the body's beginning where it is no such JSON.
std::vector<thaw::common::v1::Finding> RefusalFindings(absl::string_view body);

// The body of a 200 to `GET /thaw/descriptors`: the stacks that opened descriptors, innermost first, by number. What can't
// be read is left out.
std::map<int, std::vector<std::string>> OpeningStacks(absl::string_view body);

}  // namespace thaw::agent

#endif  // THAW_AGENT_CHECKPOINT_REFUSAL_H_
