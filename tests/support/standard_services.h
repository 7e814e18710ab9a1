#ifndef THAW_TESTS_SUPPORT_STANDARD_SERVICES_H_
#define THAW_TESTS_SUPPORT_STANDARD_SERVICES_H_

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/unknown_field_set.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/rpc/status.h"
#include "common/status/status_macros.h"

// Asks a server for its health and its services as grpcurl does: over the wire, without a token.
//
// Messages are written and read by their fields' numbers, without generated code: in a test that has the server in
// its own process, that code would be the description that the server may lack, and in others it is not linked in.
namespace thaw::testing {

// A message's fields by number: what has a length (texts, bytes, messages) as it is, numbers as their digits.
using Fields = std::vector<std::pair<int, std::string>>;

inline std::shared_ptr<grpc::Channel> PlainChannel(int port) {
  return grpc::CreateChannel(absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials());
}

inline absl::StatusOr<Fields> ParseFields(const std::string& bytes) {
  google::protobuf::UnknownFieldSet parsed;
  if (!parsed.ParseFromString(bytes)) return absl::DataLossError("an answer that is no message");
  Fields fields;
  for (int i = 0; i < parsed.field_count(); ++i) {
    const auto& field = parsed.field(i);
    const bool text = field.type() == google::protobuf::UnknownField::TYPE_LENGTH_DELIMITED;
    fields.emplace_back(field.number(), text ? std::string(field.length_delimited()) : absl::StrCat(field.varint()));
  }
  return fields;
}

inline std::vector<std::string> Contents(const Fields& fields, int number) {
  std::vector<std::string> contents;
  for (const auto& [key, value] : fields) {
    if (key == number) contents.push_back(value);
  }
  return contents;
}

// One request, one answer. Fits streaming methods too, where the server answers each request with one message.
inline absl::StatusOr<Fields> CallOnce(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                                       const google::protobuf::UnknownFieldSet& request) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(20)));
  std::string bytes;
  request.SerializeToString(&bytes);
  const grpc::Slice sent(bytes);
  const grpc::ByteBuffer question(&sent, 1);
  grpc::ByteBuffer answer;
  absl::Notification over;
  grpc::Status status;
  stub.UnaryCall(&context, method, grpc::StubOptions(), &question, &answer, [&](grpc::Status ended) {
    status = std::move(ended);
    over.Notify();
  });
  over.WaitForNotification();
  RETURN_IF_ERROR(FromGrpcStatus(status));
  std::vector<grpc::Slice> slices;
  RETURN_IF_ERROR(FromGrpcStatus(answer.Dump(&slices)));
  bytes.clear();
  for (const grpc::Slice& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return ParseFields(bytes);
}

// What Health/Check (grpc/health/v1/health.proto) answers for the whole server.
inline absl::StatusOr<std::string> AskHealth(const std::shared_ptr<grpc::Channel>& channel) {
  ASSIGN_OR_RETURN(const Fields answer, CallOnce(channel, "/grpc.health.v1.Health/Check", {}));
  constexpr int kStatus = 1;
  const std::vector<std::string> status = Contents(answer, kStatus);
  if (status.empty()) return "UNKNOWN";
  return status[0] == "1" ? "SERVING" : status[0] == "2" ? "NOT_SERVING" : "status " + status[0];
}

// The field `answer` of what server reflection (grpc/reflection/v1alpha/reflection.proto) answers to a request
// whose field `question` is `value`.
inline absl::StatusOr<Fields> AskReflection(const std::shared_ptr<grpc::Channel>& channel, int question,
                                            const std::string& value, int answer) {
  google::protobuf::UnknownFieldSet request;
  request.AddLengthDelimited(question, value);
  ASSIGN_OR_RETURN(const Fields response,
                   CallOnce(channel, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", request));
  const std::vector<std::string> answers = Contents(response, answer);
  if (answers.empty()) return absl::NotFoundError(absl::StrCat("reflection knows nothing of ", value));
  return ParseFields(answers[0]);
}

// The names of the services that reflection lists.
inline absl::StatusOr<std::vector<std::string>> ListServices(const std::shared_ptr<grpc::Channel>& channel) {
  constexpr int kListServices = 7, kListServicesResponse = 6, kService = 1, kName = 1;
  ASSIGN_OR_RETURN(const Fields list, AskReflection(channel, kListServices, "*", kListServicesResponse));
  std::vector<std::string> names;
  for (const std::string& bytes : Contents(list, kService)) {
    ASSIGN_OR_RETURN(const Fields service, ParseFields(bytes));
    for (const std::string& name : Contents(service, kName)) names.push_back(name);
  }
  return names;
}

// The names of the methods of `service`, by the description that reflection gives. NOT_FOUND where it has none.
inline absl::StatusOr<std::vector<std::string>> DescribeService(const std::shared_ptr<grpc::Channel>& channel,
                                                                const std::string& service) {
  constexpr int kFileContainingSymbol = 4, kFileDescriptorResponse = 4, kFileDescriptorProto = 1;
  ASSIGN_OR_RETURN(const Fields files, AskReflection(channel, kFileContainingSymbol, service, kFileDescriptorResponse));
  std::vector<std::string> methods;
  for (const std::string& bytes : Contents(files, kFileDescriptorProto)) {
    google::protobuf::FileDescriptorProto file;
    if (!file.ParseFromString(bytes)) {
      return absl::DataLossError(absl::StrCat("the description of ", service, " can't be read"));
    }
    for (const auto& described : file.service()) {
      if (absl::StrCat(file.package(), ".", described.name()) != service) continue;
      for (const auto& method : described.method()) methods.push_back(method.name());
    }
  }
  return methods;
}

// The answer came, and is that.
MATCHER_P(Answers, value, "") {
  if (!arg.ok()) {
    *result_listener << arg.status().ToString();
    return false;
  }
  return ::testing::ExplainMatchResult(value, *arg, result_listener);
}

}  // namespace thaw::testing

#endif  // THAW_TESTS_SUPPORT_STANDARD_SERVICES_H_
