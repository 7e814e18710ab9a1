#include "agent/agent.h"

#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/checkpoint/crac_checkpointer.h"
#include "agent/checkpoint/criu_checkpointer.h"
#include "agent/checkpoint/diagnosis_log.h"
#include "agent/checkpoint/explainer.h"
#include "agent/container/docker_runtime.h"
#include "agent/container/tools.h"
#include "agent/engine/crac_engine.h"
#include "agent/image/image_garbage.h"
#include "agent/instance/unix_slot_init.h"
#include "agent/invoke/unix_function_dialer.h"
#include "agent/metrics.h"
#include "agent/node/node_images.h"
#include "agent/node/node_snapshots.h"
#include "agent/node/scheduler_link.h"
#include "agent/node/snapshot_standing.h"
#include "agent/node/version_file.h"
#include "agent/node/version_news.h"
#include "agent/node/version_saver.h"
#include "agent/pool/container_slots.h"
#include "agent/pool/pool.h"
#include "agent/recovery/recovery.h"
#include "agent/recovery/version_removal.h"
#include "agent/service/functions_service.h"
#include "agent/service/images_service.h"
#include "agent/service/snapshots_service.h"
#include "agent/snapshot/disk_store.h"
#include "agent/snapshot/laid_out.h"
#include "agent/snapshot/quota.h"
#include "agent/start/restorer.h"
#include "agent/start/thaw_starter.h"
#include "agent/transfer/grpc_peers.h"
#include "agent/transfer/image_fetcher.h"
#include "agent/transfer/metrics.h"
#include "agent/transfer/snapshot_fetcher.h"
#include "common/executor/finishes_within.h"
#include "common/executor/thread_pool.h"
#include "common/executor/timer_thread.h"
#include "common/metrics/metrics.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"
#include "common/version/version.h"

namespace thaw::agent {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kEngineLimit = absl::Seconds(10);
constexpr absl::Duration kProbeLimit = absl::Minutes(1);
constexpr absl::Duration kRecoveryLimit = absl::Minutes(2);
constexpr absl::Duration kImageLimit = absl::Minutes(10);
constexpr absl::Duration kHealthInterval = absl::Seconds(5);
// On top of the grace: for what is neither a call nor in vain, resets of slots above all.
constexpr absl::Duration kStopMargin = absl::Seconds(2);
constexpr absl::Duration kGaugeInterval = absl::Milliseconds(500);
constexpr absl::Duration kSweepInterval = absl::Seconds(30);

std::uint64_t DefaultMemoryBudget() {
  std::ifstream meminfo("/proc/meminfo");
  std::string key, unit;
  std::uint64_t kib = 0;
  while (meminfo >> key >> kib >> unit) {
    if (key == "MemAvailable:") return kib * 1024 / 10 * 8;
  }
  return 1ull << 30;
}

absl::Status MakeDirectories(const Paths& paths) {
  std::error_code error;
  fs::create_directories(paths.data(), error);
  for (const std::string& dir : {paths.data() + "/bin", paths.Slots(), paths.Versions()}) {
    if (!error) fs::create_directories(dir, error);
    chmod(dir.c_str(), 0700);
  }
  if (error) {
    return absl::FailedPreconditionError(absl::StrCat("data directory ", paths.data(), " can't be made: ", error.message(),
                                                      "; choose another with --data-dir"));
  }
  chmod(paths.data().c_str(), 0711);
  return absl::OkStatus();
}

// What the containers mount lies in the data directory, which the engine sees too.
absl::StatusOr<std::string> InstallSlotTools(const Options& options, const Paths& paths) {
  std::vector<ToolSource> sources = {{options.init_binary, "init"}};
  if (!options.criu_bundle.empty()) sources.push_back({options.criu_bundle, "criu"});
  if (!options.preload_dir.empty()) sources.push_back({options.preload_dir, "preload"});
  return InstallTools(sources, paths);
}

absl::Status WritePortFile(const std::string& path, int grpc, int metrics) {
  if (path.empty()) return absl::OkStatus();
  const std::string fresh = path + ".new";
  {
    std::ofstream file(fresh);
    file << "grpc=" << grpc << "\nmetrics=" << metrics << "\n";
    if (!file.flush()) return absl::InternalError(absl::StrCat("port file ", path, " can't be written"));
  }
  std::error_code error;
  fs::rename(fresh, path, error);
  if (error) return absl::InternalError(absl::StrCat("port file ", path, " can't be written: ", error.message()));
  return absl::OkStatus();
}

}  // namespace

