// Two and three agents' stores and engines, connected by the real services over loopback.
#include <gmock/gmock.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "agent/container/image_archive.h"
#include "agent/service/images_service.h"
#include "agent/service/snapshots_service.h"
#include "agent/snapshot/disk_store.h"
#include "agent/transfer/grpc_peers.h"
#include "agent/transfer/image_fetcher.h"
#include "agent/transfer/snapshot_fetcher.h"
#include "common/crypto/sha256.h"
#include "common/executor/thread_pool.h"
#include "common/metrics/metrics.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "common/rpc/status.h"
#include "common/status/reasons.h"
#include "tests/agent/snapshot/sample_tree.h"
#include "tests/fakes/fake_container_runtime.h"
#include "tests/support/standard_services.h"

namespace thaw::agent {
namespace {

namespace fs = std::filesystem;
using ::thaw::testing::DescribeTree;
using ::thaw::testing::DraftManifest;
using ::thaw::testing::FakeContainerRuntime;
using ::thaw::testing::FlipByte;
using ::thaw::testing::PageLikeBytes;
using ::thaw::testing::TempDir;
using ::thaw::testing::WriteFile;
using ::thaw::testing::WriteSampleTree;
using ::testing::Contains;
using ::thaw::testing::Answers;
using Op = FakeContainerRuntime::Op;

constexpr char kToken[] = "0123456789abcdef-test";

absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

// A store whose reads a test can hold up or count.
class WatchedStore final : public SnapshotStore {
 public:
  explicit WatchedStore(SnapshotStore& store) : store_(store) {}
  std::function<void()> before_read;
  std::atomic<int> reads{0};

  absl::StatusOr<v1::Manifest> Publish(const std::string& dir, v1::Manifest draft) override {
    return store_.Publish(dir, std::move(draft));
  }
  absl::StatusOr<v1::Manifest> GetManifest(const std::string& id) override { return store_.GetManifest(id); }
  std::vector<thaw::common::v1::SnapshotInfo> List() override { return store_.List(); }
  bool HasChunk(absl::string_view sha256) override { return store_.HasChunk(sha256); }
  absl::StatusOr<std::string> ReadChunk(absl::string_view sha256) override {
    ++reads;
    if (before_read) before_read();
    return store_.ReadChunk(sha256);
  }
  absl::Status PutChunk(absl::string_view sha256, absl::string_view data) override { return store_.PutChunk(sha256, data); }
  absl::Status Adopt(const v1::Manifest& manifest) override { return store_.Adopt(manifest); }
  absl::Status Materialize(const std::string& id, const std::string& dir) override { return store_.Materialize(id, dir); }
  absl::Status Verify(const std::string& id, const std::string& dir) override { return store_.Verify(id, dir); }
  absl::Status Quarantine(const std::string& id, absl::string_view why) override { return store_.Quarantine(id, why); }
  absl::Status Remove(const std::string& id) override { return store_.Remove(id); }

 private:
  SnapshotStore& store_;
};

// One agent, as far as transfers go.
struct Node {
  Node(const std::string& name, const std::string& dir) : id(name), root(dir + "/" + name) {
    DiskSnapshotStore::Options options;
    options.root = root;
    options.on_stored_bytes = [this](std::uint64_t bytes) { metrics.SetStoreBytes(bytes); };
    options.on_quarantined = [this](const std::string&, const std::string&) { metrics.CountQuarantined(); };
    store = *DiskSnapshotStore::Open(std::move(options));
    watched = std::make_unique<WatchedStore>(*store);
    fetcher = std::make_unique<SnapshotFetcher>(SnapshotFetcher::Options{.architecture = "x86_64", .max_batch = 8}, *store,
                                                peers, metrics);
    snapshots = std::make_unique<SnapshotsService>(*watched, security, pool, metrics);
    ImagesService::Options image_options;
    image_options.max_exports = 1;
    image_options.max_imports = 1;
    image_options.on_asked_for = [this](const std::string& image_id) {
      absl::MutexLock lock(&mu);
      asked_for.push_back(image_id);
    };
    image_options.on_brought = [this](const std::string& image_id, const std::string& reference) {
      absl::MutexLock lock(&mu);
      brought.emplace_back(image_id, reference);
    };
    images = std::make_unique<ImagesService>(image_options, runtime, security, pool, metrics);
    RpcServer::Options server_options;
    server_options.listen_address = "127.0.0.1:0";
    server = *RpcServer::Start(server_options, *security, {snapshots.get(), images.get()});
    address = absl::StrCat("127.0.0.1:", server->port());
  }
  ~Node() {
    server.reset();
    pool.Shutdown();
  }
  Holder holder() const { return {id, address}; }
  double Metric(const std::string& series) {
    const std::string text = RenderMetrics(registry);
    const std::size_t at = text.find("\n" + series + " ");
    if (at == std::string::npos) {
      ADD_FAILURE() << "no series " << series;
      return -1;
    }
    return std::stod(text.substr(at + series.size() + 2));
  }
  double Received(const std::string& kind = "snapshot") {
    return Metric("thaw_agent_transfer_received_bytes_total{kind=\"" + kind + "\"}");
  }
  double Sent(const std::string& kind = "snapshot") {
    return Metric("thaw_agent_transfer_sent_bytes_total{kind=\"" + kind + "\"}");
  }

