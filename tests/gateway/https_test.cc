// The HTTP listener with TLS.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/ids/ids.h"
#include "common/log/log.h"
#include "gateway/gateway.h"
#include "gateway/http/server.h"
#include "tests/fakes/fake_agent_client.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_scheduler_client.h"
#include "tests/fakes/fake_scheduler_server.h"
#include "tests/gateway/raw_http_client.h"

namespace thaw::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::thaw::testing::FakeAgentClient;
using ::thaw::testing::FakeClock;
using ::thaw::testing::FakeSchedulerClient;
using ::thaw::testing::FakeSchedulerServer;
using ::thaw::testing::MakeLease;
using ::thaw::testing::RawHttpClient;
using ::thaw::testing::WarmAnswer;

// A key and a certificate it signed itself, as PEM files.
bool WriteCertificate(const std::string& cert_file, const std::string& key_file) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* cert = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
  X509_gmtime_adj(X509_getm_notBefore(cert), -60);
  X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
  X509_set_pubkey(cert, key);
  X509_NAME* name = X509_get_subject_name(cert);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(cert, name);
  bool ok = X509_sign(cert, key, EVP_sha256()) > 0;
  if (FILE* file = std::fopen(cert_file.c_str(), "w"); file != nullptr) {
    ok = PEM_write_X509(file, cert) == 1 && ok;
    std::fclose(file);
  }
  if (FILE* file = std::fopen(key_file.c_str(), "w"); file != nullptr) {
    ok = PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr) == 1 && ok;
    std::fclose(file);
  }
  X509_free(cert);
  EVP_PKEY_free(key);
  return ok;
}

// One TLS connection; certificates are not checked.
class TlsClient {
 public:
  explicit TlsClient(int port) : context_(SSL_CTX_new(TLS_client_method())) {
    BIO* bio = BIO_new_ssl_connect(context_);
    BIO_set_conn_hostname(bio, absl::StrCat("127.0.0.1:", port).c_str());
    bio_ = bio;
    connected_ = BIO_do_connect(bio_) == 1;
  }
  ~TlsClient() {
    BIO_free_all(bio_);
    SSL_CTX_free(context_);
  }
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  bool connected() const { return connected_; }
  void Send(const std::string& bytes) { BIO_write(bio_, bytes.data(), static_cast<int>(bytes.size())); }
  // Until `end` has come, or the connection's end.
  std::string ReadUntil(const std::string& end) {
    std::string text;
    char bytes[16384];
    while (text.find(end) == std::string::npos) {
      const int got = BIO_read(bio_, bytes, sizeof(bytes));
      if (got <= 0) break;
      text.append(bytes, static_cast<std::size_t>(got));
    }
    return text;
  }

 private:
  SSL_CTX* context_;
  BIO* bio_ = nullptr;
  bool connected_ = false;
};

class HttpsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.listen_address = "127.0.0.1:0";
    // Each case is a process of its own, and ctest runs several at once: none may share its files.
    folder_ = ::testing::TempDir() + "gateway-https-" + NewHexId();
    ASSERT_EQ(mkdir(folder_.c_str(), 0700), 0);
    options_.tls_cert_file = folder_ + "/cert.pem";
    options_.tls_key_file = folder_ + "/key.pem";
    ASSERT_TRUE(WriteCertificate(options_.tls_cert_file, options_.tls_key_file));
    scheduler_.set_on_acquire([](const auto&) { return MakeLease("l1", "a", "fn", 100); });
    agents_.set_on_invoke([](const AgentRequest& request) { return WarmAnswer(request.call->body); });
  }
  void TearDown() override {
    server_.reset();
    (void)std::remove((folder_ + "/cert.pem").c_str());
    (void)std::remove((folder_ + "/key.pem").c_str());
    (void)rmdir(folder_.c_str());
  }

  absl::Status Start() {
    auto server = HttpServer::Start(options_, *Security::ForTesting("a-token-for-tests"),
                                    {.invoker = &invoker_,
                                     .admission = &admission_,
                                     .metrics = &metrics_,
                                     .readiness = [] { return absl::OkStatus(); },
                                     .render_metrics = [] { return std::string(); },
                                     .log = NullLogger()});
    if (server.ok()) server_ = std::move(*server);
    return server.status();
  }

  prometheus::Registry registry_;
  GatewayMetrics metrics_{registry_};
  FakeClock clock_;
  FakeSchedulerClient scheduler_;
  FakeAgentClient agents_;
  Admission admission_{1000, 10'000'000};
  std::shared_ptr<LeaseTable> leases_ = LeaseTable::Create({}, {.scheduler = &scheduler_,
                                                                .clock = &clock_,
                                                                .timers = &clock_,
                                                                .metrics = &metrics_,
                                                                .log = NullLogger()});
  Invoker invoker_{{}, {.leases = leases_,
                        .agents = &agents_,
                        .admission = &admission_,
                        .clock = &clock_,
                        .metrics = &metrics_,
                        .log = NullLogger()}};
  std::string folder_;
  HttpServer::Options options_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpsTest, CallsGoThroughOnOneConnection) {
  ASSERT_TRUE(Start().ok());
  TlsClient client(server_->port());
  ASSERT_TRUE(client.connected());
  client.Send("POST /invoke/fn HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nping");
  EXPECT_THAT(client.ReadUntil("ping"), StartsWith("HTTP/1.1 200 OK\r\n"));
  const std::string body(1'000'000, 'x');
  client.Send(absl::StrCat("POST /invoke/fn HTTP/1.1\r\nHost: x\r\nContent-Length: ", body.size() + 3, "\r\n\r\n", body, "end"));
  EXPECT_THAT(client.ReadUntil("xend").size(), ::testing::Gt(body.size()));
}

TEST_F(HttpsTest, AnswerThatClosesEndsTheConnectionInGoodOrder) {
  ASSERT_TRUE(Start().ok());
  TlsClient client(server_->port());
  ASSERT_TRUE(client.connected());
  client.Send("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("never"), HasSubstr("ok\n"));
}

TEST_F(HttpsTest, PlainClientGetsNothing) {
  ASSERT_TRUE(Start().ok());
  RawHttpClient client(server_->port());
  client.Send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.Read().status, 0);
}

TEST_F(HttpsTest, ClientThatNeverShakesHandsIsCutOff) {
  options_.read_limit = absl::Milliseconds(200);
  ASSERT_TRUE(Start().ok());
  RawHttpClient client(server_->port());
  EXPECT_TRUE(client.AwaitClose());
}

TEST_F(HttpsTest, CertificateThatCannotBeReadIsNamed) {
  options_.tls_cert_file = "/nowhere/cert.pem";
  const absl::Status status = Start();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nowhere/cert.pem"));
}

// Prometheus and health checks go on speaking HTTP in clear, on loopback or the compose network.
TEST_F(HttpsTest, GatewayWithACertificateHasBothListeners) {
  FakeSchedulerServer scheduler("a-token-for-tests");
  scheduler.Start();
  Options options;
  options.listen = options.http_listen = options.https_listen = "127.0.0.1:0";
  options.scheduler = scheduler.address();
  options.security.tls_cert_file = options_.tls_cert_file;
  options.security.tls_key_file = options_.tls_key_file;
  options.port_file = folder_ + "/ports";
  auto gateway = Gateway::Create(options, Security::ForTesting("a-token-for-tests"), NullLogger());
  ASSERT_TRUE(gateway.ok()) << gateway.status();
  EXPECT_EQ(RawHttpClient((*gateway)->http_port()).Get("/healthz").status, 200);
  TlsClient client((*gateway)->https_port());
  ASSERT_TRUE(client.connected());
  client.Send("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("never"), HasSubstr("ok\n"));
  std::ifstream file(options.port_file);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_THAT(text.str(), HasSubstr(absl::StrCat("https=", (*gateway)->https_port(), "\n")));
  (void)std::remove(options.port_file.c_str());
  const absl::Time limit = absl::Now() + absl::Seconds(10);
  while (!(*gateway)->Readiness().ok() && absl::Now() < limit) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_TRUE((*gateway)->Readiness().ok());
  gateway->reset();
  scheduler.Stop();
}

TEST(HttpsOptionsTest, ListenerWithoutACertificateIsRefused) {
  Options options;
  options.https_listen = "127.0.0.1:0";
  const absl::Status status = options.Validate();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("--https-listen"));
}

}  // namespace
}  // namespace thaw::gateway
