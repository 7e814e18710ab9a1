#include "cli/deploy/maven.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace thaw::cli {
namespace {

std::string Xml(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}});
}

std::string Element(absl::string_view name, absl::string_view text) {
  return absl::StrCat("<", name, ">", Xml(text), "</", name, ">");
}

}  // namespace

std::vector<std::string> MavenBuildCommand(bool offline, const std::string& settings_file) {
  std::vector<std::string> command = {"mvn", "-B", "-q"};
  if (offline) command.push_back("-o");
  if (!settings_file.empty()) {
    command.push_back("-s");
    command.push_back(settings_file);
  }
  for (const char* word : {"package", "dependency:copy-dependencies", "-DincludeScope=runtime",
                           "-DskipTests=true", "-Dmdep.prependGroupId=true", "-DoutputDirectory=target"}) {
    command.push_back(word);
  }
  return command;
}

std::vector<std::string> WithTrustStore(const std::string& ca_file, std::vector<std::string> command) {
  constexpr char kScript[] =
      "store=/tmp/thaw-trust.p12; "
      "if openssl pkcs12 -export -nokeys -in \"$1\" -jdktrust anyExtendedKeyUsage -out $store -passout "
      "pass:changeit "
      "2>/dev/null; then "
      "export MAVEN_OPTS=\"$MAVEN_OPTS -Djavax.net.ssl.trustStore=$store "
      "-Djavax.net.ssl.trustStoreType=PKCS12 "
      "-Djavax.net.ssl.trustStorePassword=changeit\"; fi; shift; exec \"$@\"";
  std::vector<std::string> wrapped = {"sh", "-c", kScript, "sh", ca_file};
  wrapped.insert(wrapped.end(), command.begin(), command.end());
  return wrapped;
}

std::string MavenSettings(const std::vector<std::pair<std::string, std::string>>& proxies) {
  const auto find = [&proxies](std::initializer_list<absl::string_view> names) {
    for (const absl::string_view name : names) {
      for (const auto& [key, value] : proxies) {
        if (key == name && !value.empty()) return value;
      }
    }
    return std::string();
  };
  absl::string_view url;
  const std::string given = find({"https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"});
  if (given.empty()) return "";
  url = given;
  if (const auto scheme = url.find("://"); scheme != absl::string_view::npos) url.remove_prefix(scheme + 3);
  url = url.substr(0, url.find('/'));
  std::string user;
  if (const auto at = url.rfind('@'); at != absl::string_view::npos) {
    user = std::string(url.substr(0, at));
    url.remove_prefix(at + 1);
  }
  const std::pair<std::string, std::string> host = absl::StrSplit(url, absl::MaxSplits(':', 1));
  std::vector<std::string> direct;
  for (absl::string_view name : absl::StrSplit(find({"no_proxy", "NO_PROXY"}), ',', absl::SkipEmpty())) {
    name = absl::StripAsciiWhitespace(name);
    // `.example.com` means all hosts below it.
    direct.push_back(absl::StrCat(absl::StartsWith(name, ".") ? "*" : "", name));
  }
  std::string proxy = absl::StrCat(Element("id", "host"), Element("active", "true"),
                                   // Maven takes an http proxy for https repositories, too.
                                   Element("protocol", "http"), Element("host", host.first),
                                   Element("port", host.second.empty() ? "80" : host.second));
  if (!user.empty()) {
    const std::pair<std::string, std::string> login = absl::StrSplit(user, absl::MaxSplits(':', 1));
    absl::StrAppend(&proxy, Element("username", login.first), Element("password", login.second));
  }
  absl::StrAppend(&proxy, Element("nonProxyHosts", absl::StrJoin(direct, "|")));
  return absl::StrCat("<settings><proxies><proxy>", proxy, "</proxy></proxies></settings>\n");
}

}  // namespace thaw::cli
