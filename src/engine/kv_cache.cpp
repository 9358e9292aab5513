// See kv_cache.h.
#include "engine/kv_cache.h"

#include <algorithm>
#include <limits>

#include "base/error.h"

namespace chaski {
namespace {

/// The most that a cache takes unasked, unless one sequence alone needs more.
constexpr int64_t kDefaultKvBytes = int64_t{4} << 30;

}  // namespace

int32_t n_cache_pages(const CacheDemand& demand, int64_t n_asked) {
  int64_t n_pages = n_asked;
  if (n_pages == 0) {
    const int64_t per_sequence = pages_for(demand.context, demand.page_tokens);
    const int64_t n_fitting = kDefaultKvBytes / demand.page_bytes;
    n_pages = n_fitting / demand.n_sequences < per_sequence ? n_fitting : per_sequence * demand.n_sequences;
    n_pages = std::max(n_pages, per_sequence);
  }
  if (n_pages > std::numeric_limits<int32_t>::max() / demand.page_tokens) {
    throw Error(ErrorCode::kUsage, "engine",
                fmt::format("a cache of {} pages of {} tokens has more places than 2^31", n_pages,
                            demand.page_tokens),
                "ask for a shorter context");
  }
  return static_cast<int32_t>(n_pages);
}

KvCache::KvCache(int32_t n_pages, int32_t page_tokens, bool keeps_pages)
    : page_tokens_(page_tokens), keeps_pages_(keeps_pages) {
  CHECK(n_pages > 0 && page_tokens > 0, "a cache of {} pages of {} tokens", n_pages, page_tokens);
  pages_.resize(static_cast<size_t>(n_pages));
  for (int32_t page = n_pages; page-- > 0;) free_.push_back(page);
}

KvCache::Page& KvCache::at(int32_t page) {
  CHECK(page >= 0 && page < n_pages(), "page {} of {}", page, n_pages());
  return pages_[static_cast<size_t>(page)];
}

int32_t KvCache::n_available() const { return static_cast<int32_t>(free_.size() + unused_.size()); }

int32_t KvCache::allocate() {
  CHECK(n_available() > 0, "all {} pages are in use", n_pages());
  int32_t page = 0;
  if (!free_.empty()) {
    page = free_.back();
    free_.pop_back();
  } else {
    page = unused_.front();
    unused_.pop_front();
    by_content_.erase(at(page).content);
    at(page).serial = 0;
  }
  at(page).n_references = 1;
  return page;
}

void KvCache::release(int32_t page) {
  Page& entry = at(page);
  CHECK(entry.n_references > 0, "page {} is not in use", page);
  if (--entry.n_references > 0) return;
  if (entry.serial == 0) {
    free_.push_back(page);
  } else {
    entry.unused = unused_.insert(unused_.end(), page);
  }
}

KvCache::Content KvCache::content_of(uint64_t parent, std::span<const int32_t> tokens, size_t index) const {
  const auto n = static_cast<size_t>(page_tokens_);
  CHECK((index + 1) * n <= tokens.size(), "page {} of {} tokens is not full", index, tokens.size());
  const auto own = tokens.subspan(index * n, n);
  return {parent, std::vector<int32_t>(own.begin(), own.end())};
}

std::vector<int32_t> KvCache::match(std::span<const int32_t> tokens) {
  std::vector<int32_t> found;
  uint64_t parent = 0;
  const size_t n_full = tokens.size() / static_cast<size_t>(page_tokens_);
  for (size_t i = 0; i < n_full; ++i) {
    const auto it = by_content_.find(content_of(parent, tokens, i));
    if (it == by_content_.end()) break;
    Page& entry = at(it->second);
    if (entry.n_references++ == 0) unused_.erase(entry.unused);
    parent = entry.serial;
    found.push_back(it->second);
  }
  return found;
}

void KvCache::keep(const std::vector<int32_t>& pages, size_t index, std::span<const int32_t> tokens) {
  if (!keeps_pages_) return;
  Page& entry = at(pages[index]);
  if (entry.serial != 0) return;
  const uint64_t parent = index == 0 ? 0 : at(pages[index - 1]).serial;
  // Where an equal page was there first, this one stays unknown, and so do those after it.
  if (index > 0 && parent == 0) return;
  const auto [it, is_new] = by_content_.emplace(content_of(parent, tokens, index), pages[index]);
  if (!is_new) return;
  entry.serial = ++last_serial_;
  entry.content = it;
}

void KvCache::check_integrity(const std::vector<const std::vector<int32_t>*>& users) const {
  std::vector<int32_t> n_references(pages_.size());
  for (const std::vector<int32_t>* user : users) {
    for (const int32_t page : *user) {
      CHECK(page >= 0 && page < n_pages(), "a sequence holds page {} of {}", page, n_pages());
      ++n_references[static_cast<size_t>(page)];
    }
  }
  std::vector<int32_t> n_listed(pages_.size());
  for (const int32_t page : free_) ++n_listed[static_cast<size_t>(page)];
  for (const int32_t page : unused_) ++n_listed[static_cast<size_t>(page)];
  size_t n_known = 0;
  for (size_t i = 0; i < pages_.size(); ++i) {
    const Page& page = pages_[i];
    CHECK(page.n_references == n_references[i], "page {} counts {} references, sequences hold {}", i,
          page.n_references, n_references[i]);
    CHECK(n_listed[i] == (page.n_references == 0 ? 1 : 0), "page {} with {} references is listed {} times", i,
          page.n_references, n_listed[i]);
    if (page.serial == 0) continue;
    ++n_known;
    CHECK(page.content->second == static_cast<int32_t>(i), "page {} is found as page {}", i,
          page.content->second);
  }
  CHECK(n_known == by_content_.size(), "{} pages are known by content, {} listed", n_known,
        by_content_.size());
}

}  // namespace chaski