  const std::string id;
  const std::string root;
  prometheus::Registry registry;
  TransferMetrics metrics{registry};
  const std::shared_ptr<const Security> security = Security::ForTesting(kToken);
  const std::shared_ptr<ChannelPool> channels = std::make_shared<ChannelPool>(security);
  std::unique_ptr<DiskSnapshotStore> store;
  std::unique_ptr<WatchedStore> watched;
  FakeContainerRuntime runtime;
  ThreadPool pool{{.name = "disk", .threads = 4, .max_queued = 100}};
  GrpcPeers peers{channels};
  std::unique_ptr<SnapshotFetcher> fetcher;
  ImageFetcher image_fetcher{runtime, peers, metrics};
  std::unique_ptr<SnapshotsService> snapshots;
  std::unique_ptr<ImagesService> images;
  std::unique_ptr<RpcServer> server;
  std::string address;
  absl::Mutex mu;
  std::vector<std::string> asked_for ABSL_GUARDED_BY(mu);
  std::vector<std::pair<std::string, std::string>> brought ABSL_GUARDED_BY(mu);
};

class TransferTest : public ::testing::Test {
 protected:
  TransferTest() {
    WriteSampleTree(source_);
    WriteFile(source_ + "/images/pages-2.img", PageLikeBytes(20 * kMaxChunkBytes, 5));
  }
  v1::Manifest Publish(Node& node) {
    auto manifest = node.store->Publish(source_, DraftManifest("v1"));
    EXPECT_TRUE(manifest.ok()) << manifest.status();
    return *manifest;
  }
  // Lays the snapshot out on the node and compares it with its source.
  void ExpectWhole(Node& node, const std::string& snapshot_id) {
    const std::string target = dir_.path() + "/target-" + node.id;
    const absl::Status status = node.store->Materialize(snapshot_id, target);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(DescribeTree(target), DescribeTree(source_));
  }
  std::unique_ptr<v1::Snapshots::Stub> Snapshots(Node& node) {
    return v1::Snapshots::NewStub(std::shared_ptr<grpc::ChannelInterface>(a_.channels->Get(node.address)));
  }
  static std::unique_ptr<v1::Images::Stub> Images(Node& from, Node& node) {
    return v1::Images::NewStub(std::shared_ptr<grpc::ChannelInterface>(from.channels->Get(node.address)));
  }
  static ImageArchive Image(const std::string& text = "") {
    return MakeImageArchive(Content(text));
  }
  static ImageContent Content(const std::string& text = "") {
    ImageContent content;
    content.files = {{.path = "function/app.jar", .contents = PageLikeBytes(3 << 20, 2) + text}};
    return content;
  }
  // An upload that has begun: its header is on the way.
  struct Upload {
    Upload(Node& from, Node& node, const std::string& image_id) {
      PrepareCall(context, *node.security, Soon());
      stub = Images(from, node);
      writer = stub->ImportImage(&context, &response);
      v1::ImportImageRequest request;
      request.mutable_header()->set_image("demo/hello:1");
      request.mutable_header()->set_image_id(image_id);
      open = writer->Write(request);
    }
    // False when the other side has ended.
    bool Send(std::string chunk) {
      v1::ImportImageRequest request;
      request.set_chunk(std::move(chunk));
      return open = open && writer->Write(request);
    }

