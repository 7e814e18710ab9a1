#include "tests/support/closed_loop.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>

#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/time/clock.h"
#include "thaw/gateway/v1/gateway.grpc.pb.h"

namespace thaw::testing {
namespace {

namespace gw = thaw::gateway::v1;

constexpr int kCallersPerChannel = 32;
constexpr absl::Duration kCallLimit = absl::Seconds(30);

// One call after the other until the end; its callbacks never overlap.
class Caller {
 public:
  Caller(gw::Invoker::Stub& stub, const gw::InvokeRequest& request, absl::Time end, absl::BlockingCounter& done)
      : stub_(stub), request_(request), end_(end), done_(done) {}

  void Next() {
    context_.emplace();
    context_->set_deadline(absl::ToChronoTime(absl::Now() + kCallLimit));
    response_.Clear();
    sent_ = absl::Now();
    stub_.async()->Invoke(&*context_, &request_, &response_, [this](const grpc::Status& status) {
      const absl::Time now = absl::Now();
      latencies.push_back(now - sent_);
      if (!status.ok() && errors++ == 0) first_error = status.error_message();
      if (now < end_) {
        Next();
      } else {
        done_.DecrementCount();
      }
    });
  }

  std::vector<absl::Duration> latencies;
  std::size_t errors = 0;
  std::string first_error;

 private:
  gw::Invoker::Stub& stub_;
  const gw::InvokeRequest& request_;
  const absl::Time end_;
  absl::BlockingCounter& done_;
  std::optional<grpc::ClientContext> context_;
  gw::InvokeResponse response_;
  absl::Time sent_;
};

}  // namespace

LoadResult LoadGrpc(const std::string& address, const std::string& function_id, const std::string& body, int callers,
                    absl::Duration time) {
  std::vector<std::unique_ptr<gw::Invoker::Stub>> stubs;
  for (int i = 0; i < (callers + kCallersPerChannel - 1) / kCallersPerChannel; ++i) {
    grpc::ChannelArguments arguments;
    // Channels of the same arguments would share one connection.
    arguments.SetInt("thaw.bench.channel", i);
    stubs.push_back(gw::Invoker::NewStub(
        grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments)));
  }
  gw::InvokeRequest request;
  request.mutable_function()->set_id(function_id);
  request.set_body(body);
  request.set_content_type("text/plain");
  const absl::Time begun = absl::Now();
  absl::BlockingCounter done(callers);
  std::vector<std::unique_ptr<Caller>> all;
  for (int i = 0; i < callers; ++i) {
    all.push_back(std::make_unique<Caller>(*stubs[static_cast<std::size_t>(i / kCallersPerChannel)], request, begun + time,
                                           done));
  }
  for (const auto& caller : all) caller->Next();
  done.Wait();
  LoadResult result;
  result.time = absl::Now() - begun;
  for (const auto& caller : all) {
    result.latencies.insert(result.latencies.end(), caller->latencies.begin(), caller->latencies.end());
    result.errors += caller->errors;
    if (result.first_error.empty()) result.first_error = caller->first_error;
  }
  return result;
}

}  // namespace thaw::testing
