#include "cli/metrics/scraper.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "absl/strings/str_cat.h"

namespace thaw::cli {
namespace {

using ::testing::HasSubstr;

TEST(Samples, AreReadWithLabelsAndValues) {
  const auto samples = SamplesOf(
      "# HELP bytes_total x\n# TYPE bytes_total counter\n"
      "bytes_total{kind=\"a\",who=\"x \\\"y\\\\\"} 12 1700000000\n"
      "bytes_total 3.5e3\n"
      "bytes_total_more 9\n"
      "bytes_total{broken\n",
      "bytes_total");
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_EQ(samples[0].value, 12);
  EXPECT_EQ(samples[0].labels.at("who"), "x \"y\\");
  EXPECT_EQ(samples[1].value, 3500);
  EXPECT_TRUE(samples[1].labels.empty());
}

// Answers one connection with `answer`.
class OneAnswer {
 public:
  explicit OneAnswer(std::string answer) : answer_(std::move(answer)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 1), 0);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] {
      const int connection = accept(listener_, nullptr, nullptr);
      char buffer[4096];
      const auto got = read(connection, buffer, sizeof(buffer));
      request_.assign(buffer, static_cast<std::size_t>(std::max<ssize_t>(0, got)));
      EXPECT_EQ(write(connection, answer_.data(), answer_.size()), static_cast<ssize_t>(answer_.size()));
      close(connection);
    });
  }
  ~OneAnswer() {
    if (thread_.joinable()) thread_.join();
    close(listener_);
  }
  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }
  const std::string& request() {
    thread_.join();
    return request_;
  }

 private:
  std::string answer_, request_;
  int listener_ = -1;
  int port_ = 0;
  std::thread thread_;
};

TEST(Scraper, ReadsAPage) {
  OneAnswer server("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nx 1\n");
  EXPECT_EQ(*HttpMetricsScraper().Scrape(server.address()), "x 1\n");
  EXPECT_THAT(server.request(), HasSubstr("GET /metrics HTTP/1.0\r\n"));
}

TEST(Scraper, OtherStatusesAreErrors) {
  OneAnswer server("HTTP/1.1 404 Not Found\r\n\r\n");
  const auto page = HttpMetricsScraper().Scrape(server.address());
  EXPECT_EQ(page.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(page.status().message()), HasSubstr("404 Not Found"));
}

TEST(Scraper, NobodyThereIsUnavailableAndNamesTheOption) {
  std::string address;
  {
    OneAnswer server("HTTP/1.1 200 OK\r\n\r\n");
    address = server.address();
    ASSERT_TRUE(HttpMetricsScraper().Scrape(address).ok());
  }
  const auto page = HttpMetricsScraper().Scrape(address);
  EXPECT_EQ(page.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(page.status().message()), HasSubstr("--metrics"));
  EXPECT_EQ(HttpMetricsScraper().Scrape("no-port").status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace thaw::cli
