#include "agent/init/criu_action.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "agent/init/outcome.h"
#include "agent/init/paths.h"
#include "agent/init/snapshot_files.h"
#include "agent/init/unique_fd.h"
#include "agent/init/volatile_pages.h"

namespace thaw::init {
namespace {

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

int RunCriuAction() {
  if (Variable("CRTOOLS_SCRIPT_ACTION") != "post-dump") return 0;
  const std::string files = Variable(kActionFilesVariable);
  const std::string images = Variable("CRTOOLS_IMAGE_DIR");
  Outcome outcome;
  if (files.empty() || images.empty()) {
    outcome = Outcome(Code::kInternal, "criu's action was called without its directories");
  }
  if (outcome.ok()) outcome = SaveFiles(files);
  if (outcome.ok()) outcome = ZeroVolatilePages(images);
  if (outcome.ok()) return 0;
  const std::string path = std::string(kWorkDir) + "/" + kActionErrorName;
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  const std::string text = std::string(1, static_cast<char>('A' + static_cast<int>(outcome.code()))) + outcome.message();
  (void)!::write(file.get(), text.data(), text.size());
  return 1;
}

}  // namespace thaw::init
