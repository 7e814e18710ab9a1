#include "tests/cli/fakes.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "cli/commands/run.h"
#include "common/crypto/sha256.h"
#include "common/status/reasons.h"

namespace thaw::cli::testing {
namespace fs = std::filesystem;

std::string TestId(int number) { return absl::StrFormat("01HZZZZZZZZZZZZZZZZZZZ%04d", number); }

absl::StatusOr<gatewaypb::InvokeResponse> FakeGatewayClient::Invoke(const gatewaypb::InvokeRequest& request,
                                                                    const InvokeOptions& options) {
  invoked.push_back(request);
  invoke_options.push_back(options);
  if (invoke) return invoke(request, options);
  gatewaypb::InvokeResponse response;
  response.set_body(request.body());
  response.set_content_type(request.content_type());
  response.set_call_id(TestId(77));
  response.mutable_start()->set_kind(gatewaypb::START_KIND_RESTORED_REMOTE);
  response.mutable_start()->set_node_id("b");
  response.mutable_start()->set_instance_id("i1");
  response.mutable_start()->mutable_total()->set_nanos(61'300'000);
  response.mutable_start()->mutable_phases()->mutable_fetch()->set_nanos(20'000'000);
  return response;
}

absl::Status FakeGatewayClient::InvokeStream(
    const gatewaypb::InvokeRequest& start, const InvokeOptions& options,
    absl::FunctionRef<absl::Status(ChunkSink)> produce,
    absl::FunctionRef<void(const gatewaypb::InvokeResponse&)> on_start, ChunkSink on_chunk) {
  gatewaypb::InvokeRequest request = start;
  auto status = produce([&request](absl::string_view data) {
    request.mutable_body()->append(data.data(), data.size());
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  ++streams;
  absl::StatusOr<gatewaypb::InvokeResponse> response = Invoke(request, options);
  if (!response.ok()) return response.status();
  const std::string body = std::move(*response->mutable_body());
  response->clear_body();
  on_start(*response);
  // In more than one part, as the gateway may send it.
  const std::size_t half = body.size() / 2;
  status = on_chunk(absl::string_view(body).substr(0, half));
  if (!status.ok()) return status;
  return on_chunk(absl::string_view(body).substr(half));
}

absl::StatusOr<commonpb::App> FakeGatewayClient::CreateApp(const commonpb::App& app) {
  for (const auto& [id, existing] : apps) {
    if (existing.name() == app.name()) {
      return WithReason(absl::AlreadyExistsError(absl::StrCat("app ", app.name(), " exists")),
                        reason::kAlreadyExists);
    }
  }
  commonpb::App made = app;
  made.set_id(TestId(next_id_++));
  apps[made.id()] = made;
  return made;
}

absl::StatusOr<commonpb::App> FakeGatewayClient::GetApp(const commonpb::GetAppRequest& request) {
  if (!reachable.ok()) return reachable;
  for (const auto& [id, app] : apps) {
    if (request.id().empty() ? app.name() == request.name() : id == request.id()) return app;
  }
  return WithReason(absl::NotFoundError(absl::StrCat("no app ", request.id(), request.name())),
                    reason::kAppNotFound);
}

absl::StatusOr<std::vector<commonpb::App>> FakeGatewayClient::ListApps() {
  if (!reachable.ok()) return reachable;
  std::vector<commonpb::App> all;
  for (const auto& [id, app] : apps) all.push_back(app);
  return all;
}

absl::StatusOr<commonpb::App> FakeGatewayClient::UpdateApp(const commonpb::App& change) {
  commonpb::App& app = apps.at(change.id());
  for (const auto& [key, value] : change.config()) {
    if (value.empty()) {
      app.mutable_config()->erase(key);
    } else {
      (*app.mutable_config())[key] = value;
    }
  }
  return app;
}

absl::Status FakeGatewayClient::DeleteApp(const std::string& id) {
  const std::string gone = id;
  for (auto it = functions.begin(); it != functions.end();) {
    it = it->second.app_id() == gone ? functions.erase(it) : std::next(it);
  }
  return apps.erase(gone) == 1 ? absl::OkStatus() : absl::NotFoundError("no such app");
}

absl::StatusOr<commonpb::Secret> FakeGatewayClient::SetSecret(const commonpb::SetSecretRequest& request) {
  if (!reachable.ok()) return reachable;
  secrets[{request.app_id(), request.name()}] = request.value();
  commonpb::Secret secret;
  secret.set_app_id(request.app_id());
  secret.set_name(request.name());
  secret.set_size_bytes(static_cast<std::uint32_t>(request.value().size()));
  return secret;
}

absl::StatusOr<std::vector<commonpb::Secret>> FakeGatewayClient::ListSecrets(const std::string& app_id) {
  std::vector<commonpb::Secret> list;
  for (const auto& [key, value] : secrets) {
    if (key.first != app_id) continue;
    list.emplace_back().set_name(key.second);
    list.back().set_size_bytes(static_cast<std::uint32_t>(value.size()));
  }
  return list;
}

absl::Status FakeGatewayClient::DeleteSecret(const std::string& app_id, const std::string& name) {
  if (secrets.erase({app_id, name}) == 1) return absl::OkStatus();
  return WithReason(absl::NotFoundError(absl::StrCat("secret ", name, " not found")), reason::kSecretNotFound);
}

absl::StatusOr<commonpb::Function> FakeGatewayClient::CreateFunction(const commonpb::Function& function) {
  commonpb::Function made = function;
  made.set_id(TestId(next_id_++));
  made.set_version_id(Sha256Hex(made.image_id()).substr(0, 32));
  if (made.memory_mib() == 0) made.set_memory_mib(128);
  if (!made.has_timeout()) made.mutable_timeout()->set_seconds(30);
  if (!made.has_idle_timeout()) made.mutable_idle_timeout()->set_seconds(30);
  functions[made.id()] = made;
  return made;
}

absl::StatusOr<commonpb::Function> FakeGatewayClient::GetFunction(
    const commonpb::GetFunctionRequest& request) {
  if (!reachable.ok()) return reachable;
  for (const auto& [id, function] : functions) {
    if (request.id().empty() ? function.app_name() == request.app_name() && function.name() == request.name()
                             : id == request.id()) {
      return function;
    }
  }
  return WithReason(absl::NotFoundError(absl::StrCat("no function ", request.id(), request.name())),
                    reason::kFunctionNotFound);
}

absl::StatusOr<std::vector<commonpb::Function>> FakeGatewayClient::ListFunctions(
    const std::string& app_name) {
  if (!reachable.ok()) return reachable;
  std::vector<commonpb::Function> all;
  for (const auto& [id, function] : functions) {
    if (app_name.empty() || function.app_name() == app_name) all.push_back(function);
  }
  return all;
}

absl::StatusOr<commonpb::Function> FakeGatewayClient::UpdateFunction(const commonpb::Function& change) {
  updates.push_back(change);
  commonpb::Function& function = functions.at(change.id());
  if (!change.image().empty()) function.set_image(change.image());
  if (!change.image_id().empty()) function.set_image_id(change.image_id());
  if (change.memory_mib() > 0) function.set_memory_mib(change.memory_mib());
  if (change.has_timeout()) *function.mutable_timeout() = change.timeout();
  if (change.has_idle_timeout()) *function.mutable_idle_timeout() = change.idle_timeout();
  if (change.has_checkpoint()) *function.mutable_checkpoint() = change.checkpoint();
  if (change.has_freeze()) *function.mutable_freeze() = change.freeze();
  for (const auto& [key, value] : change.config()) {
    if (value.empty()) {
      function.mutable_config()->erase(key);
    } else {
      (*function.mutable_config())[key] = value;
    }
  }
  for (const auto& [key, value] : change.annotations()) (*function.mutable_annotations())[key] = value;
  return function;
}

absl::Status FakeGatewayClient::DeleteFunction(const std::string& id) {
  const std::string gone = id;
  return functions.erase(gone) == 1
             ? absl::OkStatus()
             : WithReason(absl::NotFoundError("no such function"), reason::kFunctionNotFound);
}

absl::StatusOr<std::vector<commonpb::SnapshotInfo>> FakeGatewayClient::ListSnapshots(
    const std::string& function_id) {
  std::vector<commonpb::SnapshotInfo> some;
  for (const auto& snapshot : snapshots) {
    if (function_id.empty() || snapshot.function_id() == function_id) some.push_back(snapshot);
  }
  return some;
}

absl::StatusOr<commonpb::SnapshotInfo> FakeGatewayClient::GetSnapshot(const std::string& id) {
  for (const auto& snapshot : snapshots) {
    if (snapshot.id() == id) return snapshot;
  }
  return WithReason(absl::NotFoundError(absl::StrCat("no snapshot ", id)), reason::kSnapshotNotFound);
}

absl::StatusOr<commonpb::SnapshotInfo> FakeGatewayClient::CreateSnapshot(const std::string& function_id) {
  if (!freezing.ok()) return freezing;
  commonpb::SnapshotInfo snapshot;
  snapshot.set_id(absl::StrCat(std::string(28, 'f'), 1000 + snapshots.size()));
  snapshot.set_function_id(function_id);
  snapshot.set_app_name(functions.at(function_id).app_name());
  snapshot.set_function_name(functions.at(function_id).name());
  snapshot.set_node_id("a");
  snapshot.add_holders("a");
  snapshots.push_back(snapshot);
  return snapshot;
}

absl::Status FakeGatewayClient::DeleteSnapshot(const std::string& id) {
  const auto before = snapshots.size();
  snapshots.erase(
      std::remove_if(snapshots.begin(), snapshots.end(), [&](const auto& s) { return s.id() == id; }),
      snapshots.end());
  return snapshots.size() < before ? absl::OkStatus() : absl::NotFoundError("no such snapshot");
}

absl::StatusOr<std::vector<std::string>> FakeGatewayClient::FindImage(const std::string& image_id) {
  return images[image_id];
}

absl::StatusOr<gatewaypb::PushImageResponse> FakeGatewayClient::PushImage(
    const gatewaypb::PushImageRequest::Header& header, absl::FunctionRef<absl::Status(ChunkSink)> produce) {
  std::string archive;
  const absl::Status produced = produce([&archive](absl::string_view data) {
    archive.append(data.data(), data.size());
    return absl::OkStatus();
  });
  if (!produced.ok()) return produced;
  pushed.emplace_back(header.image_id(), archive);
  images[header.image_id()] = {"a"};
  gatewaypb::PushImageResponse response;
  response.set_node_id("a");
  response.set_image_id(header.image_id());
  return response;
}

absl::Status FakeGatewayClient::ReadLogs(const gatewaypb::ReadLogsRequest& request,
                                         absl::FunctionRef<absl::Status(const gatewaypb::LogLine&)> on_line) {
  logs_request = request;
  for (const auto& line : log) {
    const absl::Status status = on_line(line);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<ProcessResult> FakeDocker::Run(const ProcessSpec& spec) {
  runs.push_back(spec);
  const auto& argv = spec.argv;
  if (argv[0] != "docker") return other ? other(spec) : absl::NotFoundError("there is no such program");
  if (!installed) return absl::NotFoundError("there is no program docker in PATH");
  const auto failed = [](const std::string& words) {
    ProcessResult result;
    result.exit_code = 1;
    result.error_output = words;
    return result;
  };
  if (!daemon)
    return failed("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is it running?\n");
  const auto said = [](const std::string& words) {
    ProcessResult result;
    result.output = words;
    return result;
  };
  const std::string command = argv[1];
  if (command == "version") return said("20.10.24\n");
  if (command == "image" && argv[2] == "inspect") {
    const auto it = images.find(argv.back());
    if (it == images.end()) {
      const auto by_id = std::find_if(images.begin(), images.end(), [&](const auto& i) { return i.second == argv.back(); });
      if (by_id == images.end()) return failed(absl::StrCat("Error: No such image: ", argv.back()));
    }
    if (absl::StrContains(argv[4], ".Config.Entrypoint")) return said(image_command);
    return said(absl::StrCat(it == images.end() ? argv.back() : it->second, " 1000\n"));
  }
  if (command == "image" && argv[2] == "ls") {
    // --filter reference=PREFIX/*
    const std::string prefix = argv[4].substr(10, argv[4].size() - 11);
    std::string words;
    for (const auto& [reference, id] : images) {
      if (absl::StartsWith(reference, prefix)) absl::StrAppend(&words, reference, "\n");
    }
    return said(words);
  }
  if (command == "pull") return failed("Error response from daemon: Get https://registry: no route to host");
  if (command == "build") {
    if (build_result.exit_code != 0) return build_result;
    std::string tag;
    for (std::size_t i = 0; i + 1 < argv.size(); ++i) {
      if (argv[i] == "--tag") tag = argv[i + 1];
      if (argv[i] == "--file") {
        std::ifstream file(argv[i + 1]);
        std::ostringstream text;
        text << file.rdbuf();
        dockerfile = text.str();
      }
    }
    context.clear();
    for (const auto& entry : fs::recursive_directory_iterator(argv.back())) {
      context.push_back(entry.path().lexically_relative(argv.back()).string());
    }
    std::sort(context.begin(), context.end());
    images[tag] = "sha256:" + Sha256Hex(absl::StrCat(tag, dockerfile));
    return said("built\n");
  }
  if (command == "create") {
    EXPECT_EQ(argv[2], "--name");
    const std::string id = argv[3];
    containers[id] = {};
    return said(id + "\n");
  }
  if (command == "cp" && argv[2] == "--follow-link") {
    const auto file = image_files.find(argv[3].substr(argv[3].find(':') + 1));
    if (file == image_files.end()) return failed("Error: No such container:path: " + argv[3]);
    std::ofstream(argv[4], std::ios::binary) << file->second;
    return said("");
  }
  if (command == "cp") {
    if (absl::StrContains(argv[3], ":")) {
      const std::string source =
          absl::EndsWith(argv[2], "/.") ? argv[2].substr(0, argv[2].size() - 2) : argv[2];
      if (fs::is_directory(source)) {
        for (const auto& entry : fs::directory_iterator(source)) copied_in.push_back(entry.path().filename());
      } else {
        copied_in.push_back(source);
      }
      return said("");
    }
    fs::create_directories(fs::path(argv[3]) / "classes");
    for (const std::string& jar : built_jars) std::ofstream(fs::path(argv[3]) / jar) << "jar";
    return said("");
  }
  if (command == "start" && argv[2] == "--attach") {
    if (maven_results.empty()) return said("");
    const ProcessResult result = maven_results.front();
    maven_results.erase(maven_results.begin());
    return result;
  }
  if (command == "start" || command == "kill") return said("");
  if (command == "rm") {
    for (std::size_t i = 4; i < argv.size(); ++i) containers.erase(argv[i]);
    return said("");
  }
  if (command == "rmi") {
    return images.erase(argv[2]) == 1 ? said("") : failed("Error: No such image");
  }
  if (command == "save") {
    if (spec.on_output) {
      const absl::Status status = spec.on_output(archive);
      if (!status.ok()) return status;
    }
    return said("");
  }
  if (command == "ps") {
    std::string words;
    for (const auto& [id, labels] : containers) {
      bool all = true;
      for (const std::string& argument : argv) {
        if (!absl::StartsWith(argument, "label=")) continue;
        all = all && std::find(labels.begin(), labels.end(), argument.substr(6)) != labels.end();
      }
      if (all) absl::StrAppend(&words, id, "\n");
    }
    return said(words);
  }
  return failed(absl::StrCat("unexpected: docker ", command));
}

std::vector<std::string> FakeDocker::RunsOf(const std::string& prefix) const {
  std::vector<std::string> found;
  for (const ProcessSpec& spec : runs) {
    const std::string line = absl::StrJoin(spec.argv, " ");
    if (absl::StartsWith(line, prefix)) found.push_back(line);
  }
  return found;
}

TestEnvironment::TestEnvironment() {
  client->server_info.set_version("0.1.0");
  client->server_info.set_node_pinning(true);
}

int TestEnvironment::Run(const std::vector<std::string>& arguments) {
  Environment environment{
      .in = in,
      .out = out,
      .err = err,
      .out_terminal = out_terminal,
      .err_terminal = {},
      .variable = [this](const std::string& name) -> std::optional<std::string> {
        const auto it = variables.find(name);
        if (it == variables.end()) return std::nullopt;
        return it->second;
      },
      .ask_hidden = typed.has_value() ? std::function<std::optional<std::string>(const std::string&)>(
                                            [this](const std::string& asked) {
                                              prompt = asked;
                                              return typed;
                                            })
                                      : nullptr,
      .connect = [this](const ConnectionOptions& options) -> absl::StatusOr<std::shared_ptr<GatewayClient>> {
        connected = options;
        return std::shared_ptr<GatewayClient>(client);
      },
      .processes = docker,
      .metrics = metrics,
      .clock = clock,
      .interrupt = interrupt,
  };
  return RunCli(arguments, environment);
}

TempDirectory::TempDirectory() {
  std::string path = (fs::temp_directory_path() / "thaw-cli-test-XXXXXX").string();
  path_ = mkdtemp(path.data());
}

TempDirectory::~TempDirectory() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void TempDirectory::Write(const std::string& name, const std::string& text) const {
  const fs::path path = fs::path(path_) / name;
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

}  // namespace thaw::cli::testing