    grpc::ClientContext context;
    v1::ImportImageResponse response;
    std::unique_ptr<v1::Images::Stub> stub;
    std::unique_ptr<grpc::ClientWriter<v1::ImportImageRequest>> writer;
    bool open = false;
  };
  // What a gateway does; the answer's status.
  absl::Status Import(Node& node, const ImageArchive& announced, const std::string& tar, const std::string& sha256) {
    Upload upload(a_, node, announced.id);
    for (std::size_t at = 0; upload.open && at < tar.size(); at += 100'000) upload.Send(tar.substr(at, 100'000));
    if (upload.open && !sha256.empty()) {
      v1::ImportImageRequest request;
      request.set_sha256(sha256);
      upload.writer->Write(request);
    }
    upload.writer->WritesDone();
    const absl::Status status = FromGrpcStatus(upload.writer->Finish());
    EXPECT_EQ(upload.response.image_id(), status.ok() ? announced.id : "");
    return status;
  }

  TempDir dir_;
  const std::string source_ = dir_.Sub("source");
  Node a_{"a", dir_.path()}, b_{"b", dir_.path()}, c_{"c", dir_.path()};
};

TEST_F(TransferTest, HealthAndReflectionAreAnsweredWithoutTheClustersToken) {
  const auto channel = thaw::testing::PlainChannel(a_.server->port());
  EXPECT_THAT(thaw::testing::AskHealth(channel), Answers("SERVING"));
  a_.server->SetServing(false);
  EXPECT_THAT(thaw::testing::AskHealth(channel), Answers("NOT_SERVING"));
  const auto services = thaw::testing::ListServices(channel);
  EXPECT_THAT(services, Answers(Contains("thaw.agent.v1.Snapshots")));
  EXPECT_THAT(services, Answers(Contains("thaw.agent.v1.Images")));
  EXPECT_THAT(thaw::testing::DescribeService(channel, "thaw.agent.v1.Images"), Answers(Contains("ImportImage")));
}

// --- snapshots ---

TEST_F(TransferTest, WholeSnapshotTravels) {
  const v1::Manifest manifest = Publish(a_);
  const auto result = b_.fetcher->Fetch(manifest.info().id(), "v1", {a_.holder()}, Soon());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->received_bytes, manifest.info().stored_bytes());
  EXPECT_EQ(b_.Received(), manifest.info().stored_bytes());
  EXPECT_EQ(a_.Sent(), manifest.info().stored_bytes());
  EXPECT_EQ(b_.Metric("thaw_agent_snapshot_store_bytes"), manifest.info().stored_bytes());
  ExpectWhole(b_, manifest.info().id());
  // Now b is a holder as good as a.
  ASSERT_TRUE(c_.fetcher->Fetch(manifest.info().id(), "v1", {b_.holder()}, Soon()).ok());
  ExpectWhole(c_, manifest.info().id());
}

TEST_F(TransferTest, SecondSnapshotBringsOnlyItsMissingChunks) {
  const v1::Manifest first = Publish(a_);
  ASSERT_TRUE(b_.fetcher->Fetch(first.info().id(), "v1", {a_.holder()}, Soon()).ok());
  const double before = b_.Received();
  WriteFile(source_ + "/images/core-1.img", PageLikeBytes(300'000, 77));
  const v1::Manifest second = Publish(a_);
  std::uint64_t missing_bytes = 0;
  for (const std::string& sha256 : ChunksOf(second)) {
    if (!b_.store->HasChunk(sha256)) missing_bytes += fs::file_size(a_.root + "/chunks/" + sha256);
  }
  ASSERT_GT(missing_bytes, 0u);
  ASSERT_LT(missing_bytes, second.info().stored_bytes() / 4);
  const auto result = b_.fetcher->Fetch(second.info().id(), "v1", {a_.holder()}, Soon());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->chunks_fetched, 2u);
  EXPECT_EQ(b_.Received() - before, missing_bytes);
  ExpectWhole(b_, second.info().id());
}

TEST_F(TransferTest, HolderKilledMidStreamIsReplacedByAnother) {
  const v1::Manifest manifest = Publish(a_);
  ASSERT_TRUE(c_.fetcher->Fetch(manifest.info().id(), "v1", {a_.holder()}, Soon()).ok());
  absl::Notification midway, over;
  std::atomic<int> reads{0};
  a_.watched->before_read = [&] {
    const int read = ++reads;
    if (read == 5) midway.Notify();
    if (read >= 5) over.WaitForNotification();
  };
  std::thread killer([&] {
    midway.WaitForNotification();
    a_.server->Shutdown(absl::ZeroDuration());
  });
  const auto result = b_.fetcher->Fetch(manifest.info().id(), "v1", {a_.holder(), c_.holder()}, Soon());
  over.Notify();
  killer.join();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->holder, "c");
  EXPECT_EQ(result->received_bytes, manifest.info().stored_bytes());
  EXPECT_GT(c_.watched->reads, 0);
  EXPECT_LT(c_.watched->reads, static_cast<int>(ChunksOf(manifest).size())) << "a's chunks were kept";
  ExpectWhole(b_, manifest.info().id());
}

