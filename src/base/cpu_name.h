// The processor's name, and the reading of the system's "name: value" files that it needs.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>

namespace chaski {

/// The text after `separator` in the first line of `file` that begins with one of `keys`, without blanks and
/// quotes around it. Empty where there is none.
std::string system_value(const std::filesystem::path& file, std::initializer_list<std::string_view> keys,
                         char separator);

/// As the system below `root` tells it, as "AMD EPYC 9654"; empty where it does not.
std::string cpu_name(const std::filesystem::path& root = "/");

}  // namespace chaski
