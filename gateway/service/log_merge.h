#ifndef THAW_GATEWAY_SERVICE_LOG_MERGE_H_
#define THAW_GATEWAY_SERVICE_LOG_MERGE_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace thaw::gateway {

// Merges the log lines of several nodes by the time that each line begins with.
//
// Every source gives one line at a time, oldest first, and the next one only after the last was taken: so nothing
// heaps up. Before Settle(), a line comes out when no open source can still have an older one; after it, as soon as it
// is there. Threads: one at a time.
class LogMerge {
 public:
  struct Line {
    std::string node_id;
    std::string text;
  };

  // A node that came back is added again: lines that came from it already are left out.
  void Add(const std::string& node_id);
  // `node_id` gives its next line. False when it is a repetition: ask for the next one at once.
  [[nodiscard]] bool Push(const std::string& node_id, std::string text);
  // `node_id` has no more lines.
  void End(const std::string& node_id);
  // From here on no line waits for a silent source.
  void Settle() { settled_ = true; }

  // The next line, if one can come out. Its node may then be asked for another.
  std::optional<Line> Pop();
  bool Has(const std::string& node_id) const;
  // Whether no source is open and no line is left.
  bool done() const { return sources_.empty(); }

 private:
  struct Source {
    bool open = true;
    std::optional<std::string> head;
  };

  std::map<std::string, Source> sources_;
  // By node, the time of the last line taken.
  std::map<std::string, std::string> last_times_;
  // Nodes that were added again, until they give a line that is new.
  std::map<std::string, std::string> repeated_until_;
  bool settled_ = false;
};

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_SERVICE_LOG_MERGE_H_
