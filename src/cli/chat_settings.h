// Generation settings by name, for /set and for saved conversations.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "lab/generation_settings.h"

namespace chaski::cli {

/// Set the setting of that name, as to_json(GenerationSettings) spells it; null makes it unset. Throws
/// Error(kUsage) naming the setting, what was expected and the value, and leaves `settings` as they were.
void set_setting(GenerationSettings& settings, std::string_view name, const Json& value);

/// The value that a person typed: a number, true, false or null where it is one, else text.
Json value_typed(const std::string& text);

std::vector<std::string> setting_names();

}  // namespace chaski::cli
