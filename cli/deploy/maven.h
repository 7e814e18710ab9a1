#ifndef THAW_CLI_DEPLOY_MAVEN_H_
#define THAW_CLI_DEPLOY_MAVEN_H_

#include <string>
#include <utility>
#include <vector>

namespace thaw::cli {

// The words that build a function's jars into target/, its run-time dependencies beside them, as Fn's own
// tool does.
std::vector<std::string> MavenBuildCommand(bool offline, const std::string& settings_file);

// `command` by way of a shell that first makes a Java trust store of the PEM bundle `ca_file`, where the
// image can: Java takes no PEM.
std::vector<std::string> WithTrustStore(const std::string& ca_file, std::vector<std::string> command);

// Maven's settings.xml with the proxy that the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY and their
// lower-case kin) names, as Maven does not read that itself; "" when it names none.
std::string MavenSettings(const std::vector<std::pair<std::string, std::string>>& proxies);

}  // namespace thaw::cli

#endif  // THAW_CLI_DEPLOY_MAVEN_H_