// Members are declared so that each is destroyed before what it uses; Stop() has ended all threads by then.
class Agent::Parts final : public PoolEvents, public SchedulerCommands {
 public:
  Parts(const Options& options, std::shared_ptr<spdlog::logger> log)
      : options_(options), log_(std::move(log)), paths_(options.data_dir) {}

  absl::Status Start();
  void Stop();
  absl::Duration stop_limit() const { return 2 * options_.stop_grace + kStopMargin; }
  void LogStuck() { log_->error("event=stop_took_too_long limit={}", absl::FormatDuration(stop_limit())); }
  int port() const { return server_->port(); }
  int metrics_port() const { return metrics_server_->port(); }

  // PoolEvents
  void WantsCheckpoint(const std::string& version_id, const std::string& instance_id, std::uint64_t answered,
                       bool manual) override;
  void RestoreMeasured(const thaw::scheduler::v1::RestoreReport& report) override;
  void CheckpointFinished(const std::string& version_id, const std::string& instance_id,
                          const absl::StatusOr<thaw::common::v1::SnapshotInfo>& result) override;
  bool MakeRoom(const std::string& for_version_id, std::uint64_t) override { return pool_->MakeRoom(for_version_id); }

  // SchedulerCommands
  thaw::scheduler::v1::Register MakeRegister() override;
  thaw::scheduler::v1::Heartbeat MakeHeartbeat() override ABSL_LOCKS_EXCLUDED(mu_);
  void OnConnected(const std::vector<std::string>& live_versions) override;
  void OnVersionState(const VersionState& state) override;
  void OnVersionRemoved(const std::string& version_id) override;
  void OnCheckpointGrant(const thaw::scheduler::v1::CheckpointGrant& grant) override;
  void OnRemoveSnapshot(const std::string& snapshot_id) override;

 private:
  absl::Status ProbeEngine();
  absl::Status OpenStore();
  absl::Status Serve();
  void FindVersion(const std::string& version_id, absl::Time deadline,
                   absl::AnyInvocable<void(absl::StatusOr<std::shared_ptr<VersionPool>>)> done);
  // Has the image brought here ahead of the first call, on the transfers' executor.
  void BringImage(const VersionState& state) ABSL_LOCKS_EXCLUDED(mu_);
  // Of the versions with that image.
  std::vector<VersionState> StatesWith(const std::string& image_id) const;
  // Removes images that no version needs, and snapshots beyond the limit, now and again after a while.
  void Sweep();
  void CheckHealth() ABSL_LOCKS_EXCLUDED(mu_);
  void UpdateGauges();
  // On the housekeeping executor, or an error in the log.
  void Later(Executor& executor, const char* what, absl::AnyInvocable<void()> work);

  const Options options_;
  const std::shared_ptr<spdlog::logger> log_;
  const Paths paths_;
  // As InstallTools() names them.
  std::string tools_;
  const RealClock clock_;
  std::shared_ptr<const Security> security_;
  std::shared_ptr<prometheus::Registry> registry_ = std::make_shared<prometheus::Registry>();
  std::unique_ptr<AgentMetrics> metrics_;
  std::unique_ptr<TransferMetrics> transfer_metrics_;
  std::unique_ptr<MetricsServer> metrics_server_;
  std::unique_ptr<MemoryBudget> memory_;
  EngineInfo engine_;
  NodeCpu cpu_;
  Profile profile_;

  std::unique_ptr<TimerThread> timers_;
  std::shared_ptr<ChannelPool> channels_;
  std::unique_ptr<DockerRuntime> runtime_;
  std::unique_ptr<UnixSlotInitConnector> connector_;
  std::unique_ptr<DiskSnapshotStore> store_;
  VersionNews version_news_;
  std::unique_ptr<LaidOutSnapshots> laid_out_;
  std::unique_ptr<SnapshotQuota> quota_;
  std::unique_ptr<SchedulerLink> link_;
  std::unique_ptr<GrpcPeers> peers_;
  std::unique_ptr<ImageFetcher> image_fetcher_;
  std::unique_ptr<SnapshotFetcher> snapshot_fetcher_;
  std::unique_ptr<NodeImages> images_;
  std::unique_ptr<ImageGarbage> image_garbage_;
  std::unique_ptr<NodeSnapshots> snapshots_;
  std::unique_ptr<UnixFunctionDialer> dialer_;
  CriuEngine criu_engine_;
  std::unique_ptr<CracEngine> crac_engine_;
  std::unique_ptr<Engines> engines_;
  std::unique_ptr<Restorer> restorer_;
  std::unique_ptr<ContainerSlots> container_slots_;
  std::unique_ptr<VersionRemoval> slots_;
  std::unique_ptr<ThawStarter> starter_;
  DiagnosisLog diagnoses_;
  std::unique_ptr<CriuCheckpointer> criu_checkpointer_;
  std::unique_ptr<CracCheckpointer> crac_checkpointer_;
  std::unique_ptr<EngineCheckpointer> checkpointer_;
  std::unique_ptr<ThreadPool> starts_, checkpoints_, housekeeping_, transfers_, exports_, disk_;
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<VersionSaver> saver_;
  std::unique_ptr<Explainer> explainer_;
  std::unique_ptr<FunctionsService> functions_service_;
  std::unique_ptr<SnapshotsService> snapshots_service_;
  std::unique_ptr<ImagesService> images_service_;
  std::unique_ptr<RpcServer> server_;

