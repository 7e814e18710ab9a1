#include "scheduler/membership/cluster.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/ids/ids.h"
#include "common/rpc/client.h"
#include "common/status/status_macros.h"
#include "scheduler/catalogue/validation.h"
#include "scheduler/errors.h"
#include "scheduler/limits.h"
#include "scheduler/membership/fitting.h"

namespace thaw::scheduler {
namespace {

using google::protobuf::util::MessageDifferencer;

// Text of others as one value of a log line.
std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"", absl::CEscape(text.substr(0, limits::kMaxReportedErrorBytes)), "\"");
}

v1::SchedulerMessage RemoveSnapshotCommand(const std::string& snapshot_id) {
  v1::SchedulerMessage message;
  message.mutable_remove_snapshot()->set_snapshot_id(snapshot_id);
  return message;
}

v1::SchedulerMessage VersionRemovedNews(const std::string& version_id) {
  v1::SchedulerMessage message;
  message.mutable_version_removed()->set_version_id(version_id);
  return message;
}

// Bounds of a report: what an agent sends at most, and what no call takes.
constexpr int kMostReportedCalls = 100;
constexpr absl::Duration kLongestReported = absl::Minutes(10);

bool MayFreeze(const common::v1::VersionSpec& version) {
  return version.checkpoint().mode() != common::v1::CheckpointPolicy::MODE_NEVER;
}

bool Learns(const common::v1::VersionSpec& version) {
  return version.checkpoint().mode() == common::v1::CheckpointPolicy::MODE_LEARNED;
}

bool Holds(const common::v1::SnapshotInfo& snapshot, absl::string_view node_id) {
  return std::find(snapshot.holders().begin(), snapshot.holders().end(), node_id) != snapshot.holders().end();
}

}  // namespace

Cluster::Cluster(Options options, Deps deps) : options_(options), deps_(std::move(deps)) {
  deps_.catalogue.SetListener(this);
  PublishAll();
}

absl::StatusOr<Cluster::Session> Cluster::Connect(const v1::Register& registration, std::shared_ptr<NodeLink> link) {
  const common::v1::Node& node = registration.node();
  if (!IsSafeName(node.id())) {
    return errors::InvalidField("node.id", absl::StrCat("'", absl::CEscape(absl::string_view(node.id()).substr(0, 128)),
                                                        "' is not one; use 1 to 128 letters, digits, '_', '.', '-', "
                                                        "beginning with a letter or digit"));
  }
  if (node.address().empty() || !absl::StrContains(node.address(), ':')) {
    return errors::InvalidField("node.address", absl::StrCat("'", node.address(), "' is not host:port; set the agent's "
                                                             "advertised address"));
  }
  Session session{0, node.id()};
  {
    absl::MutexLock lock(&mu_);
    if (stopped_) return errors::Stopping();
    session.id = ++last_session_;
  }

  std::vector<common::v1::SnapshotInfo> held;
  std::set<std::string> dead_versions;
  for (const auto& snapshot : registration.snapshots()) {
    if (absl::Status status = CheckReportedSnapshot(snapshot); !status.ok()) {
      deps_.logger->warn("event=snapshot_ignored node={} error={}", node.id(), Quoted(status.message()));
      continue;
    }
    held.push_back(snapshot);
    if (deps_.catalogue.FindVersion(snapshot.version_id()) == nullptr) dead_versions.insert(snapshot.version_id());
  }
  ASSIGN_OR_RETURN(const SnapshotCatalogue::Reconciliation reconciled,
                   deps_.snapshots.Reconcile(
                       node.id(), held, [this](absl::string_view id) { return deps_.catalogue.FindVersion(id); },
                       [this](const common::v1::SnapshotInfo& snapshot) { return IsUsable(snapshot); }));
  RETURN_IF_ERROR(deps_.store.Apply(WriteBatch().Put(node)));
  std::optional<NodeTable::Transition> transition;
  RETURN_IF_ERROR(deps_.nodes.Register(registration, session.id, transition));

  std::shared_ptr<NodeLink> replaced;
  bool stopped = false;
  {
    absl::MutexLock lock(&mu_);
    stopped = stopped_;
    Stream& stream = streams_[node.id()];
    replaced = std::move(stream.link);
    stream = Stream{session.id, link, node, {}};
    v1::SchedulerMessage welcome;
    *welcome.mutable_welcome()->mutable_heartbeat_interval() = ToProto(options_.heartbeat_interval);
    *welcome.mutable_welcome()->mutable_lost_after() = ToProto(options_.lost_after);
    for (const auto& [id, state] : published_) welcome.mutable_welcome()->add_version_ids(id);
    link->Send(std::move(welcome));
    for (const auto& [id, state] : published_) {
      const auto freezer = freezers_.find(id);
      link->Send(StateFor(node, state, freezer == freezers_.end() ? "" : freezer->second));
    }
    for (const auto& id : dead_versions) {
      stream.told_removed.insert(id);
      link->Send(VersionRemovedNews(id));
    }
    for (const auto& id : reconciled.unwanted_snapshot_ids) link->Send(RemoveSnapshotCommand(id));
  }
  if (replaced != nullptr) {
    deps_.logger->warn("event=node_stream_replaced node={}", node.id());
    replaced->Close(absl::AbortedError(
        absl::StrCat("node '", node.id(), "' connected again; if two agents share that id, give one another")));
  }
  if (stopped) link->Close(errors::Stopping());
  deps_.logger->info("event=node_registered node={} address={} memory_bytes={} cpus={} snapshots={} images={} unwanted={}",
                     node.id(), Quoted(node.address()), node.memory_total_bytes(), node.cpus(), held.size(),
                     registration.image_ids_size(), reconciled.unwanted_snapshot_ids.size());
  if (transition.has_value()) HandleTransition(*transition);
  // Its address, images and copies may all be others than before.
  PublishAll();
  return session;
}

