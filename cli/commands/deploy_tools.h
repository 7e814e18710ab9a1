#ifndef THAW_CLI_COMMANDS_DEPLOY_TOOLS_H_
#define THAW_CLI_COMMANDS_DEPLOY_TOOLS_H_

#include "cli/commands/context.h"
#include "cli/deploy/image_builder.h"

namespace thaw::cli {

// What the environment says about builds: CA bundle (SSL_CERT_FILE), proxies, TMPDIR.
ImageBuilder::Options BuilderOptions(Context& context);

}  // namespace thaw::cli

#endif  // THAW_CLI_COMMANDS_DEPLOY_TOOLS_H_
