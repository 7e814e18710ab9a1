#include "common/randomness/binary_facts.h"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <sstream>

namespace thaw {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

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

TEST(BinaryFactsTest, ADynamicProgramNamesItsLoader) {
  const BinaryFacts facts = ReadBinary(ReadFile("/proc/self/exe"));
  EXPECT_TRUE(facts.is_elf);
  EXPECT_THAT(facts.interpreter, testing::StartsWith("/lib"));
  EXPECT_EQ(facts.go_version, "");
}

TEST(BinaryFactsTest, WhatIsNoElfFileHasNoFacts) {
  for (const std::string& content : {std::string(), std::string("#!/bin/sh\n"), std::string(5000, '\0')}) {
    EXPECT_FALSE(ReadBinary(content).is_elf);
  }
}

TEST(BinaryFactsTest, AnOpensslInsideThatIsNotExportedIsHidden) {
  EXPECT_FALSE(ReadBinary(BareElf()).hides_openssl);
  EXPECT_TRUE(ReadBinary(BareElf() + "error instantiating drbg").hides_openssl);
}

TEST(BinaryFactsTest, AGoProgramIsKnownByWhatItsLinkerLeaves) {
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

TEST(BinaryFactsTest, FilesCutShortAreReadWithoutHarm) {
  const std::string whole = ReadFile("/proc/self/exe");
  for (size_t size : {size_t{1}, sizeof(Elf64_Ehdr), size_t{100}, size_t{5000}, whole.size() / 2}) {
    ReadBinary(std::string_view(whole).substr(0, size));
  }
  std::string wild = whole.substr(0, 4096);
  std::memset(wild.data() + 16, 0xff, 48);
  ReadBinary(wild);
}

TEST(BinaryFactsTest, WhatAProgramLeavesUncuredIsSaid) {
  BinaryFacts facts;
  facts.is_elf = facts.is_program = true;
  EXPECT_THAT(UncuredOf(facts, "func"), IsEmpty());
  facts.exports_rand_poll = true;
  EXPECT_THAT(UncuredOf(facts, "func"), ElementsAre(HasSubstr("statically linked")));
  facts.interpreter = "/lib64/ld-linux-x86-64.so.2";
  EXPECT_THAT(UncuredOf(facts, "node"), IsEmpty());
  facts.hides_openssl = true;
  EXPECT_THAT(UncuredOf(facts, "func"), ElementsAre(HasSubstr("RAND_poll")));
  facts = {};
  facts.go_version = "go1.24.4";
  EXPECT_THAT(UncuredOf(facts, "func"), IsEmpty());
  facts.go_version = "go1.9.2";
  EXPECT_THAT(UncuredOf(facts, "func"), ElementsAre(HasSubstr("go1.22 or newer")));
  EXPECT_THAT(UncuredOf({}, "ruby3.3"), ElementsAre(HasSubstr("ruby: ")));
}

TEST(BinaryFactsTest, GoVersionsHaveMinorNumbers) {
  EXPECT_EQ(GoMinor("go1.24.4"), 24);
  EXPECT_EQ(GoMinor("go1.22rc1"), 22);
  for (const char* none : {"", "go1", "go1.", "devel go1.25-abc"}) EXPECT_EQ(GoMinor(none), 0) << none;
}

}  // namespace
}  // namespace thaw
