#include "agent/image/image_garbage.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace thaw::agent {
namespace {

constexpr absl::Duration kEngineLimit = absl::Minutes(1);
constexpr char kBuiltByThaw[] = "thaw.local/";
constexpr char kBrought[] = "brought";
constexpr char kFound[] = "found";

// A name that Thaw has given the image.
bool IsOurs(const std::string& tag, const std::string& reference) {
  return absl::StartsWith(tag, kBuiltByThaw) || tag == reference || tag == absl::StrCat(reference, ":latest");
}

}  // namespace

ImageGarbage::ImageGarbage(const Options& options, const Deps& deps) : options_(options), deps_(deps) {
  Load();
}

void ImageGarbage::Load() {
  std::error_code error;
  if (!std::filesystem::exists(options_.file, error)) return;
  std::ifstream file(options_.file);
  if (!file) {
    deps_.log->error("event=images_not_read file={} error=\"it can't be opened; images stay\"",
                     options_.file);
  }
  absl::MutexLock lock(&mu_);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string id, origin;
    Entry entry;
    if (!(words >> id >> origin)) continue;
    words >> entry.reference;
    entry.brought = origin == kBrought;
    entries_[id] = std::move(entry);
  }
}

void ImageGarbage::Save() {
  // One at a time: they share the file's temporary name.
  absl::MutexLock saving(&saving_);
  std::string text;
  {
    absl::MutexLock lock(&mu_);
    for (const auto& [id, entry] : entries_) {
      absl::StrAppend(&text, id, " ", entry.brought ? kBrought : kFound, " ", entry.reference, "\n");
    }
  }
  const std::string fresh = options_.file + ".new";
  std::ofstream file(fresh, std::ios::trunc);
  chmod(fresh.c_str(), 0600);
  std::error_code error;
  if (file << text && file.flush()) std::filesystem::rename(fresh, options_.file, error);
  if (!file || error) {
    deps_.log->error(
        "event=images_not_saved file={} error=\"it can't be written; after a restart images stay\"",
        options_.file);
  }
}

void ImageGarbage::Noted(const std::string& image_id, const std::string& reference, bool brought) {
  {
    absl::MutexLock lock(&mu_);
    const auto [it, is_new] = entries_.try_emplace(image_id);
    Entry& entry = it->second;
    entry.unneeded_since = absl::InfiniteFuture();
    if (!is_new && entry.brought >= brought && entry.reference == reference) return;
    entry.brought |= brought;
    entry.reference = reference;
  }
  Save();
}

void ImageGarbage::AskedFor(const std::string& image_id) {
  absl::MutexLock lock(&mu_);
  const auto it = entries_.find(image_id);
  if (it != entries_.end()) it->second.unneeded_since = absl::InfiniteFuture();
}

void ImageGarbage::Connected() {
  absl::MutexLock lock(&mu_);
  for (auto& [id, entry] : entries_) entry.unneeded_since = absl::InfiniteFuture();
}

std::vector<std::string> ImageGarbage::Due() {
  std::vector<std::string> known;
  {
    absl::MutexLock lock(&mu_);
    for (const auto& [id, entry] : entries_) known.push_back(id);
  }
  std::vector<std::string> due;
  const absl::Time now = deps_.clock.Now();
  for (const std::string& id : known) {
    const bool needed = deps_.is_needed(id);
    absl::MutexLock lock(&mu_);
    Entry& entry = entries_[id];
    if (needed) {
      entry.unneeded_since = absl::InfiniteFuture();
    } else {
      // From the first look that finds it so: a moment later than it became so does no harm.
      entry.unneeded_since = std::min(entry.unneeded_since, now);
      if (now - entry.unneeded_since >= options_.keep) due.push_back(id);
    }
  }
  return due;
}

void ImageGarbage::Sweep() {
  if (!deps_.is_connected()) return;
  bool changed = false;
  for (const std::string& id : Due()) {
    Entry entry;
    {
      absl::MutexLock lock(&mu_);
      // Asked for meanwhile.
      if (entries_[id].unneeded_since == absl::InfiniteFuture()) continue;
      entry = entries_[id];
    }
    const bool done = Remove(id, entry);
    const bool needed = deps_.is_needed(id);
    {
      absl::MutexLock lock(&mu_);
      if (done && !needed) {
        entries_.erase(id);
        changed = true;
      } else {
        entries_[id].unneeded_since = absl::InfiniteFuture();
      }
    }
    // Its start may have found the image here a moment before it went.
    if (needed) deps_.bring_again(id);
  }
  if (changed) Save();
}

bool ImageGarbage::Remove(const std::string& image_id, const Entry& entry) {
  const absl::Time deadline = deps_.clock.Now() + kEngineLimit;
  const absl::StatusOr<ImageInfo> image = deps_.runtime.InspectImage(image_id, deadline);
  if (absl::IsNotFound(image.status())) {
    deps_.images.Forget(image_id);
    return true;
  }
  absl::Status removed = image.status();
  if (image.ok()) {
    const auto& tags = image->tags;
    const auto is_built = [](const std::string& tag) { return absl::StartsWith(tag, kBuiltByThaw); };
    const bool built_by_thaw = !tags.empty() && std::all_of(tags.begin(), tags.end(), is_built);
    const bool ours = std::all_of(tags.begin(), tags.end(),
                                  [&](const std::string& tag) { return IsOurs(tag, entry.reference); });
    if (!built_by_thaw && !(entry.brought && ours)) {
      deps_.log->info("event=image_kept image={} reference={} reason=\"it is not only Thaw's\"", image_id,
                      entry.reference);
      return true;
    }
    // Before, so that who asks now asks the engine; after, for who asked the engine just before.
    deps_.images.Forget(image_id);
    removed = deps_.runtime.RemoveImage(image_id, deadline);
    deps_.images.Forget(image_id);
  }
  if (!removed.ok()) {
    deps_.log->info("event=image_not_removed image={} reference={} again_in={} error=\"{}\"", image_id,
                    entry.reference, absl::FormatDuration(options_.keep), removed.ToString());
    return false;
  }
  deps_.log->info("event=image_removed image={} reference={}", image_id, entry.reference);
  deps_.removed.Increment();
  return true;
}

}  // namespace thaw::agent