  absl::Mutex mu_;
  std::string unhealthy_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> images_coming_ ABSL_GUARDED_BY(mu_);
  bool stopped_ = false;
};

absl::Status Agent::Parts::Start() {
  RETURN_IF_ERROR(options_.Validate());
  ASSIGN_OR_RETURN(security_, Security::Load(options_.security));
  RETURN_IF_ERROR(security_->CheckListenAddress(options_.listen));
  RETURN_IF_ERROR(security_->CheckPlainListenAddress(options_.metrics_listen));
  ASSIGN_OR_RETURN(cpu_, MakeNodeCpu(ReadHostCpu(), options_.cpu_features));
  log_->info("event=cpu model=\"{}\" level={} limit={} features={}", cpu_.host.model,
             std::string(CpuLevelName(LevelOf(cpu_.reported))), std::string(CpuLevelName(cpu_.limit)), cpu_.reported.size());
  RETURN_IF_ERROR(MakeDirectories(paths_));
  ASSIGN_OR_RETURN(tools_, InstallSlotTools(options_, paths_));
  log_->info("event=tools_installed tools={} criu=\"{}\"", tools_,
             options_.criu_bundle.empty() ? "the images' own, where they have one" : options_.criu_bundle);
  metrics_ = std::make_unique<AgentMetrics>(*registry_);
  transfer_metrics_ = std::make_unique<TransferMetrics>(*registry_);
  memory_ = std::make_unique<MemoryBudget>(options_.memory_limit_bytes != 0 ? options_.memory_limit_bytes
                                                                            : DefaultMemoryBudget());
  timers_ = std::make_unique<TimerThread>();
  channels_ = std::make_shared<ChannelPool>(security_);
  RETURN_IF_ERROR(ProbeEngine());
  RETURN_IF_ERROR(OpenStore());

  connector_ = std::make_unique<UnixSlotInitConnector>();
  SchedulerLink::Options link;
  link.address = options_.scheduler;
  link.node_id = options_.node_id;
  link_ = std::make_unique<SchedulerLink>(link, channels_, *this, *timers_, *metrics_, log_);
  peers_ = std::make_unique<GrpcPeers>(channels_);
  image_fetcher_ = std::make_unique<ImageFetcher>(*runtime_, *peers_, *transfer_metrics_);
  images_ = std::make_unique<NodeImages>(
      *image_fetcher_, clock_, options_.node_id,
      [this](const std::string& image_id, const std::string& reference, bool brought) {
        image_garbage_->Noted(image_id, reference, brought);
      });
  image_garbage_ = std::make_unique<ImageGarbage>(
      ImageGarbage::Options{paths_.Images(), options_.unused_image_time},
      ImageGarbage::Deps{*runtime_, *images_, [this](const std::string& image_id) { return !StatesWith(image_id).empty(); },
                         [this] { return link_->connected(); },
                         [this](const std::string& image_id) {
                           for (const VersionState& state : StatesWith(image_id)) BringImage(state);
                         },
                         *metrics_->images_removed, clock_, log_});
  ASSIGN_OR_RETURN(const std::vector<std::string> image_ids, runtime_->ListImageIds(clock_.Now() + kEngineLimit));
  images_->AddKnown(image_ids);
  utsname host;
  uname(&host);
  SnapshotFetcher::Options fetcher;
  fetcher.architecture = host.machine;
  snapshot_fetcher_ = std::make_unique<SnapshotFetcher>(fetcher, *store_, *peers_, *transfer_metrics_);
  snapshots_ = std::make_unique<NodeSnapshots>(*snapshot_fetcher_, *link_, options_.node_id);
  UnixFunctionDialer::Options dialer;
  dialer.limits.max_answer_bytes = options_.max_body_bytes;
  dialer_ = std::make_unique<UnixFunctionDialer>(dialer);
  crac_engine_ = std::make_unique<CracEngine>(options_.allow_crac_engine, paths_);
  engines_ = std::make_unique<Engines>(criu_engine_, *crac_engine_);
  restorer_ = std::make_unique<Restorer>(*dialer_, clock_, *engines_);

  ContainerSlots::Options slots;
  slots.node_id = options_.node_id;
  slots.profile = profile_;
  slots.network = options_.network;
  slots.tools = tools_;
  container_slots_ = std::make_unique<ContainerSlots>(
      slots, ContainerSlots::Deps{*runtime_, *connector_, *images_, clock_, paths_, log_});
  slots_ = std::make_unique<VersionRemoval>(
      VersionRemoval::Deps{*container_slots_, *store_, paths_, clock_, log_});
  ThawStarter::Options starter;
  starter.has_preload = !options_.preload_dir.empty();
  starter.restore_limit = options_.restore_limit;
  starter.node_id = options_.node_id;
  starter.cpu = cpu_;
  starter.listen_limit = options_.listen_limit;
  starter_ = std::make_unique<ThawStarter>(
      starter, ThawStarter::Deps{*slots_, *store_, *snapshots_, *images_, *restorer_, *engines_, *metrics_,
                                     clock_, paths_, log_});
  CriuCheckpointer::Options checkpointer;
  checkpointer.node_id = options_.node_id;
  checkpointer.cpu = cpu_;
  checkpointer.dump_limit = options_.dump_limit;
  criu_checkpointer_ = std::make_unique<CriuCheckpointer>(
      checkpointer, CriuCheckpointer::Deps{*store_, *slots_, *images_, *restorer_, clock_, paths_, log_,
                                           &diagnoses_, metrics_.get()});
  CracCheckpointer::Options crac;
  crac.node_id = options_.node_id;
  crac.dump_limit = options_.dump_limit;
  crac_checkpointer_ = std::make_unique<CracCheckpointer>(
      crac, CracCheckpointer::Deps{*crac_engine_, *images_, *restorer_, *criu_checkpointer_, clock_, paths_, &diagnoses_});
  checkpointer_ = std::make_unique<EngineCheckpointer>(*criu_checkpointer_, *crac_checkpointer_);

  const std::size_t cpus = std::max(1u, std::thread::hardware_concurrency());
  starts_ = std::make_unique<ThreadPool>(ThreadPool::Options{"starts", 4 + 2 * cpus, 4096});
  // One at a time: a checkpoint is never urgent, and two would slow the calls twice.
  checkpoints_ = std::make_unique<ThreadPool>(ThreadPool::Options{"checkpoints", 1, 256});
  housekeeping_ = std::make_unique<ThreadPool>(ThreadPool::Options{"housekeeping", 4, 100000});
  transfers_ = std::make_unique<ThreadPool>(ThreadPool::Options{"transfers", 4, 1024});
  // Not on `transfers_`: two agents that fetch from each other would wait for each other's threads.
  exports_ = std::make_unique<ThreadPool>(ThreadPool::Options{"exports", 4, 64});
  disk_ = std::make_unique<ThreadPool>(ThreadPool::Options{"disk", 4, 4096});
  PoolOptions pool;
  pool.max_instances_per_version =
      options_.max_instances_per_function != 0 ? options_.max_instances_per_function : 2 * cpus;
  pool.max_waiting_calls = options_.max_waiting_calls;
  pool.spare_slot_time = options_.spare_slot_time;
  pool_ = std::make_unique<Pool>(pool, PoolDeps{*starter_, *checkpointer_, *slots_, *this, *memory_, *metrics_, *starts_,
                                                *checkpoints_, *housekeeping_, *timers_, clock_, log_});

  saver_ = std::make_unique<VersionSaver>(
      paths_.VersionStates(), [this] { return pool_->States(); }, *housekeeping_, log_);

  ASSIGN_OR_RETURN(const std::vector<VersionState> known, LoadVersionFile(paths_.VersionStates()));
  // No slots are made before the old ones were found: recovery takes what it finds half made for rubbish.
  for (VersionState state : known) {
    state.set_desired_slots(0);
    pool_->Apply(state);
  }
  Recovery recovery(options_.node_id,
                    Recovery::Deps{*runtime_, *connector_, *restorer_, *pool_, *metrics_, clock_, paths_, tools_, log_, *store_});
  RETURN_IF_ERROR(recovery.Run(clock_.Now() + kRecoveryLimit));
  for (const VersionState& state : known) pool_->Apply(state);
  RETURN_IF_ERROR(Serve());
  link_->Start();
  CheckHealth();
  UpdateGauges();
  Sweep();
  return absl::OkStatus();
}

