// The parts below the fetchers: the pipe between two streams, and the reader of image archives.
#include <gtest/gtest.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agent/container/image_archive.h"
#include "agent/transfer/archive_check.h"
#include "agent/transfer/byte_pipe.h"

namespace thaw::agent {
namespace {

absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

TEST(BytePipe, CarriesPartsInOrderThroughASmallQueue) {
  BytePipe pipe(2);
  std::thread writer([&] {
    for (int i = 0; i < 1000; ++i) EXPECT_TRUE(pipe.Write(absl::StrCat(i), Soon()).ok());
    pipe.Finish(absl::OkStatus());
  });
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(*pipe.Read(Soon()), absl::StrCat(i));
  EXPECT_EQ(*pipe.Read(Soon()), "");
  EXPECT_EQ(*pipe.Read(Soon()), "") << "the end stays";
  writer.join();
}

TEST(BytePipe, WriterOfAFullPipeIsReleasedByAbandon) {
  BytePipe pipe(1);
  ASSERT_TRUE(pipe.Write("x", Soon()).ok());
  std::thread writer([&] { EXPECT_EQ(pipe.Write("y", Soon()).message(), "enough"); });
  pipe.Abandon(absl::CancelledError("enough"));
  writer.join();
}

TEST(BytePipe, BothSidesHaveADeadline) {
  BytePipe pipe(1);
  EXPECT_TRUE(absl::IsDeadlineExceeded(pipe.Read(absl::Now()).status()));
  ASSERT_TRUE(pipe.Write("x", Soon()).ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(pipe.Write("y", absl::Now())));
}

TEST(BytePipe, ErrorOvertakesWhatIsQueued) {
  BytePipe pipe(4);
  pipe.Push("x");
  pipe.Finish(absl::DataLossError("broken"));
  pipe.Finish(absl::OkStatus());
  EXPECT_TRUE(absl::IsDataLoss(pipe.Read(Soon()).status()));
}

TEST(BytePipe, ReactorIsToldOnceThereIsRoom) {
  BytePipe pipe(2);
  int told = 0;
  pipe.Push("a");
  EXPECT_TRUE(pipe.CallWhenRoom([&] { ++told; }));
  pipe.Push("b");
  EXPECT_FALSE(pipe.CallWhenRoom([&] { ++told; }));
  EXPECT_EQ(told, 0);
  EXPECT_EQ(*pipe.Read(Soon()), "a");
  EXPECT_EQ(told, 1);
  EXPECT_EQ(*pipe.Read(Soon()), "b");
  EXPECT_EQ(told, 1);
}

ImageArchive Sample(const std::string& text = "") {
  ImageContent content;
  content.files = {{.path = "app", .contents = std::string(3000, 'a') + text}};
  return MakeImageArchive(content);
}

absl::Status CheckInParts(const std::string& tar, const std::string& id, std::size_t part) {
  ArchiveCheck check(id);
  for (std::size_t at = 0; at < tar.size(); at += part) {
    if (absl::Status status = check.Update(absl::string_view(tar).substr(at, part)); !status.ok()) return status;
  }
  return check.Finish();
}

TEST(ArchiveCheck, RightImageInPartsOfAnySize) {
  const ImageArchive image = Sample();
  for (const std::size_t part : {1, 7, 511, 512, 513, 4096, 1 << 20}) {
    EXPECT_TRUE(CheckInParts(image.tar, image.id, part).ok()) << part;
  }
}

TEST(ArchiveCheck, OtherImageIsRefusedByName) {
  const absl::Status status = CheckInParts(Sample("x").tar, Sample().id, 1000);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_NE(status.message().find(Sample().id), absl::string_view::npos);
}

TEST(ArchiveCheck, ConfigurationThatIsNotItsNameIsRefused) {
  const ImageArchive image = Sample();
  const std::string hex = image.id.substr(7);
  const std::string tar = TarEntry(hex + ".json", "{}") +
                          TarEntry("manifest.json", "[{\"Config\":\"" + hex + ".json\",\"Layers\":[]}]") + TarEnd();
  EXPECT_TRUE(absl::IsInvalidArgument(CheckInParts(tar, image.id, 100)));
}

TEST(ArchiveCheck, SecondImageInTheArchiveIsRefused) {
  const ImageArchive image = Sample();
  std::string tar = image.tar;
  const std::string hex = image.id.substr(7);
  // A later manifest.json wins, as it does when the archive is unpacked.
  const std::string two = "[{\"Config\":\"" + hex + ".json\"},{\"Config\":\"other.json\"}]";
  tar.resize(tar.size() - TarEnd().size());
  tar += TarEntry("manifest.json", two) + TarEnd();
  EXPECT_TRUE(absl::IsInvalidArgument(CheckInParts(tar, image.id, 1000)));
}

TEST(ArchiveCheck, WhatIsNoArchiveIsRefused) {
  const ImageArchive image = Sample();
  EXPECT_TRUE(absl::IsInvalidArgument(CheckInParts(std::string(5000, 'x'), image.id, 1000)));
  EXPECT_TRUE(absl::IsInvalidArgument(CheckInParts("", image.id, 1000)));
  EXPECT_TRUE(absl::IsInvalidArgument(CheckInParts(TarEnd(), image.id, 1000)));
  EXPECT_TRUE(absl::IsInvalidArgument(CheckInParts(image.tar.substr(0, image.tar.size() / 2), image.id, 1000)));
  EXPECT_TRUE(absl::IsInvalidArgument(
      CheckInParts(TarEntry("manifest.json", "not json") + TarEnd(), image.id, 1000)));
}

TEST(ArchiveCheck, ExtendedHeadersNameTheEntryAfterThem) {
  const ImageArchive image = Sample();
  const std::string hex = image.id.substr(7);
  // The configuration's content, taken from the sample.
  const std::size_t at = image.tar.find(hex + ".json");
  ASSERT_NE(at, std::string::npos);
  const std::size_t size = std::stoul(image.tar.substr(at + 124, 11), nullptr, 8);
  const std::string configuration = image.tar.substr(at + 512, size);
  const auto with_type = [](std::string entry, char type) {
    entry[156] = type;
    return entry;
  };
  const std::string name = "blobs/sha256/" + hex;
  std::string record = " path=" + name + "\n";
  record = absl::StrCat(record.size() + 2, record);
  const std::string manifest = TarEntry("manifest.json", "[{\"Config\":\"" + name + "\"}]") + TarEnd();
  EXPECT_TRUE(CheckInParts(with_type(TarEntry("PaxHeaders/x", record), 'x') + TarEntry("short", configuration) + manifest,
                           image.id, 300)
                  .ok());
  EXPECT_TRUE(CheckInParts(with_type(TarEntry("././@LongLink", name + std::string(1, '\0')), 'L') +
                               TarEntry("short", configuration) + manifest,
                           image.id, 300)
                  .ok());
}

}  // namespace
}  // namespace thaw::agent
