// The question whether a model that is not here shall be fetched.
#pragma once

#include <string>

#include "cli/options.h"

namespace chaski::cli {

/// Where `model` is not on this computer and could be a hub's: asks on a terminal whether to fetch it, and
/// fetches it. Without a terminal, after a no, and for any other model it does nothing.
void offer_pull(const std::string& model, const Context& context);

}  // namespace chaski::cli