absl::Status Agent::Parts::ProbeEngine() {
  runtime_ = std::make_unique<DockerRuntime>(options_.docker_socket);
  ASSIGN_OR_RETURN(engine_, runtime_->GetEngineInfo(clock_.Now() + kEngineLimit));
  ProfileProbe probe(*runtime_, ProfileProbe::Options{options_.node_id, paths_.Tools(tools_), ""});
  ASSIGN_OR_RETURN(profile_, probe.Choose(options_.profile, clock_.Now() + kProbeLimit));
  log_->info("event=engine version={} cgroup={} profile={} note=\"{}\"", engine_.version, engine_.cgroup_version,
             std::string(profile_.name()), profile_.note);
  return absl::OkStatus();
}

absl::Status Agent::Parts::OpenStore() {
  DiskSnapshotStore::Options options;
  options.root = paths_.SnapshotStore();
  options.clock = &clock_;
  options.on_stored_bytes = [this](std::uint64_t bytes) { transfer_metrics_->SetStoreBytes(bytes); };
  options.on_quarantined = [this](const std::string& snapshot_id, const std::string& reason) {
    transfer_metrics_->CountQuarantined();
    // While the store is being opened there is no link yet; the registration says what is here.
    if (snapshots_ != nullptr) snapshots_->ReportGone(snapshot_id, reason);
    // Also those that only shared a damaged chunk; recovery sees to what was found at the start.
    if (housekeeping_ != nullptr) {
      Later(*housekeeping_, "remove_laid_out", [this, snapshot_id] {
        const absl::Status removed = laid_out_->RemoveUnlessStored(snapshot_id);
        if (!removed.ok()) {
          log_->error("event=laid_out_snapshot_not_removed snapshot={} error=\"{}\"", snapshot_id, removed.ToString());
        }
      });
    }
  };
  options.make_room = [this](std::uint64_t bytes) { return quota_->MakeRoom(bytes); };
  ASSIGN_OR_RETURN(store_, DiskSnapshotStore::Open(std::move(options)));
  transfer_metrics_->SetStoreQuota(options_.snapshot_store_bytes);
  SnapshotQuota::Options quota;
  quota.bytes = options_.snapshot_store_bytes;
  quota_ = std::make_unique<SnapshotQuota>(
      quota, SnapshotQuota::Deps{
                 *store_,
                 [this](const thaw::common::v1::SnapshotInfo& snapshot) {
                   return StandingOf(snapshot, pool_->States(), options_.node_id);
                 },
                 [this](const std::string& snapshot_id, const std::string& reason) {
                   const absl::Status removed = laid_out_->RemoveUnlessStored(snapshot_id);
                   if (!removed.ok()) {
                     log_->error("event=laid_out_snapshot_not_removed snapshot={} error=\"{}\"", snapshot_id,
                                 removed.ToString());
                   }
                   transfer_metrics_->CountEvicted();
                   snapshots_->ReportGone(snapshot_id, reason);
                 },
                 clock_, log_});
  laid_out_ = std::make_unique<LaidOutSnapshots>(*store_, paths_);
  for (const auto& [snapshot_id, reason] : store_->recovery().quarantined) {
    log_->error("event=snapshot_quarantined_at_start snapshot={} reason=\"{}\"", snapshot_id, reason);
  }
  return absl::OkStatus();
}

