#include "scheduler/store/sealing_key.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "absl/strings/str_cat.h"

namespace thaw::scheduler {
namespace {

// A sealed value: the nonce, the ciphertext, the tag.
constexpr std::size_t kNonceBytes = 12;
constexpr std::size_t kTagBytes = 16;

using Context = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

const unsigned char* Bytes(absl::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }
unsigned char* Bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

// OpenSSL fails at these only for want of memory or entropy; a secret must not be kept half sealed then.
void Require(bool done) {
  if (!done) abort();
}

std::string Random(std::size_t size) {
  std::string bytes(size, '\0');
  Require(RAND_bytes(Bytes(bytes), static_cast<int>(size)) == 1);
  return bytes;
}

absl::Status CanNot(const std::string& path, absl::string_view act) {
  return absl::UnavailableError(
      absl::StrCat("the key of the secrets, ", path, ", can't be ", act, ": ", strerror(errno), "; check --data-dir"));
}

absl::Status Make(const std::string& path) {
  const std::string fresh = path + ".new";
  unlink(fresh.c_str());
  const int file = open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return CanNot(path, "made");
  const std::string bytes = Random(SealingKey::kBytes);
  const bool written = write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()) && fsync(file) == 0;
  const absl::Status failure = written ? absl::OkStatus() : CanNot(path, "written");
  close(file);
  if (!failure.ok()) return failure;
  if (rename(fresh.c_str(), path.c_str()) != 0) return CanNot(path, "made");
  // The name, too, has to outlive a loss of power: what is sealed from now on can't be opened without it.
  const int dir = open(std::filesystem::path(path).parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return CanNot(path, "made");
  fsync(dir);
  close(dir);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SealingKey> SealingKey::LoadOrMake(const std::string& path) {
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0 && errno == ENOENT) {
    if (absl::Status made = Make(path); !made.ok()) return made;
    file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  }
  if (file < 0) return CanNot(path, "opened");
  struct stat info {};
  std::string bytes(kBytes + 1, '\0');
  const ssize_t size = read(file, bytes.data(), bytes.size());
  const bool read_ok = size >= 0 && fstat(file, &info) == 0;
  const absl::Status failure = read_ok ? absl::OkStatus() : CanNot(path, "read");
  close(file);
  if (!failure.ok()) return failure;
  if (size != static_cast<ssize_t>(kBytes)) {
    return absl::FailedPreconditionError(absl::StrCat("the key of the secrets, ", path, ", is not ", kBytes,
                                                      " bytes long; put the right file back from a backup"));
  }
  if ((info.st_mode & 077) != 0) {
    return absl::FailedPreconditionError(absl::StrCat("the key of the secrets, ", path,
                                                      ", may be read by others than its owner; chmod it to 600"));
  }
  bytes.resize(kBytes);
  return SealingKey(std::move(bytes));
}

std::string SealingKey::Seal(absl::string_view plain, absl::string_view context) const {
  std::string sealed = Random(kNonceBytes);
  sealed.resize(kNonceBytes + plain.size() + kTagBytes);
  const Context cipher(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  int size = 0;
  Require(cipher != nullptr &&
          EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, Bytes(absl::string_view(bytes_)), Bytes(sealed)) == 1 &&
          EVP_EncryptUpdate(cipher.get(), nullptr, &size, Bytes(context), static_cast<int>(context.size())) == 1 &&
          EVP_EncryptUpdate(cipher.get(), Bytes(sealed) + kNonceBytes, &size, Bytes(plain), static_cast<int>(plain.size())) == 1 &&
          EVP_EncryptFinal_ex(cipher.get(), Bytes(sealed) + kNonceBytes + size, &size) == 1 &&
          EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, static_cast<int>(kTagBytes),
                              Bytes(sealed) + kNonceBytes + plain.size()) == 1);
  return sealed;
}

absl::StatusOr<std::string> SealingKey::Open(absl::string_view sealed, absl::string_view context) const {
  const absl::Status refused = absl::DataLossError("it was sealed with another key, or has been changed");
  if (sealed.size() < kNonceBytes + kTagBytes) return refused;
  const absl::string_view body = sealed.substr(kNonceBytes, sealed.size() - kNonceBytes - kTagBytes);
  std::string tag(sealed.substr(sealed.size() - kTagBytes));
  std::string plain(body.size() + 1, '\0');
  const Context cipher(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  int size = 0;
  Require(cipher != nullptr &&
          EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, Bytes(absl::string_view(bytes_)), Bytes(sealed)) == 1 &&
          EVP_DecryptUpdate(cipher.get(), nullptr, &size, Bytes(context), static_cast<int>(context.size())) == 1 &&
          EVP_DecryptUpdate(cipher.get(), Bytes(plain), &size, Bytes(body), static_cast<int>(body.size())) == 1 &&
          EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, static_cast<int>(kTagBytes), Bytes(tag)) == 1);
  if (EVP_DecryptFinal_ex(cipher.get(), Bytes(plain) + size, &size) != 1) return refused;
  plain.resize(body.size());
  return plain;
}

}  // namespace thaw::scheduler
