// The folder of packed weights on the disk: room for one more file, and what is in the way of that.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace chaski::cpu {

/// Files of packed weights end so; those being written have more behind it.
inline constexpr const char* kPackSuffix = ".weights";

/// A new file in `folder`, named after `stem`, open for reading and writing and locked against clearing.
struct PartialFile {
  int fd = -1;
  std::filesystem::path path;
};

/// Make room for `bytes` and begin a file. All files together may take half of what they and the free space
/// are; those used longest ago go first. Throws Error(kIo) saying why there is no file to be had.
PartialFile begin_pack_file(const std::filesystem::path& folder, const std::string& stem, uint64_t bytes);

/// Say that the file is in use, for the order in which files go.
void mark_used(int fd);

}  // namespace chaski::cpu