absl::Status Agent::Parts::Serve() {
  Explainer::Options explainer;
  explainer.node_id = options_.node_id;
  explainer_ = std::make_unique<Explainer>(explainer, Explainer::Deps{
      [this](const std::string& version_id) -> std::optional<Explainer::Version> {
        const std::shared_ptr<VersionPool> version = pool_->Find(version_id);
        if (version == nullptr) return std::nullopt;
        return Explainer::Version{version->state(), version->ControlDirs(),
                                  [version](const std::string& instance_id, FunctionRequest question,
                                            FunctionConnection::Done done) {
                                    version->Ask(instance_id, std::move(question), std::move(done));
                                  }};
      },
      *connector_, *images_, diagnoses_, clock_});
  FunctionsService::Options functions;
  functions.max_body_bytes = options_.max_body_bytes;
  functions_service_ = std::make_unique<FunctionsService>(
      functions, security_, *pool_,
      [this](const std::string& version_id, absl::Time deadline,
             absl::AnyInvocable<void(absl::StatusOr<std::shared_ptr<VersionPool>>)> done) {
        FindVersion(version_id, deadline, std::move(done));
      },
      *disk_, *timers_, [this](const std::string& version_id) { return explainer_->Explain(version_id); });
  snapshots_service_ = std::make_unique<SnapshotsService>(*store_, security_, *disk_, *transfer_metrics_);
  ImagesService::Options images;
  images.on_asked_for = [this](const std::string& image_id) { image_garbage_->AskedFor(image_id); };
  images.on_brought = [this](const std::string& image_id, const std::string& reference) {
    image_garbage_->Noted(image_id, reference, /*brought=*/true);
  };
  images_service_ = std::make_unique<ImagesService>(images, *runtime_, security_, *exports_, *transfer_metrics_);
  ASSIGN_OR_RETURN(metrics_server_, MetricsServer::Create(options_.metrics_listen, registry_));
  RpcServer::Options server;
  server.listen_address = options_.listen;
  server.max_message_bytes = static_cast<int>(options_.max_body_bytes + (4u << 20));
  ASSIGN_OR_RETURN(server_, RpcServer::Start(server, *security_,
                                             {functions_service_.get(), snapshots_service_.get(), images_service_.get()}));
  log_->info("event=ready node={} listen_port={} metrics_port={}", options_.node_id, server_->port(),
             metrics_server_->port());
  return WritePortFile(options_.port_file, server_->port(), metrics_server_->port());
}