bool Cluster::NeedsWriter(const v1::NodeMessage& message) {
  return message.has_checkpoint_result() || message.has_snapshot_held() || message.has_snapshot_gone() ||
         message.has_restore_report();
}

absl::Status Cluster::OnMessage(const Session& session, const v1::NodeMessage& message) {
  if (!message.has_heartbeat()) {
    if (auto transition = deps_.nodes.OnMessage(session.node_id, session.id); transition.has_value()) {
      HandleTransition(*transition);
    }
  }
  switch (message.message_case()) {
    case v1::NodeMessage::kHeartbeat:
      OnHeartbeat(session, message.heartbeat());
      return absl::OkStatus();
    case v1::NodeMessage::kCheckpointRequest:
      OnCheckpointRequest(session, message.checkpoint_request());
      return absl::OkStatus();
    case v1::NodeMessage::kCheckpointResult:
      return OnCheckpointResult(session, message.checkpoint_result());
    case v1::NodeMessage::kSnapshotHeld:
      return OnSnapshotHeld(session, message.snapshot_held().snapshot());
    case v1::NodeMessage::kSnapshotGone:
      return OnSnapshotGone(session, message.snapshot_gone());
    case v1::NodeMessage::kImageHeld: {
      const std::string& image_id = message.image_held().image_id();
      if (!deps_.nodes.OnImageHeld(session.node_id, session.id, image_id)) return absl::OkStatus();
      deps_.logger->info("event=image_held node={} image_id={}", session.node_id, Quoted(image_id));
      std::set<std::string> version_ids;
      for (const auto& version : deps_.catalogue.LiveVersions()) {
        if (version->image_id() == image_id) version_ids.insert(version->version_id());
      }
      Publish(version_ids);
      return absl::OkStatus();
    }
    case v1::NodeMessage::kDraining:
      if (auto transition = deps_.nodes.OnStopping(session.node_id, session.id); transition.has_value()) {
        HandleTransition(*transition);
      }
      return absl::OkStatus();
    case v1::NodeMessage::kRestoreReport:
      return OnRestoreReport(session, message.restore_report());
    case v1::NodeMessage::kRegister:
      return errors::InvalidField("message", "is a second registration on one stream; open another stream");
    case v1::NodeMessage::MESSAGE_NOT_SET:
      // One that a newer agent has and this scheduler does not know: no reason to cut the node off.
      deps_.logger->debug("event=unknown_message node={}", session.node_id);
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

void Cluster::Disconnect(const Session& session) {
  {
    absl::MutexLock lock(&mu_);
    const auto it = streams_.find(session.node_id);
    if (it != streams_.end() && it->second.session == session.id) streams_.erase(it);
  }
  if (auto transition = deps_.nodes.OnStreamEnded(session.node_id, session.id); transition.has_value()) {
    HandleTransition(*transition);
  }
}

void Cluster::OnHeartbeat(const Session& session, const v1::Heartbeat& heartbeat) {
  if (auto transition = deps_.nodes.OnHeartbeat(session.node_id, session.id, heartbeat); transition.has_value()) {
    HandleTransition(*transition);
  }
  for (const auto& load : heartbeat.versions()) {
    // A node that missed the removal still runs it.
    if (deps_.catalogue.FindVersion(load.version_id()) == nullptr) TellVersionRemoved(session, load.version_id());
  }
}

void Cluster::OnCheckpointRequest(const Session& session, const v1::CheckpointRequest& request) {
  const VersionPtr version = deps_.catalogue.FindVersion(request.version_id());
  CheckpointGrants::Decision decision;
  if (version == nullptr) {
    decision = deps_.grants.Refuse(GrantOutcome::kRefusedUnknownVersion, "the version is no longer called");
  } else if (!MayFreeze(*version)) {
    decision = deps_.grants.Refuse(GrantOutcome::kRefusedPolicy, "the function's policy is never to freeze it");
  } else {
    bool exists = UsableSnapshot(*version).has_value();
    if (Learns(*version)) {
      std::vector<common::v1::SnapshotInfo> usable = deps_.snapshots.AllOfVersion(version->version_id());
      std::erase_if(usable, [this](const auto& snapshot) { return !IsUsable(snapshot); });
      exists = !Learner(usable).Wants(request.answered());
    }
    decision = deps_.grants.Request(request.version_id(), session.node_id, request.instance_id(), exists,
                                    request.manual());
  }
  deps_.logger->info("event=checkpoint_requested node={} version={} instance={} granted={} reason={}", session.node_id,
                     Quoted(request.version_id()), Quoted(request.instance_id()), decision.granted(),
                     Quoted(decision.reason));
  v1::SchedulerMessage message;
  v1::CheckpointGrant& grant = *message.mutable_checkpoint_grant();
  grant.set_version_id(request.version_id());
  grant.set_instance_id(request.instance_id());
  grant.set_granted(decision.granted());
  if (decision.granted()) *grant.mutable_granted_at() = ToProto(decision.decided_at);
  if (decision.retry_after.has_value()) *grant.mutable_retry_after() = ToProto(*decision.retry_after);
  grant.set_reason(decision.reason);
  SendTo(session.node_id, std::move(message));
}

absl::Status Cluster::OnCheckpointResult(const Session& session, const v1::CheckpointResult& result) {
  if (result.has_snapshot()) {
    if (result.snapshot().version_id() != result.version_id()) {
      return errors::InvalidField("checkpoint_result.snapshot", "is of another version than the result");
    }
    RETURN_IF_ERROR(CheckReportedSnapshot(result.snapshot()));
    const bool manual = deps_.grants.IsManual(result.version_id(), session.node_id, result.instance_id());
    if (deps_.grants.OnPublished(result.version_id())) {
      KeepFailure(CheckpointFailure{result.version_id(), 0, "", absl::InfinitePast()});
    }
    deps_.logger->info("event=checkpoint_published node={} version={} snapshot={} raw_bytes={} stored_bytes={}",
                       session.node_id, result.version_id(), result.snapshot().id(), result.snapshot().raw_bytes(),
                       result.snapshot().stored_bytes());
    return OnSnapshotHeld(session, result.snapshot(), manual);
  }
  if (deps_.catalogue.FindVersion(result.version_id()) == nullptr) return absl::OkStatus();
  const std::string error = result.error().empty() ? "the node gave no reason" : result.error();
  const auto failure =
      deps_.grants.OnFailed(result.version_id(), session.node_id, result.instance_id(),
                            absl::string_view(error).substr(0, limits::kMaxReportedErrorBytes));
  deps_.logger->warn("event=checkpoint_failed node={} version={} instance={} failures={} error={}", session.node_id,
                     result.version_id(), Quoted(result.instance_id()), failure.failures, Quoted(error));
  KeepFailure(failure);
  return absl::OkStatus();
}

absl::Status Cluster::OnSnapshotHeld(const Session& session, const common::v1::SnapshotInfo& snapshot, bool manual) {
  RETURN_IF_ERROR(CheckReportedSnapshot(snapshot));
  const VersionPtr version = deps_.catalogue.FindVersion(snapshot.version_id());
  SnapshotCatalogue::Verdict verdict = SnapshotCatalogue::Verdict::kUnwanted;
  std::map<std::string, std::vector<std::string>> holders_of_displaced;
  if (version != nullptr) {
    const bool is_new = !deps_.snapshots.Get(snapshot.id()).ok();
    for (const auto& other : deps_.snapshots.AllOfVersion(version->version_id())) {
      holders_of_displaced[other.id()].assign(other.holders().begin(), other.holders().end());
    }
    std::vector<std::string> displaced;
    ASSIGN_OR_RETURN(verdict,
                     deps_.snapshots.AddHolder(
                         snapshot, session.node_id, *version,
                         [this](const common::v1::SnapshotInfo& other) { return IsUsable(other); },
                         manual ? SnapshotCatalogue::Entrance::kReplacesAll : SnapshotCatalogue::Entrance::kFreePlace,
                         &displaced));
    std::erase_if(holders_of_displaced, [&](const auto& entry) {
      return std::find(displaced.begin(), displaced.end(), entry.first) == displaced.end();
    });
    if (is_new && verdict == SnapshotCatalogue::Verdict::kKept && Learns(*version)) {
      Learner learner(deps_.snapshots.AllOfVersion(version->version_id()));
      if (manual) {
        // What a person has made is not compared with anything.
        common::v1::SnapshotExperience experience;
        experience.set_role(common::v1::SnapshotExperience::ROLE_CHOSEN);
        experience.set_belief("made by hand; `thaw snapshot rm` begins the comparison anew");
        RETURN_IF_ERROR(deps_.snapshots.SetExperiences({{snapshot.id(), experience}}));
      } else {
        learner.OnCandidate(snapshot.id());
        RETURN_IF_ERROR(KeepLearned(*version, learner));
      }
    }
  } else {
    TellVersionRemoved(session, snapshot.version_id());
  }
  if (verdict == SnapshotCatalogue::Verdict::kUnwanted) {
    deps_.logger->info("event=snapshot_unwanted node={} version={} snapshot={}", session.node_id, snapshot.version_id(),
                       snapshot.id());
    SendTo(session.node_id, RemoveSnapshotCommand(snapshot.id()));
    return absl::OkStatus();
  }
  deps_.logger->info("event=snapshot_held node={} version={} snapshot={}", session.node_id, snapshot.version_id(),
                     snapshot.id());
  // The new state first: a node should not look for a copy that it was just told to remove.
  Publish({snapshot.version_id()});
  for (const auto& [id, node_ids] : holders_of_displaced) {
    for (const std::string& node_id : node_ids) SendTo(node_id, RemoveSnapshotCommand(id));
  }
  return absl::OkStatus();
}

absl::Status Cluster::OnRestoreReport(const Session& session, const v1::RestoreReport& report) {
  const VersionPtr version = deps_.catalogue.FindVersion(report.version_id());
  if (version == nullptr || !Learns(*version) || report.calls().empty() || report.calls_size() > kMostReportedCalls) {
    deps_.metrics.RestoreReported(false);
    return absl::OkStatus();
  }
  const absl::Duration restore = FromProto(report.restore());
  std::vector<absl::Duration> calls;
  bool sane = restore >= absl::ZeroDuration() && restore <= kLongestReported;
  for (const auto& call : report.calls()) {
    calls.push_back(FromProto(call));
    sane = sane && calls.back() >= absl::ZeroDuration() && calls.back() <= kLongestReported;
  }
  Learner learner(deps_.snapshots.AllOfVersion(version->version_id()));
  const common::v1::SnapshotExperience* before = learner.Find(report.snapshot_id());
  deps_.metrics.RestoreReported(sane && before != nullptr);
  if (!sane || before == nullptr) return absl::OkStatus();
  if (learner.settled()) {
    // Its numbers stay those it was settled by; only drift is looked for, in memory.
    if (before->role() != common::v1::SnapshotExperience::ROLE_CHOSEN) return absl::OkStatus();
    // Those of snapshots that are gone.
    if (drift_.size() >= limits::kMaxFunctions) drift_.clear();
    auto& watch = drift_.try_emplace(report.snapshot_id(), FromProto(before->mean_cost())).first->second;
    if (!watch.Add(Learner::CostOf(restore, calls))) return absl::OkStatus();
    drift_.erase(report.snapshot_id());
    deps_.metrics.Learned(LearningDecision::kReopened);
    deps_.logger->warn("event=learning_reopened version={} snapshot={} was={}", version->version_id(),
                       report.snapshot_id(), absl::FormatDuration(FromProto(before->mean_cost())));
    learner.Reopen();
    return KeepLearned(*version, learner);
  }
  const Learner::Decision decision = learner.OnRestore(report.snapshot_id(), restore, calls);
  switch (decision) {
    case Learner::Decision::kNone:
      break;
    case Learner::Decision::kRejected:
      deps_.metrics.Learned(LearningDecision::kRejected);
      break;
    case Learner::Decision::kSettledEarliest:
      deps_.metrics.Learned(LearningDecision::kSettledEarliest);
      break;
    case Learner::Decision::kSettledLater:
      deps_.metrics.Learned(LearningDecision::kSettledLater);
      break;
  }
  if (const auto outcome = learner.outcome(); outcome.has_value()) deps_.metrics.Settled(outcome->arm, outcome->gain);
  if (decision != Learner::Decision::kNone) {
    deps_.logger->info("event=learned node={} version={} snapshot={} settled={} belief={}", session.node_id,
                       version->version_id(), report.snapshot_id(), learner.settled(),
                       Quoted(learner.Find(report.snapshot_id())->belief()));
  }
  return KeepLearned(*version, learner);
}

absl::Status Cluster::KeepLearned(const common::v1::VersionSpec& version, const Learner& learner) {
  std::vector<std::pair<std::string, common::v1::SnapshotExperience>> experiences;
  for (const auto& snapshot : deps_.snapshots.AllOfVersion(version.version_id())) {
    const common::v1::SnapshotExperience* experience = learner.Find(snapshot.id());
    if (experience != nullptr && !MessageDifferencer::Equals(*experience, snapshot.experience())) {
      experiences.emplace_back(snapshot.id(), *experience);
    }
  }
  RETURN_IF_ERROR(deps_.snapshots.SetExperiences(experiences));
  std::map<std::string, std::vector<std::string>> discarded;
  for (const std::string& id : learner.Discarded()) {
    const auto snapshot = deps_.snapshots.Delete(id);
    RETURN_IF_ERROR(snapshot.status());
    discarded[id].assign(snapshot->holders().begin(), snapshot->holders().end());
  }
  Publish({version.version_id()});
  for (const auto& [id, node_ids] : discarded) {
    for (const std::string& node_id : node_ids) SendTo(node_id, RemoveSnapshotCommand(id));
  }
  return absl::OkStatus();
}

void Cluster::DropSurplus(const common::v1::VersionSpec& version) {
  if (Learns(version)) return;
  const auto all = deps_.snapshots.AllOfVersion(version.version_id());
  for (std::size_t i = 0; i < all.size(); ++i) {
    // Learning has ended: nothing of it is shown any more.
    absl::Status done;
    if (i == 0) {
      if (all[i].has_experience()) done = deps_.snapshots.SetExperiences({{all[i].id(), common::v1::SnapshotExperience()}});
    } else {
      done = deps_.snapshots.Delete(all[i].id()).status();
      for (const auto& node_id : all[i].holders()) SendTo(node_id, RemoveSnapshotCommand(all[i].id()));
    }
    if (!done.ok()) {
      deps_.logger->error("event=snapshot_not_dropped snapshot={} error={}", all[i].id(), Quoted(done.message()));
    }
  }
}

absl::Status Cluster::OnSnapshotGone(const Session& session, const v1::SnapshotGone& gone) {
  ASSIGN_OR_RETURN(const std::string version_id, deps_.snapshots.RemoveHolder(gone.snapshot_id(), session.node_id));
  deps_.logger->warn("event=snapshot_gone node={} snapshot={} known={} reason={}", session.node_id,
                     Quoted(gone.snapshot_id()), !version_id.empty(), Quoted(gone.reason()));
  if (!version_id.empty()) Publish({version_id});
  return absl::OkStatus();
}

void Cluster::Tick() {
  const NodeTable::Sweep sweep = deps_.nodes.SweepSilent();
  for (const auto& transition : sweep.transitions) HandleTransition(transition);
  for (const auto& node_id : sweep.forgotten_node_ids) {
    // Dropped only when the queue is full; then the node is forgotten after the next restart.
    if (absl::Status status = deps_.writer.Add([this, node_id] { ForgetNode(node_id); }); !status.ok()) {
      deps_.logger->warn("event=node_not_forgotten node={} error={}", node_id, Quoted(status.message()));
    }
  }
  for (const auto& failure : deps_.grants.ExpireDue()) {
    deps_.logger->warn("event=checkpoint_expired version={} failures={} error={}", failure.version_id, failure.failures,
                       Quoted(failure.last_error));
    if (absl::Status status = deps_.writer.Add([this, failure] { KeepFailure(failure); }); !status.ok()) {
      deps_.logger->warn("event=checkpoint_failure_not_kept version={} error={}", failure.version_id,
                         Quoted(status.message()));
    }
  }
}

absl::Status Cluster::DeleteSnapshot(absl::string_view snapshot_id) {
  ASSIGN_OR_RETURN(const common::v1::SnapshotInfo snapshot, deps_.snapshots.Delete(snapshot_id));
  deps_.logger->info("event=snapshot_deleted snapshot={} version={} holders={}", snapshot.id(), snapshot.version_id(),
                     snapshot.holders_size());
  if (deps_.grants.Forget(snapshot.version_id())) {
    KeepFailure(CheckpointFailure{snapshot.version_id(), 0, "", absl::InfinitePast()});
  }
  // The version's state goes first: a node should not look for a copy it was just told to remove.
  Publish({snapshot.version_id()});
  for (const auto& node_id : snapshot.holders()) SendTo(node_id, RemoveSnapshotCommand(snapshot.id()));
  return absl::OkStatus();
}

absl::StatusOr<common::v1::Secret> Cluster::SetSecret(const common::v1::SetSecretRequest& request) {
  RETURN_IF_ERROR(deps_.catalogue.GetApp(request.app_id(), "").status());
  ASSIGN_OR_RETURN(common::v1::Secret secret, deps_.secrets.Set(request));
  deps_.logger->info("event=secret_set app={} secret={} size_bytes={}", secret.app_id(), secret.name(), secret.size_bytes());
  PublishUsersOf(secret.app_id(), secret.name());
  return secret;
}

absl::Status Cluster::DeleteSecret(const common::v1::DeleteSecretRequest& request) {
  RETURN_IF_ERROR(deps_.catalogue.GetApp(request.app_id(), "").status());
  RETURN_IF_ERROR(deps_.secrets.Delete(request.app_id(), request.name()));
  deps_.logger->info("event=secret_deleted app={} secret={}", request.app_id(), request.name());
  PublishUsersOf(request.app_id(), request.name());
  return absl::OkStatus();
}

absl::StatusOr<v1::VersionState> Cluster::GetVersion(absl::string_view version_id, absl::string_view node_id) const {
  absl::MutexLock lock(&mu_);
  const auto it = published_.find(version_id);
  if (it == published_.end()) return errors::VersionNotFound(version_id);
  const auto stream = streams_.find(std::string(node_id));
  return stream == streams_.end() ? it->second : StateFitting(it->second, stream->second.node);
}

std::optional<common::v1::SnapshotInfo> Cluster::UsableSnapshot(const common::v1::VersionSpec& version) const {
  if (!MayFreeze(version)) return std::nullopt;
  std::optional<common::v1::SnapshotInfo> first;
  std::set<std::string> holders;
  for (auto& snapshot : deps_.snapshots.AllOfVersion(version.version_id())) {
    if (!IsUsable(snapshot)) continue;
    holders.insert(snapshot.holders().begin(), snapshot.holders().end());
    if (!first.has_value()) first = std::move(snapshot);
    if (!Learns(version)) break;
  }
  if (first.has_value()) first->mutable_holders()->Assign(holders.begin(), holders.end());
  return first;
}

std::string Cluster::CheckpointErrorOf(absl::string_view version_id) const {
  const auto failure = deps_.grants.LastFailure(version_id);
  if (!failure.has_value()) return "";
  return absl::StrCat(failure->last_error, " (", failure->failures, " of ", limits::kMaxCheckpointFailures, " tries)");
}

void Cluster::Stop() {
  std::map<std::string, Stream> streams;
  {
    absl::MutexLock lock(&mu_);
    stopped_ = true;
    streams.swap(streams_);
  }
  for (auto& [node_id, stream] : streams) stream.link->Close(errors::Stopping());
}

void Cluster::OnFunctionsChanged(const std::vector<FunctionChange>& changes) {
  std::set<std::string> version_ids;
  std::vector<std::string> function_ids;
  for (const FunctionChange& change : changes) {
    if (const VersionPtr version = deps_.catalogue.FindVersion(change.new_version_id);
        version != nullptr && change.old_version_id == change.new_version_id) {
      DropSurplus(*version);
    }
    function_ids.push_back(change.function_id);
    deps_.logger->info("event=function_changed function={} old_version={} new_version={}", change.function_id,
                       change.old_version_id, change.new_version_id);
    if (!change.new_version_id.empty()) version_ids.insert(change.new_version_id);
    if (change.old_version_id.empty()) continue;
    version_ids.insert(change.old_version_id);
    if (change.old_version_id == change.new_version_id) continue;
    deps_.grants.Forget(change.old_version_id);
    if (absl::Status status = deps_.snapshots.DropVersion(change.old_version_id); !status.ok()) {
      // The function has changed all the same; the next start drops what is left.
      deps_.logger->error("event=version_not_dropped version={} error={}", change.old_version_id,
                          Quoted(status.message()));
    }
  }
  // Nodes first: a gateway that loses its lease comes back with the new version at once.
  Publish(version_ids);
  if (listener_ != nullptr) listener_->OnFunctionsChanged(function_ids);
}

bool Cluster::IsUsable(const common::v1::SnapshotInfo& snapshot) const {
  return std::any_of(snapshot.holders().begin(), snapshot.holders().end(), [this](const std::string& node_id) {
    const common::v1::NodeState state = deps_.nodes.StateOf(node_id);
    return state != common::v1::NODE_STATE_LOST && state != common::v1::NODE_STATE_UNSPECIFIED;
  });
}

v1::VersionState Cluster::BuildState(const common::v1::VersionSpec& version) const {
  v1::VersionState state;
  *state.mutable_spec() = version;
  for (const auto& use : version.freeze().secrets()) {
    if (auto value = deps_.secrets.Value(version.app_id(), use.name()); value.has_value()) {
      (*state.mutable_secrets())[use.name()] = *std::move(value);
    }
  }
  for (const auto& [key, value] : deps_.catalogue.RestoreTimeConfigOf(version.version_id())) {
    (*state.mutable_restore_time_config())[key] = value;
  }
  std::vector<common::v1::SnapshotInfo> usable;
  if (MayFreeze(version)) usable = deps_.snapshots.AllOfVersion(version.version_id());
  std::erase_if(usable, [this](const auto& snapshot) { return !IsUsable(snapshot); });
  const Learner learner(usable);
  if (Learns(version)) {
    for (const std::uint32_t after : learner.FreezeAfter()) state.add_freeze_after(after);
    std::vector<std::string> ids;
    for (const auto& snapshot : usable) ids.push_back(snapshot.id());
    for (const Learner::Share& share : learner.Shares(ids)) {
      v1::Candidate& candidate = *state.add_candidates();
      candidate.set_share(share.thousandths);
      *candidate.mutable_snapshot() = *std::find_if(usable.begin(), usable.end(), [&share](const auto& snapshot) {
        return snapshot.id() == share.snapshot_id;
      });
    }
  }
  // Of no use to nodes, and another with every report.
  for (auto& snapshot : usable) snapshot.clear_experience();
  for (auto& candidate : *state.mutable_candidates()) candidate.mutable_snapshot()->clear_experience();
  if (!usable.empty()) {
    *state.mutable_snapshot() = state.candidates().empty() ? usable.front() : state.candidates(0).snapshot();
    state.set_desired_slots(options_.slots_per_node);
  }
  deps_.nodes.ForEach([&](const NodeTable::Entry& entry) {
    const bool ready = entry.node.state() == common::v1::NODE_STATE_READY;
    // A node that takes no calls still gives away what lies on its disk; its engine may be what is wrong.
    const bool reachable = ready || entry.node.state() == common::v1::NODE_STATE_DRAINING;
    const auto add = [&entry](v1::Holder& holder) {
      holder.set_node_id(entry.node.id());
      holder.set_address(entry.node.address());
    };
    if (ready && entry.image_ids.contains(version.image_id())) add(*state.add_image_holders());
    if (!reachable) return;
    if (state.has_snapshot() && Holds(state.snapshot(), entry.node.id())) add(*state.add_snapshot_holders());
    for (auto& candidate : *state.mutable_candidates()) {
      if (Holds(candidate.snapshot(), entry.node.id())) add(*candidate.add_holders());
    }
  });
  return state;
}

std::string Cluster::FreezerOf(const common::v1::VersionSpec& version) const {
  if (version.checkpoint().mode() != common::v1::CheckpointPolicy::MODE_ON_DEPLOY || UsableSnapshot(version).has_value()) {
    return "";
  }
  // The one with most room of those that have the image: the instance is one that no call has asked for.
  std::string freezer;
  std::uint64_t most_room = 0;
  deps_.nodes.ForEach([&](const NodeTable::Entry& entry) {
    if (entry.node.state() != common::v1::NODE_STATE_READY || !entry.image_ids.contains(version.image_id())) return;
    const std::uint64_t total = entry.node.memory_total_bytes();
    const std::uint64_t room = total - std::min(total, entry.node.memory_reserved_bytes());
    if (!freezer.empty() && room <= most_room) return;
    freezer = entry.node.id();
    most_room = room;
  });
  return freezer;
}

v1::SchedulerMessage Cluster::StateFor(const common::v1::Node& node, const v1::VersionState& state,
                                       const std::string& freezer) {
  v1::SchedulerMessage message;
  *message.mutable_version_state() = StateFitting(state, node);
  message.mutable_version_state()->set_freeze_now(!freezer.empty() && freezer == node.id());
  return message;
}

void Cluster::Publish(const std::set<std::string>& version_ids) {
  absl::MutexLock lock(&mu_);
  for (const auto& version_id : version_ids) {
    const VersionPtr version = deps_.catalogue.FindVersion(version_id);
    const auto it = published_.find(version_id);
    if (version == nullptr) {
      if (it == published_.end()) continue;
      published_.erase(it);
      freezers_.erase(version_id);
      const v1::SchedulerMessage message = VersionRemovedNews(version_id);
      for (auto& [node_id, stream] : streams_) {
        stream.told_removed.insert(version_id);
        stream.link->Send(message);
      }
      continue;
    }
    v1::VersionState state = BuildState(*version);
    std::string& freezer = freezers_[version_id];
    const std::string before = freezer;
    // Who has begun stays the one: another choice with every heartbeat would start as many instances.
    const bool wanted = !FreezerOf(*version).empty();
    const bool still_good = std::any_of(state.image_holders().begin(), state.image_holders().end(),
                                        [&](const v1::Holder& holder) { return holder.node_id() == before; });
    if (!wanted || !still_good) freezer = FreezerOf(*version);
    const bool same = it != published_.end() && MessageDifferencer::Equals(it->second, state) && before == freezer;
    if (!same) {
      for (auto& [node_id, stream] : streams_) {
        stream.told_removed.erase(version_id);
        stream.link->Send(StateFor(stream.node, state, freezer));
      }
      published_[version_id] = std::move(state);
    }
    if (freezer.empty()) freezers_.erase(version_id);
  }
}

void Cluster::PublishAll() {
  std::set<std::string> version_ids;
  for (const auto& version : deps_.catalogue.LiveVersions()) version_ids.insert(version->version_id());
  Publish(version_ids);
}

void Cluster::PublishUsersOf(const std::string& app_id, const std::string& secret) {
  std::set<std::string> version_ids;
  for (const auto& version : deps_.catalogue.LiveVersions()) {
    if (version->app_id() != app_id) continue;
    for (const auto& use : version->freeze().secrets()) {
      if (use.name() == secret) version_ids.insert(version->version_id());
    }
  }
  Publish(version_ids);
}

std::set<std::string> Cluster::VersionsHeldBy(const std::string& node_id) const {
  absl::flat_hash_set<std::string> image_ids;
  deps_.nodes.ForEach([&](const NodeTable::Entry& entry) {
    if (entry.node.id() == node_id) image_ids = entry.image_ids;
  });
  std::set<std::string> version_ids;
  for (const auto& version : deps_.catalogue.LiveVersions()) {
    const auto snapshots = deps_.snapshots.AllOfVersion(version->version_id());
    if (image_ids.contains(version->image_id()) ||
        std::any_of(snapshots.begin(), snapshots.end(), [&](const auto& s) { return Holds(s, node_id); })) {
      version_ids.insert(version->version_id());
    }
  }
  return version_ids;
}

void Cluster::HandleTransition(const NodeTable::Transition& transition) {
  deps_.logger->info("event=node_state node={} from={} to={} reason={}", transition.node_id,
                     common::v1::NodeState_Name(transition.from), common::v1::NodeState_Name(transition.to),
                     Quoted(transition.reason));
  if (transition.to == common::v1::NODE_STATE_LOST) {
    std::shared_ptr<NodeLink> link;
    {
      absl::MutexLock lock(&mu_);
      if (const auto it = streams_.find(transition.node_id); it != streams_.end()) {
        link = std::move(it->second.link);
        streams_.erase(it);
      }
    }
    // An open stream of a silent node: should the node live after all, it registers anew.
    if (link != nullptr) {
      link->Close(absl::UnavailableError(
          absl::StrCat("node '", transition.node_id, "' is taken for lost: ", transition.reason, "; register again")));
    }
    deps_.grants.OnNodeLost(transition.node_id);
    if (listener_ != nullptr) listener_->OnNodeLost(transition.node_id);
  }
  Publish(VersionsHeldBy(transition.node_id));
}

void Cluster::SendTo(const std::string& node_id, v1::SchedulerMessage message) {
  absl::MutexLock lock(&mu_);
  const auto it = streams_.find(node_id);
  if (it != streams_.end()) it->second.link->Send(std::move(message));
}

void Cluster::TellVersionRemoved(const Session& session, const std::string& version_id) {
  absl::MutexLock lock(&mu_);
  const auto it = streams_.find(session.node_id);
  if (it == streams_.end() || it->second.session != session.id) return;
  if (published_.contains(version_id) || !it->second.told_removed.insert(version_id).second) return;
  it->second.link->Send(VersionRemovedNews(version_id));
}

void Cluster::KeepFailure(const CheckpointFailure& failure) {
  WriteBatch batch;
  // A version that went meanwhile took its count along.
  if (failure.failures == 0 || deps_.catalogue.FindVersion(failure.version_id) == nullptr) {
    batch.Remove(WriteBatch::Table::kCheckpointFailure, failure.version_id);
  } else {
    batch.Put(failure);
  }
  if (absl::Status status = deps_.store.Apply(batch); !status.ok()) {
    // The count goes on in memory; only a restart would begin anew.
    deps_.logger->warn("event=checkpoint_failure_not_kept version={} error={}", failure.version_id,
                       Quoted(status.message()));
  }
}

void Cluster::ForgetNode(const std::string& node_id) {
  // It may have come back while this waited in the queue.
  if (deps_.nodes.StateOf(node_id) != common::v1::NODE_STATE_UNSPECIFIED) return;
  const auto changed = deps_.snapshots.ForgetNode(node_id);
  absl::Status status = changed.status();
  if (status.ok()) status = deps_.store.Apply(WriteBatch().Remove(WriteBatch::Table::kNode, node_id));
  if (!status.ok()) {
    deps_.logger->warn("event=node_not_forgotten node={} error={}", node_id, Quoted(status.message()));
    return;
  }
  deps_.logger->info("event=node_forgotten node={}", node_id);
  Publish(*changed);
}

}  // namespace thaw::scheduler
