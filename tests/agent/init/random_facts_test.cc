#include "agent/init/random_facts.h"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <sstream>

namespace thaw::init {
namespace {

std::string ReadFile(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

// An ELF file with nothing in it but what is appended.
std::string BareElf() {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  static_assert(sizeof header % 16 == 0);
  return std::string(reinterpret_cast<const char*>(&header), sizeof header);
}

TEST(RandomFactsTest, ADynamicProgramNamesItsLoader) {
  const BinaryFacts facts = ReadBinary(ReadFile("/proc/self/exe"));
  EXPECT_TRUE(facts.is_elf);
  EXPECT_THAT(facts.interpreter, testing::StartsWith("/lib"));
  EXPECT_EQ(facts.go_version, "");
}

TEST(RandomFactsTest, WhatIsNoElfFileHasNoFacts) {
  for (const std::string& content : {std::string(), std::string("#!/bin/sh\n"), std::string(5000, '\0')}) {
    EXPECT_FALSE(ReadBinary(content).is_elf);
  }
}

TEST(RandomFactsTest, AnOpensslInsideThatIsNotExportedIsHidden) {
  EXPECT_FALSE(ReadBinary(BareElf()).hides_openssl);
  EXPECT_TRUE(ReadBinary(BareElf() + "error instantiating drbg").hides_openssl);
}

TEST(RandomFactsTest, AGoProgramIsKnownByWhatItsLinkerLeaves) {
  std::string info = "\xff Go buildinf:";
  info += '\x08';
  info += '\x02';
  info.resize(32, '\0');
  info += '\x08';
  EXPECT_EQ(ReadBinary(BareElf() + info + "go1.24.4and more").go_version, "go1.24.4");
  info[15] = '\0';
  EXPECT_EQ(ReadBinary(BareElf() + info).go_version, "go1") << "with pointers, as before Go 1.18";
  info[14] = 'x';
  EXPECT_EQ(ReadBinary(BareElf() + info).go_version, "") << "a program that looks for the sign in others";
}

TEST(RandomFactsTest, FilesCutShortAreReadWithoutHarm) {
  const std::string whole = ReadFile("/proc/self/exe");
  for (size_t size : {size_t{1}, sizeof(Elf64_Ehdr), size_t{100}, size_t{5000}, whole.size() / 2}) {
    ReadBinary(std::string_view(whole).substr(0, size));
  }
  std::string wild = whole.substr(0, 4096);
  std::memset(wild.data() + 16, 0xff, 48);
  ReadBinary(wild);
}

TEST(RandomFactsTest, AProcessIsDescribedByItsMappings) {
  RandomFacts facts;
  const ProcessFacts self = facts.Of(::getpid());
  EXPECT_THAT(self.program, testing::EndsWith("agent_init_test"));
  EXPECT_FALSE(self.is_static);
  EXPECT_FALSE(self.has_node || self.has_python || self.has_java);
  EXPECT_EQ(facts.Of(4'000'000).program, "");
}

}  // namespace
}  // namespace thaw::init