void Agent::Parts::Stop() {
  if (std::exchange(stopped_, true)) return;
  // First: whatever comes, the next start is to know the versions. What changes in the rest of this is said
  // again by the scheduler. Not where the start failed: then what is known here is less than what the file
  // has.
  if (server_ != nullptr) saver_->Save();
  if (server_ != nullptr) {
    link_->Drain();
    server_->Shutdown(options_.stop_grace);
  }
  if (link_ != nullptr) link_->Stop();
  // Before the executors go: calls that nobody waits for (priming) go on beyond the server's end, and their
  // ends have work for the executors. Whoever waits in one of those for a function is answered by it, too.
  if (dialer_ != nullptr) dialer_->Close();
  // What is queued for these nobody waits for any more: the RPCs have ended with the server, and what waits
  // in the pools for an instance with its RPC. All of it before the first is waited for. Housekeeping runs
  // what it has, as slots that are not emptied are found in use by the next start.
  for (ThreadPool* pool : {starts_.get(), checkpoints_.get(), transfers_.get(), exports_.get(), disk_.get()}) {
    if (pool != nullptr) pool->Close();
  }
  if (peers_ != nullptr) peers_->Cancel();
  for (ThreadPool* pool : {starts_.get(), checkpoints_.get(), transfers_.get(), exports_.get(), disk_.get(), housekeeping_.get()}) {
    if (pool != nullptr) pool->Shutdown();
  }
  // Timed work may name any part: none runs while they go.
  if (timers_ != nullptr) timers_->Stop();
  // Nobody is left who could call a function.
  if (dialer_ != nullptr) dialer_->Join();
}

void Agent::Parts::Later(Executor& executor, const char* what, absl::AnyInvocable<void()> work) {
  const absl::Status queued = executor.Add(std::move(work));
  if (!queued.ok()) log_->error("event=not_queued what={} error=\"{}\"", what, queued.ToString());
}

void Agent::Parts::FindVersion(const std::string& version_id, absl::Time deadline,
                               absl::AnyInvocable<void(absl::StatusOr<std::shared_ptr<VersionPool>>)> done) {
  std::shared_ptr<VersionPool> pool = pool_->Find(version_id);
  if (pool != nullptr) {
    done(std::move(pool));
    return;
  }
  auto question = std::make_shared<VersionNews::Question>(version_news_, version_id);
  link_->GetVersion(version_id, deadline, [this, version_id, question = std::move(question),
                                           done = std::move(done)](absl::StatusOr<VersionState> state) mutable {
    if (!state.ok()) {
      done(state.status());
      return;
    }
    std::shared_ptr<VersionPool> pool;
    if (!question->ApplyAnswer([&] { pool = pool_->Apply(*state); })) pool = pool_->Find(version_id);
    if (pool == nullptr) {
      done(WithReason(absl::NotFoundError(absl::StrCat("version ", version_id, " was removed while the scheduler was "
                                                       "asked for it; nothing was called")),
                      reason::kFunctionNotFound));
      return;
    }
    done(std::move(pool));
  });
}

// ---------------------------------------------------------------- the pool's news

void Agent::Parts::WantsCheckpoint(const std::string& version_id, const std::string& instance_id,
                                   std::uint64_t answered, bool manual) {
  thaw::scheduler::v1::NodeMessage message;
  message.mutable_checkpoint_request()->set_version_id(version_id);
  message.mutable_checkpoint_request()->set_instance_id(instance_id);
  message.mutable_checkpoint_request()->set_answered(answered);
  message.mutable_checkpoint_request()->set_manual(manual);
  link_->Send(std::move(message));
}

