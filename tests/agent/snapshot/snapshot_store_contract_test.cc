#include "tests/contract/snapshot_store_contract.h"

#include <filesystem>

#include "agent/snapshot/disk_store.h"
#include "tests/fakes/fake_snapshot_store.h"

namespace thaw::testing {
namespace {

StoreUnderTest MakeDisk(const std::string& dir) {
  agent::DiskSnapshotStore::Options options;
  options.root = dir;
  auto store = agent::DiskSnapshotStore::Open(options);
  if (!store.ok()) return {};
  return {.store = *std::move(store),
          .damage_chunk =
              [dir](const std::string& sha256) {
                const std::string path = dir + "/chunks/" + sha256;
                FlipByte(path, std::filesystem::file_size(path) / 2);
              },
          .damage_manifest = [dir](const std::string& id) { FlipByte(dir + "/manifests/" + id, 40); }};
}

StoreUnderTest MakeFake(const std::string&) {
  auto store = std::make_unique<FakeSnapshotStore>(FakeSnapshotStore::Trees::kOnDisk);
  FakeSnapshotStore* fake = store.get();
  return {.store = std::move(store),
          .damage_chunk = [fake](const std::string& sha256) { fake->DamageChunk(sha256); },
          .damage_manifest = [fake](const std::string& id) { fake->DamageManifest(id); }};
}

INSTANTIATE_TEST_SUITE_P(Stores, SnapshotStoreContract,
                         ::testing::Values(StoreFactory{"Disk", MakeDisk}, StoreFactory{"Fake", MakeFake}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace thaw::testing