TEST_F(TransferTest, FlippedByteOnTheHoldersDiskIsQuarantinedThereAndFetchedElsewhere) {
  const v1::Manifest manifest = Publish(a_);
  ASSERT_TRUE(c_.fetcher->Fetch(manifest.info().id(), "v1", {a_.holder()}, Soon()).ok());
  const std::string chunk = ChunksOf(manifest)[3];
  const std::string path = a_.root + "/chunks/" + chunk;
  FlipByte(path, fs::file_size(path) / 2);
  const auto result = b_.fetcher->Fetch(manifest.info().id(), "v1", {a_.holder(), c_.holder()}, Soon());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->holder, "c");
  ExpectWhole(b_, manifest.info().id());
  EXPECT_TRUE(absl::IsNotFound(a_.store->GetManifest(manifest.info().id()).status()));
  EXPECT_EQ(a_.Metric("thaw_agent_snapshots_quarantined_total"), 1);
  EXPECT_FALSE(fs::exists(path));
  // And a gets it back, by its one bad chunk.
  const auto healed = a_.fetcher->Fetch(manifest.info().id(), "v1", {b_.holder()}, Soon());
  ASSERT_TRUE(healed.ok()) << healed.status();
  EXPECT_EQ(healed->chunks_fetched, 1u);
  ExpectWhole(a_, manifest.info().id());
}

TEST_F(TransferTest, DamagedChunkIsDataLossWithItsReason) {
  const v1::Manifest manifest = Publish(a_);
  const std::string chunk = ChunksOf(manifest)[0];
  const std::string path = a_.root + "/chunks/" + chunk;
  FlipByte(path, fs::file_size(path) / 2);
  const auto ignore = [](const std::string&, absl::string_view) { return absl::OkStatus(); };
  const auto peer = b_.peers.Connect(a_.holder());
  const absl::Status status = peer->ReadChunks({chunk}, ignore, Soon());
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_EQ(ReasonOf(status), reason::kSnapshotDamaged);
  const absl::Status again = peer->ReadChunks({chunk}, ignore, Soon());
  EXPECT_TRUE(absl::IsNotFound(again)) << again;
  EXPECT_TRUE(absl::StrContains(again.message(), chunk));
}