void Agent::Parts::RestoreMeasured(const thaw::scheduler::v1::RestoreReport& report) {
  thaw::scheduler::v1::NodeMessage message;
  *message.mutable_restore_report() = report;
  link_->Send(std::move(message));
}

void Agent::Parts::CheckpointFinished(const std::string& version_id, const std::string& instance_id,
                                      const absl::StatusOr<thaw::common::v1::SnapshotInfo>& result) {
  thaw::scheduler::v1::NodeMessage message;
  auto& finished = *message.mutable_checkpoint_result();
  finished.set_version_id(version_id);
  finished.set_instance_id(instance_id);
  if (result.ok()) {
    *finished.mutable_snapshot() = *result;
  } else {
    finished.set_error(std::string(result.status().message()));
  }
  link_->Send(std::move(message));
}

// ---------------------------------------------------------------- the scheduler's words

thaw::scheduler::v1::Register Agent::Parts::MakeRegister() {
  thaw::scheduler::v1::Register message;
  auto& node = *message.mutable_node();
  node.set_id(options_.node_id);
  node.set_address(!options_.advertise.empty() ? options_.advertise : absl::StrCat("127.0.0.1:", server_->port()));
  node.set_memory_total_bytes(memory_->total());
  node.set_memory_reserved_bytes(memory_->reserved());
  node.set_cpus(std::max(1u, std::thread::hardware_concurrency()));
  node.set_container_profile(std::string(profile_.name()));
  node.set_profile_note(profile_.note);
  node.set_agent_version(kVersion);
  node.MergeFrom(cpu_.AsNode(options_.node_id));
  utsname host;
  uname(&host);
  node.set_kernel(host.release);
  for (auto& snapshot : store_->List()) *message.add_snapshots() = std::move(snapshot);
  for (const std::string& image_id : images_->Known()) message.add_image_ids(image_id);
  return message;
}

thaw::scheduler::v1::Heartbeat Agent::Parts::MakeHeartbeat() {
  thaw::scheduler::v1::Heartbeat beat;
  beat.set_memory_reserved_bytes(memory_->reserved());
  beat.set_snapshots(static_cast<std::uint32_t>(store_->List().size()));
  for (const auto& [version_id, load] : pool_->Loads()) {
    auto& version = *beat.add_versions();
    version.set_version_id(version_id);
    version.set_instances(static_cast<std::uint32_t>(load.instances));
    version.set_busy(static_cast<std::uint32_t>(load.busy));
    version.set_slots(static_cast<std::uint32_t>(load.empty_slots));
    version.set_waiting_calls(static_cast<std::uint32_t>(load.waiting));
  }
  absl::MutexLock lock(&mu_);
  beat.set_unhealthy_reason(unhealthy_);
  return beat;
}

void Agent::Parts::OnConnected(const std::vector<std::string>& live_versions) {
  image_garbage_->Connected();
  const std::set<std::string> live(live_versions.begin(), live_versions.end());
  for (const VersionState& state : pool_->States()) {
    if (!live.contains(state.spec().version_id())) OnVersionRemoved(state.spec().version_id());
  }
  pool_->ForgetCheckpointRequests();
}

void Agent::Parts::OnVersionState(const VersionState& state) {
  version_news_.Apply(state.spec().version_id(), [&] { pool_->Apply(state); });
  BringImage(state);
  saver_->Changed();
}

void Agent::Parts::BringImage(const VersionState& state) {
  const std::string& image_id = state.spec().image_id();
  // What was seen a while ago may have been removed, by a person or by another agent on the same engine.
  if (image_id.empty() || images_->IsTrusted(image_id)) return;
  {
    absl::MutexLock lock(&mu_);
    if (!images_coming_.insert(image_id).second) return;
  }
  // The scheduler has heard of it.
  const bool told = images_->IsKnown(image_id);
  Later(*transfers_, "bring_image", [this, state, image_id, told] {
    const absl::Status brought = images_->Ensure(state, clock_.Now() + kImageLimit).status();
    {
      absl::MutexLock lock(&mu_);
      images_coming_.erase(image_id);
    }
    if (!brought.ok()) {
      // The next word on this version (a new holder, say) or its first call tries again.
      log_->warn("event=image_not_here image={} error=\"{}\"", image_id, brought.ToString());
      return;
    }
    if (told) return;
    thaw::scheduler::v1::NodeMessage held;
    held.mutable_image_held()->set_image_id(image_id);
    link_->Send(std::move(held));
  });
}

std::vector<VersionState> Agent::Parts::StatesWith(const std::string& image_id) const {
  std::vector<VersionState> states;
  for (VersionState& state : pool_->States()) {
    if (state.spec().image_id() == image_id) states.push_back(std::move(state));
  }
  return states;
}

