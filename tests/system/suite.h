#ifndef THAW_TESTS_SYSTEM_SUITE_H_
#define THAW_TESTS_SYSTEM_SUITE_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/status/reasons.h"
#include "tests/support/cluster.h"
#include "tests/support/process.h"

namespace thaw::testing {

// A suite over one cluster, which is brought up with its first test and kept until its last one. Each test makes functions
// of its own, and leaves all nodes ready.
class ClusterTest : public ::testing::Test {
 protected:
  void SetUp() override;
  // Shows the services' last words when the test failed.
  void TearDown() override;
  static void TearDownTestSuite() { cluster_.reset(); }

  virtual Cluster::Options ClusterOptions() { return {}; }
  Cluster& cluster() { return *cluster_; }

  // --- functions ---
  // The image of tests/functions/native in that mode.
  std::string NativeImage(const std::string& mode = "serve");
  // A function named after the test; its id. Fails the test, and returns "", when it can't be made.
  std::string Create(const TestFunction& function, const std::string& suffix = "");
  std::string CreateNative(const std::string& mode = "serve");
  std::string VersionOf(const std::string& function_id);
  // Brings the function to its snapshot on `node`; the snapshot's id.
  std::string Freeze(const std::string& function_id, const std::string& node);
  // Ends the function's only instance on `node` by its own exit, so that the next call there starts one.
  void EndInstance(const std::string& function_id, const std::string& node);

  // --- what lies where ---
  std::string Cracdata(const std::string& node, const std::string& function_id);
  std::string Store(const std::string& node) { return cluster().data_dir(node) + "/snapshots"; }
  // Names in a directory; empty when it is not there.
  static std::vector<std::string> Names(const std::string& dir);
  // Names in the function's CRaC volume that begin with dump- or hold a half-written copy.
  std::vector<std::string> HalfDumps(const std::string& node, const std::string& function_id);
  // The logs of all slots of a node, one after the other.
  std::string FunctionLogs(const std::string& node);
  static int Count(const std::string& text, absl::string_view word);
  // Turns one byte of a file round.
  static void FlipByte(const std::string& path);

  // --- faults ---
  // Makes the function's CRIU on `node` fail or hang: `dump fail`, `restore hang`, …; "" mends it. For a cluster with
  // criu_wrapper = THAW_CRIU_WRAPPER.
  void SetCriuFault(const std::string& node, const std::string& function_id, const std::string& fault);
  // How often it did.
  int CriuFaultsFired(const std::string& node, const std::string& function_id);
  bool AwaitCriuFault(const std::string& node, const std::string& function_id, int times = 1);

  // Every container of a node belongs to a slot that its agent counts.
  void ExpectNoOrphans(const std::string& node);
  // Nothing half written in the store, and no dump under way or left behind.
  void ExpectNothingHalf(const std::string& node, const std::string& function_id);

  struct HttpAnswer {
    int status = 0;
    std::string head;
    std::string body;
  };
  HttpAnswer Post(const std::string& path, const std::string& body = "", const std::string& headers = "");

 private:
  static std::unique_ptr<Cluster> cluster_;
};

// `status` has this code and google.rpc.ErrorInfo reason.
::testing::AssertionResult Is(const absl::Status& status, absl::StatusCode code, absl::string_view reason);
::testing::AssertionResult StartedAs(const Answer& answer, thaw::gateway::v1::StartKind kind);

}  // namespace thaw::testing

#endif  // THAW_TESTS_SYSTEM_SUITE_H_