TEST_F(TransferTest, WrongTokenIsRefusedByEveryMethod) {
  const v1::Manifest manifest = Publish(a_);
  const auto stranger = std::make_shared<ChannelPool>(Security::ForTesting("another-token-of-16"));
  GrpcPeers peers(stranger);
  SnapshotFetcher fetcher({}, *b_.store, peers, b_.metrics);
  const auto fetched = fetcher.Fetch(manifest.info().id(), "v1", {a_.holder()}, Soon());
  EXPECT_TRUE(absl::IsUnavailable(fetched.status())) << fetched.status();
  EXPECT_TRUE(absl::StrContains(fetched.status().message(), "token")) << fetched.status();

  const auto peer = peers.Connect(a_.holder());
  const auto ignore_chunk = [](const std::string&, absl::string_view) { return absl::OkStatus(); };
  const auto ignore_part = [](absl::string_view) { return absl::OkStatus(); };
  EXPECT_TRUE(absl::IsUnauthenticated(peer->GetManifest(manifest.info().id(), Soon()).status()));
  EXPECT_TRUE(absl::IsUnauthenticated(peer->ReadChunks({ChunksOf(manifest)[0]}, ignore_chunk, Soon())));
  EXPECT_TRUE(absl::IsUnauthenticated(peer->ExportImage("sha256:x", ignore_part, Soon()).status()));
  const auto stub = v1::Images::NewStub(std::shared_ptr<grpc::ChannelInterface>(stranger->Get(a_.address)));
  {
    grpc::ClientContext context;  // No token at all.
    v1::HasImageRequest request;
    request.set_image_id("sha256:x");
    v1::HasImageResponse response;
    EXPECT_EQ(stub->HasImage(&context, request, &response).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  }
  {
    grpc::ClientContext context;
    v1::ImportImageResponse response;
    const auto writer = stub->ImportImage(&context, &response);
    writer->WritesDone();
    EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  }
  EXPECT_EQ(a_.watched->reads, 0);
  EXPECT_EQ(a_.runtime.Calls(Op::kImportImage) + a_.runtime.Calls(Op::kExportImage) + a_.runtime.Calls(Op::kInspectImage), 0);
}

TEST_F(TransferTest, TooManyChunksInOneCallAreRefused) {
  grpc::ClientContext context;
  PrepareCall(context, *a_.security, Soon());
  v1::ReadChunksRequest request;
  for (int i = 0; i <= SnapshotsService::kMaxChunksPerCall; ++i) request.add_sha256("x");
  const auto stub = Snapshots(a_);
  const auto reader = stub->ReadChunks(&context, request);
  v1::Chunk chunk;
  EXPECT_FALSE(reader->Read(&chunk));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(TransferTest, CancelledReaderStopsTheDiskWork) {
  const v1::Manifest manifest = Publish(a_);
  absl::Notification cancelled;
  a_.watched->before_read = [&] {
    if (a_.watched->reads == 2) cancelled.WaitForNotification();
    // A slow disk: without the cancelling, what is left would take more than a second.
    if (cancelled.HasBeenNotified()) absl::SleepFor(absl::Milliseconds(50));
  };
  grpc::ClientContext context;
  PrepareCall(context, *a_.security, Soon());
  v1::ReadChunksRequest request;
  for (const std::string& sha256 : ChunksOf(manifest)) request.add_sha256(sha256);
  ASSERT_GT(request.sha256_size(), 20);
  const auto stub = Snapshots(a_);
  const auto reader = stub->ReadChunks(&context, request);
  v1::Chunk chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  EXPECT_EQ(chunk.sha256(), request.sha256(0));
  context.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  cancelled.Notify();
  // Returns when all calls have ended. The word may take a moment to arrive, but not as long as the rest would.
  a_.server->Shutdown(absl::Seconds(10));
  EXPECT_LT(a_.watched->reads, request.sha256_size());
}

// The agent's order when it stops.
TEST_F(TransferTest, AStopEndsTheTransfersUnderWayAndDropsThoseThatAreQueued) {
  const v1::Manifest manifest = Publish(a_);
  absl::Notification over, under_way;
  std::atomic<int> begun{0}, cancelled{0}, reading{0};
  a_.watched->before_read = [&] {
    if (++reading == 2) under_way.Notify();
    over.WaitForNotification();
  };
  const auto peer = b_.peers.Connect(a_.holder());
  const auto read = [&] {
    return peer->ReadChunks({ChunksOf(manifest)[0]},
                            [](const std::string&, absl::string_view) { return absl::OkStatus(); }, Soon());
  };
  ThreadPool transfers({.name = "transfers", .threads = 2, .max_queued = 1000});
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(transfers.Add([&] {
                           ++begun;
                           if (absl::IsCancelled(read())) ++cancelled;
                         }).ok());
  }
  under_way.WaitForNotification();
  const absl::Time stopped = absl::Now();
  transfers.Close();
  b_.peers.Cancel();
  transfers.Shutdown();
  EXPECT_LT(absl::Now() - stopped, absl::Seconds(2));
  EXPECT_EQ(begun, cancelled);
  EXPECT_EQ(begun, 2);
  EXPECT_TRUE(absl::IsCancelled(read())) << "a later one";
  over.Notify();
  a_.server->Shutdown(absl::Seconds(10));
}

TEST_F(TransferTest, DeadlineOfTheCallIsHonouredWhileTheDiskHangs) {
  const v1::Manifest manifest = Publish(a_);
  absl::Notification over;
  a_.watched->before_read = [&] { over.WaitForNotification(); };
  const absl::Status status = b_.peers.Connect(a_.holder())->ReadChunks(
      ChunksOf(manifest), [](const std::string&, absl::string_view) { return absl::OkStatus(); },
      absl::Now() + absl::Milliseconds(100));
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  over.Notify();
  a_.server->Shutdown(absl::Seconds(10));
  EXPECT_LE(a_.watched->reads, 5) << "the work did not go on";
}

TEST_F(TransferTest, StreamsAreBounded) {
  const v1::Manifest manifest = Publish(a_);
  absl::Notification over;
  a_.watched->before_read = [&] { over.WaitForNotification(); };
  const auto ignore = [](const std::string&, absl::string_view) { return absl::OkStatus(); };
  std::vector<std::thread> readers;
  std::atomic<int> refused{0}, served{0};
  for (int i = 0; i < SnapshotsService::kMaxStreams + 3; ++i) {
    readers.emplace_back([&] {
      const absl::Status status = b_.peers.Connect(a_.holder())->ReadChunks({ChunksOf(manifest)[0]}, ignore, Soon());
      if (absl::IsResourceExhausted(status)) {
        EXPECT_TRUE(RetryAfterOf(status).has_value());
        if (++refused == 3) over.Notify();
      } else {
        EXPECT_TRUE(status.ok()) << status;
        ++served;
      }
    });
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(refused, 3);
  EXPECT_EQ(served, SnapshotsService::kMaxStreams);
}

// --- images ---

TEST_F(TransferTest, ImageTravelsWithoutARegistry) {
  const std::string id = a_.runtime.AddImage(Content());
  const auto result = b_.image_fetcher.EnsureImage(id, "demo/hello:1", {c_.holder(), a_.holder()}, Soon());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->holder, "a");
  EXPECT_EQ(b_.runtime.InspectImage("demo/hello:1", Soon())->id, id);
  EXPECT_GT(b_.Received("image"), 3 << 20);
  EXPECT_EQ(a_.Sent("image"), b_.Received("image"));
}

TEST_F(TransferTest, HasImageTellsAnIdFromAName) {
  ImageContent content = Content();
  content.tags = {"demo/hello:1"};
  const std::string id = a_.runtime.AddImage(content);
  const auto stub = Images(a_, a_);
  const auto has = [&](const std::string& image) {
    grpc::ClientContext context;
    PrepareCall(context, *a_.security, Soon());
    v1::HasImageRequest request;
    request.set_image_id(image);
    v1::HasImageResponse response;
    const grpc::Status status = stub->HasImage(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.present();
  };
  EXPECT_TRUE(has(id));
  EXPECT_FALSE(has("demo/hello:1"));
  EXPECT_FALSE(has("sha256:" + std::string(64, '0')));
  absl::MutexLock lock(&a_.mu);
  ASSERT_FALSE(a_.asked_for.empty());
  EXPECT_EQ(a_.asked_for[0], id) << "so that it stays until a version of it comes";
}

TEST_F(TransferTest, GatewayBringsAnImage) {
  const ImageArchive image = Image();
  const absl::Status status = Import(a_, image, image.tar, Sha256Hex(image.tar));
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(a_.runtime.InspectImage("demo/hello:1", Soon())->id, image.id);
  // Once more: what was here already is not what Thaw brought.
  ASSERT_TRUE(Import(a_, image, image.tar, Sha256Hex(image.tar)).ok());
  absl::MutexLock lock(&a_.mu);
  EXPECT_EQ(a_.brought, (std::vector<std::pair<std::string, std::string>>{{image.id, "demo/hello:1"}}));
}

TEST_F(TransferTest, ImportWithAWrongOrNoDigestKeepsNothing) {
  const ImageArchive image = Image();
  EXPECT_TRUE(absl::IsDataLoss(Import(a_, image, image.tar, Sha256Hex("other"))));
  EXPECT_TRUE(absl::IsDataLoss(Import(a_, image, image.tar, "")));
  std::string flipped = image.tar;
  flipped[flipped.size() / 2] ^= 1;
  EXPECT_TRUE(absl::IsDataLoss(Import(a_, image, flipped, Sha256Hex(image.tar))));
  EXPECT_TRUE(a_.runtime.ListImageIds(Soon())->empty());
  EXPECT_EQ(a_.runtime.Calls(Op::kImportImage), 3);
}

TEST_F(TransferTest, ImportOfAnotherImageThanAnnouncedKeepsNothing) {
  const ImageArchive other = Image("x");
  const absl::Status status = Import(a_, Image(), other.tar, Sha256Hex(other.tar));
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_TRUE(a_.runtime.ListImageIds(Soon())->empty());
  EXPECT_TRUE(absl::IsInvalidArgument(Import(a_, ImageArchive(), other.tar, Sha256Hex(other.tar)))) << "no id announced";
}

TEST_F(TransferTest, ImportIntoADeadEngineSaysSoAtOnce) {
  a_.runtime.SetEngineDown(true);
  const ImageArchive image = Image();
  const absl::Status status = Import(a_, image, image.tar, Sha256Hex(image.tar));
  EXPECT_EQ(ReasonOf(status), reason::kEngineUnavailable) << status;
}

TEST_F(TransferTest, ImporterThatVanishesLeavesNothing) {
  const ImageArchive image = Image();
  {
    Upload upload(a_, a_, image.id);
    ASSERT_TRUE(upload.Send(image.tar.substr(0, 200'000)));
    upload.context.TryCancel();
    EXPECT_FALSE(upload.writer->Finish().ok());
  }
  a_.server->Shutdown(absl::Seconds(10));
  EXPECT_TRUE(a_.runtime.ListImageIds(Soon())->empty());
}

TEST_F(TransferTest, SlowEngineHoldsTheSenderBack) {
  absl::Notification go_on;
  a_.runtime.SetHook(Op::kImportImage, [&](const std::string&) {
    go_on.WaitForNotification();
    return absl::OkStatus();
  });
  const ImageArchive image = Image();
  // Much more than the queue and the connection's windows hold.
  std::atomic<std::size_t> sent{0};
  std::thread sender([&] {
    Upload upload(a_, a_, image.id);
    for (int i = 0; i < 200 && !go_on.HasBeenNotified(); ++i) {
      if (!upload.Send(std::string(1 << 20, 'x'))) break;
      sent += 1 << 20;
    }
    upload.writer->WritesDone();
    EXPECT_FALSE(upload.writer->Finish().ok()) << "it is no archive";
  });
  // The sender stands still once all is full: two looks a while apart see the same.
  std::size_t before = 0;
  do {
    before = sent;
    absl::SleepFor(absl::Milliseconds(300));
  } while (sent != before);
  EXPECT_LT(sent, std::size_t{64} << 20);
  EXPECT_EQ(a_.runtime.Calls(Op::kImportImage), 1);
  go_on.Notify();
  sender.join();
}

TEST_F(TransferTest, SecondExportBeyondTheBoundIsAskedToTryLater) {
  const std::string id = a_.runtime.AddImage(Content());
  absl::Notification begun, go_on;
  a_.runtime.SetHook(Op::kExportImage, [&](const std::string&) {
    begun.Notify();
    go_on.WaitForNotification();
    return absl::OkStatus();
  });
  const auto ignore = [](absl::string_view) { return absl::OkStatus(); };
  std::thread first([&] { EXPECT_TRUE(b_.peers.Connect(a_.holder())->ExportImage(id, ignore, Soon()).ok()); });
  begun.WaitForNotification();
  const absl::Status second = c_.peers.Connect(a_.holder())->ExportImage(id, ignore, Soon()).status();
  EXPECT_TRUE(absl::IsResourceExhausted(second)) << second;
  EXPECT_TRUE(RetryAfterOf(second).has_value());
  go_on.Notify();
  first.join();
}

TEST_F(TransferTest, ReaderThatGivesUpEndsTheExport) {
  const std::string id = a_.runtime.AddImage(Content());
  const auto refuse = [](absl::string_view) { return absl::InvalidArgumentError("enough"); };
  const absl::Status status = b_.peers.Connect(a_.holder())->ExportImage(id, refuse, Soon()).status();
  EXPECT_EQ(status.message(), "enough");
  a_.server->Shutdown(absl::Seconds(10));
  EXPECT_LT(a_.Sent("image"), 3 << 20) << "it stopped before the end";
}

}  // namespace
}  // namespace thaw::agent
