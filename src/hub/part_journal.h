// What of a file is on the disk already, kept beside it so that an interrupted download goes on where it was:
// after the end of the process from what was written, after a restart of the machine from what was synced.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace chaski {

/// Of what a server says of a file; a longer one counts as none.
constexpr size_t kMaxEtagBytes = 512;

/// The content that a journal is of. Another identity, another file: nothing of it is continued.
struct JournalIdentity {
  std::string origin;  ///< hub, repository and name
  std::string hash;    ///< that the hub promises; empty: none
  uint64_t size = 0;
  uint64_t part_bytes = 0;
};

/// Of one part, from its beginning.
struct PartProgress {
  uint64_t n_written = 0;  ///< bytes given to the kernel
  uint64_t n_synced = 0;   ///< bytes that the disk has, at most n_written
};

struct JournalContent {
  std::string etag;  ///< as the server said it; empty: it said none
  std::string boot;  ///< of the machine, when it was written
  std::vector<PartProgress> parts;
};

size_t count_parts(const JournalIdentity& identity);
/// The bytes of part `i`, the last of which may be shorter.
uint64_t bytes_of_part(const JournalIdentity& identity, size_t i);

/// Nothing where `text` (anything) is no journal of `identity`. A part whose line is damaged counts as empty.
std::optional<JournalContent> parse_journal(std::string_view text, const JournalIdentity& identity);

/// The journal's file. Writing is thread-safe for different parts. What cannot be written is lost for the
/// continuation and no error.
class PartJournal {
 public:
  /// `fd`: open for reading and writing, and the journal's from now on.
  PartJournal(int fd, JournalIdentity identity);
  ~PartJournal();
  PartJournal(const PartJournal&) = delete;
  PartJournal& operator=(const PartJournal&) = delete;

  /// What an earlier run left: n_written of each part is where to go on. Nothing where there is none.
  std::optional<JournalContent> load() const;
  /// What an earlier run left is gone, and no loss of power brings it back.
  void forget();
  /// Write all of it anew, as of now: valid only when it is whole.
  void begin(const std::string& etag, const std::vector<PartProgress>& parts);
  /// The same parts, known by `etag` from now on.
  void write_etag(const std::string& etag);
  void write_part(size_t part, const PartProgress& progress);
  void sync();

 private:
  int fd_;
  JournalIdentity identity_;
};

}  // namespace chaski
