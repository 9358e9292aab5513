// Which pages of the cache hold what: reference counts, and full pages kept by their tokens so that a prompt
// that begins alike need not be computed again. Numbers only; the bytes are KvStorage's.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <span>
#include <utility>
#include <vector>

namespace chaski {

/// Pages that so many tokens fill, the last perhaps in part.
inline int64_t pages_for(int64_t n_tokens, int32_t page_tokens) {
  return (n_tokens + page_tokens - 1) / page_tokens;
}

/// What a cache is to hold.
struct CacheDemand {
  int64_t context = 0;  ///< tokens of a sequence, at most
  int32_t n_sequences = 1;
  int32_t page_tokens = 0;
  int64_t page_bytes = 0;  ///< k and v of all layers
};

/// Pages for `demand`: `n_asked`, or where that is 0 enough for all sequences, but no more than 4 GiB unless
/// one sequence alone needs more. Throws Error(kUsage) where they have 2^31 places or more.
int32_t n_cache_pages(const CacheDemand& demand, int64_t n_asked = 0);

/// A page is free, in use (by one or more sequences), or kept: unused, but its tokens are known and it is
/// reused, or evicted, longest unused first. Reuse is by comparing the tokens themselves, never a hash alone.
class KvCache {
 public:
  KvCache(int32_t n_pages, int32_t page_tokens, bool keeps_pages);

  int32_t n_pages() const { return static_cast<int32_t>(pages_.size()); }
  int32_t page_tokens() const { return page_tokens_; }
  /// Free and kept ones: what can be allocated.
  int32_t n_available() const;

  /// A page with one reference. Only where n_available() > 0.
  int32_t allocate();
  void release(int32_t page);
  /// Full pages that begin `tokens`, one more reference on each.
  std::vector<int32_t> match(std::span<const int32_t> tokens);
  /// Note that pages[index] is full: with the pages before it, it holds the first tokens of `tokens`.
  void keep(const std::vector<int32_t>& pages, size_t index, std::span<const int32_t> tokens);

  /// Throws Error(kInternal) where the counts, the free list and the kept pages do not agree. `users` are
  /// the page lists of all sequences.
  void check_integrity(const std::vector<const std::vector<int32_t>*>& users) const;

 private:
  /// What a full page holds: its tokens after the content numbered `parent` (0: the beginning).
  using Content = std::pair<uint64_t, std::vector<int32_t>>;
  struct Page {
    int32_t n_references = 0;
    uint64_t serial = 0;  ///< of its content, never reused; 0: none known
    std::map<Content, int32_t>::iterator content;
    std::list<int32_t>::iterator unused;  ///< its place in unused_, where it is kept and has no references
  };
  Page& at(int32_t page);
  Content content_of(uint64_t parent, std::span<const int32_t> tokens, size_t index) const;

  int32_t page_tokens_;
  bool keeps_pages_;
  std::vector<Page> pages_;
  std::vector<int32_t> free_;  ///< taken from the back
  std::list<int32_t> unused_;  ///< kept pages without references, longest unused first
  std::map<Content, int32_t> by_content_;
  uint64_t last_serial_ = 0;
};

}  // namespace chaski