void Agent::Parts::Sweep() {
  const absl::Duration pause = std::clamp(options_.unused_image_time / 4, absl::Milliseconds(500), kSweepInterval);
  timers_->RunAfter(pause, [this] {
    Later(*housekeeping_, "sweep", [this] {
      image_garbage_->Sweep();
      // Over its limit after the operator has lowered that, or because snapshots were current when others came.
      store_->MakeRoom(0).IgnoreError();
      Sweep();
    });
  });
}

void Agent::Parts::OnVersionRemoved(const std::string& version_id) {
  log_->info("event=version_removed version={}", version_id);
  const auto drained = [this, version_id] {
    Later(*housekeeping_, "remove_version", [this, version_id] {
      const std::vector<std::string> removed = slots_->Remove(*pool_, version_id);
      // Back since then: the scheduler is not to name this node as a holder.
      if (pool_->Find(version_id) != nullptr) {
        for (const std::string& snapshot_id : removed) {
          snapshots_->ReportGone(snapshot_id, "its version was removed here");
        }
      }
      saver_->Changed();
    });
  };
  version_news_.Apply(version_id, [&] { pool_->Remove(version_id, drained); });
}

void Agent::Parts::OnCheckpointGrant(const thaw::scheduler::v1::CheckpointGrant& grant) {
  const std::shared_ptr<VersionPool> pool = pool_->Find(grant.version_id());
  if (pool == nullptr) return;
  pool->OnCheckpointGrant(grant.instance_id(), grant.granted(), FromProto(grant.retry_after()), grant.reason());
}

void Agent::Parts::OnRemoveSnapshot(const std::string& snapshot_id) {
  Later(*housekeeping_, "remove_snapshot", [this, snapshot_id] {
    const absl::Status removed = laid_out_->RemoveSnapshot(snapshot_id);
    if (!removed.ok()) log_->error("event=snapshot_not_removed snapshot={} error=\"{}\"", snapshot_id, removed.ToString());
  });
}

void Agent::Parts::CheckHealth() {
  timers_->RunAfter(kHealthInterval, [this] {
    Later(*housekeeping_, "health", [this] {
      const absl::Status health = runtime_->GetEngineInfo(clock_.Now() + kEngineLimit).status();
      {
        absl::MutexLock lock(&mu_);
        unhealthy_ = health.ok() ? "" : std::string(health.message());
      }
      CheckHealth();
    });
  });
}

void Agent::Parts::UpdateGauges() {
  VersionLoad all;
  for (const auto& [id, load] : pool_->Loads()) {
    all.instances += load.instances;
    all.starting += load.starting;
    all.idle += load.idle;
    all.busy += load.busy;
    all.checkpointing += load.checkpointing;
    all.empty_slots += load.empty_slots;
    all.waiting += load.waiting;
  }
  metrics_->instances_starting->Set(static_cast<double>(all.starting));
  metrics_->instances_idle->Set(static_cast<double>(all.idle));
  metrics_->instances_busy->Set(static_cast<double>(all.busy));
  metrics_->instances_checkpointing->Set(static_cast<double>(all.checkpointing));
  metrics_->slots_empty->Set(static_cast<double>(all.empty_slots));
  metrics_->slots_occupied->Set(static_cast<double>(all.instances));
  metrics_->waiting_calls->Set(static_cast<double>(all.waiting));
  metrics_->memory_reserved_bytes->Set(static_cast<double>(memory_->reserved()));
  timers_->RunAfter(kGaugeInterval, [this] { UpdateGauges(); });
}

// ----------------------------------------------------------------

Agent::Agent(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Agent::~Agent() {
  if (parts_ != nullptr) (void)Stop();
}

absl::StatusOr<std::unique_ptr<Agent>> Agent::Start(const Options& options, std::shared_ptr<spdlog::logger> log) {
  auto parts = std::make_unique<Parts>(options, std::move(log));
  const absl::Status started = parts->Start();
  std::unique_ptr<Agent> agent(new Agent(std::move(parts)));
  if (!started.ok()) return started;
  return agent;
}

int Agent::port() const { return parts_->port(); }
int Agent::metrics_port() const { return parts_->metrics_port(); }

bool Agent::Stop() {
  if (parts_ == nullptr) return false;
  Parts* const parts = parts_.get();
  if (FinishesWithin(parts->stop_limit(), [parts] { parts->Stop(); })) return true;
  parts->LogStuck();
  // Never destroyed: threads use it.
  (void)parts_.release();
  return false;
}

}  // namespace thaw::agent
