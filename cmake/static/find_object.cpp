// _dl_find_object, by which gcc's unwinder finds the tables of exceptions for an address. glibc has it since 2.35; a
// release binary starts with 2.34, and has this one, which walks the loaded objects as the unwinder did before.
#include <dlfcn.h>
#include <link.h>

static_assert(DLFO_STRUCT_HAS_EH_DBASE == 0 && DLFO_STRUCT_HAS_EH_COUNT == 0, "the result has more to fill in");

namespace {

struct Search {
  ElfW(Addr) address;
  dl_find_object* result;
};

/// One object: 0 to go on, 1 where it holds the address and says where its tables are, -1 where it has none.
int visit(dl_phdr_info* object, size_t, void* of) {
  const auto* search = static_cast<const Search*>(of);
  ElfW(Addr) begin = ~ElfW(Addr){0}, end = 0, tables = 0;
  bool is_here = false;
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = object->dlpi_phdr[i];
    const ElfW(Addr) part_begin = object->dlpi_addr + part.p_vaddr, part_end = part_begin + part.p_memsz;
    if (part.p_type == PT_GNU_EH_FRAME) tables = part_begin;
    if (part.p_type != PT_LOAD) continue;
    is_here = is_here || (search->address >= part_begin && search->address < part_end);
    if (part_begin < begin) begin = part_begin;
    if (part_end > end) end = part_end;
  }
  if (!is_here) return 0;
  if (tables == 0) return -1;
  *search->result = {};
  search->result->dlfo_map_start = reinterpret_cast<void*>(begin);
  search->result->dlfo_map_end = reinterpret_cast<void*>(end);
  search->result->dlfo_eh_frame = reinterpret_cast<void*>(tables);
  return 1;
}

}  // namespace

/// Hidden: libraries that are opened at run time keep to their own libc's.
extern "C" __attribute__((visibility("hidden"))) int _dl_find_object(void* address, dl_find_object* result) noexcept {
  Search search{reinterpret_cast<ElfW(Addr)>(address), result};
  return dl_iterate_phdr(&visit, &search) == 1 ? 0 : -1;
}
