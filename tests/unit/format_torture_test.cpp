// What happens when memory or a file gives out halfway: each allocation and each read of opening a model, of
// its tokenizer and of a rendered template fails in its turn. Every time it must end in an error, with
// nothing leaked and nothing left open; std::bad_alloc counts as one, since the program's doors make an error
// of it.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <new>

#include "base/byte_alphabet.h"
#include "base/error.h"
#include "format/lora.h"
#include "format/safetensors_writer.h"
#include "format_builders.h"
#include "support/load_tokenizer.h"
#include "text/chat_template.h"
#include "text_vocab.h"

namespace {

enum class Read { kRight, kError, kEnd };
Read bad_read = Read::kRight;
size_t until_bad_read = 0;  // 0 once it was read, or where none shall be

}  // namespace

/// In the C library's place for this program: the one call by which files of models are read.
extern "C" ssize_t pread(int fd, void* out, size_t bytes, off_t offset) {
  if (until_bad_read > 0 && --until_bad_read == 0) {
    if (bad_read == Read::kEnd) return 0;
    errno = EIO;
    return -1;
  }
  return syscall(SYS_pread64, fd, out, bytes, offset);
}

namespace chaski::testing {
namespace {

namespace fs = std::filesystem;
using Work = std::function<void()>;

size_t open_files() {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()));
}

/// Whether `work` went through. An internal error is a fault of ours.
bool succeeds(const Work& work) {
  try {
    work();
    return true;
  } catch (const Error& error) {
    EXPECT_NE(error.code(), ErrorCode::kInternal) << error.what();
  } catch (const std::bad_alloc&) {
  }
  return false;
}

/// Runs `work` with fault 1, 2, … until it meets none: all of the first 200, then every 97th. `arm(n)` sets
/// the fault, `was_met()` takes it back and says whether it happened. Returns the number of faults.
template <typename Arm, typename WasMet>
size_t for_each_fault(const std::string& what, const Work& work, Arm arm, WasMet was_met) {
  constexpr size_t kAll = 200, kStep = 97;
  work();  // what is made once and kept is made now
  const size_t files = open_files(), heap = heap_now();
  size_t n_faults = 0;
  for (size_t n = 1;; n += n < kAll ? 1 : kStep) {
    arm(n);
    const bool is_done = succeeds(work);
    const bool happened = was_met();
    if (!happened) {
      EXPECT_TRUE(is_done) << what << " without a fault";
      break;
    }
    ++n_faults;
    EXPECT_EQ(heap_now(), heap) << what << ": fault " << n << " leaks";
  }
  EXPECT_EQ(open_files(), files) << what << " leaves files open";
  return n_faults;
}

void torture(const std::string& what, const Work& work) {
  const size_t n_allocations = for_each_fault(what, work, fail_allocation, allocation_failed);
  size_t n_reads = 0;
  for (const Read kind : {Read::kError, Read::kEnd}) {
    n_reads += for_each_fault(
        what, work,
        [&](size_t n) {
          bad_read = kind;
          until_bad_read = n;
        },
        [] { return std::exchange(until_bad_read, 0) == 0; });
  }
  std::printf("%s: %zu allocations and %zu reads failed\n", what.c_str(), n_allocations, n_reads);
  EXPECT_GT(n_allocations, 10u) << what;
}

const OrderedJson kMessages = {{{"role", "system"}, {"content", "Answer."}},
                               {{"role", "user"}, {"content", "甲?"}}};
constexpr const char* kTemplate =
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] | trim }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}";

/// Nothing but a vocabulary as GGUF gives it: all bytes and a merge.
class BareVocabulary : public Checkpoint {
 public:
  BareVocabulary() {
    for (int byte = 0; byte < 256; ++byte) {
      const char c = static_cast<char>(byte);
      tokenizer_.tokens.push_back(alphabet_from_bytes({&c, 1}));
    }
    tokenizer_.tokens.emplace_back("AB");
    tokenizer_.token_types.assign(257, 1);
    tokenizer_.merges = {"A B"};
    tokenizer_.gguf_model = "gpt2";
    tokenizer_.gguf_pre = "llama-bpe";
  }
  std::vector<std::string> names() const override { return {}; }
  WeightSourcePtr find(std::string_view) const override { return nullptr; }
  std::string content_hash(const OnBytes&) const override { return {}; }
  uint64_t weight_bytes() const override { return 0; }
};

void write_folder(const fs::path& folder) {
  write_sharded_model(folder);
  write_file_atomic(folder / "tokenizer.json",
                    test::small_json({{"a", "b"}, {"ab", "c"}}, {"<|begin|>", "<|end|>"}).dump());
  write_file_atomic(folder / "tokenizer_config.json", Json{{"chat_template", kTemplate}}.dump());
  write_file_atomic(folder / "generation_config.json", R"({"eos_token_id":[2],"temperature":0.6})");
}

void write_adapter(const fs::path& folder) {
  fs::create_directories(folder);
  write_file_atomic(folder / "adapter_config.json",
                    R"({"peft_type":"LORA","r":1,"lora_alpha":2,"target_modules":["q_proj"]})");
  const std::string stem = "base_model.model.model.layers.0.self_attn.q_proj.lora_";
  const std::vector<SafetensorsPlan> plan = {{stem + "A.weight", DType::kF32, {1, 8}},
                                             {stem + "B.weight", DType::kF32, {8, 1}}};
  const SafetensorsLayout layout = lay_out_safetensors({}, plan);
  std::string file = layout.header;
  file.resize(static_cast<size_t>(layout.file_bytes));
  write_file_atomic(folder / "adapter_model.safetensors", file);
}

TEST(Torture, OpeningAGgufFile) {
  const TemporaryFolder folder;
  const std::string path = folder / "m.gguf";
  write_file_atomic(path, small_gguf().build());
  torture("GGUF file", [&] { values_of(*Checkpoint::open(path)->find("lm_head.weight")); });
}

TEST(Torture, OpeningASplitGguf) {
  const TemporaryFolder folder;
  write_gguf_parts(folder.path(), small_gguf_parts());
  torture("split GGUF", [&] { values_of(*Checkpoint::open(folder.path())->find("lm_head.weight")); });
}

TEST(Torture, OpeningAFolderOfShards) {
  const TemporaryFolder folder;
  write_folder(folder.path());
  torture("folder of shards", [&] { values_of(*Checkpoint::open(folder.path())->find("lm_head.weight")); });
}

TEST(Torture, MakingATokenizerAndEncoding) {
  const TemporaryFolder folder;
  write_folder(folder.path());
  const auto make = [](const Checkpoint& model) {
    const Tokenizer tokenizer = tests::load_tokenizer(model);
    EXPECT_FALSE(tokenizer.encode("ABC", {}).empty());
  };
  const auto model = Checkpoint::open(folder.path());
  torture("tokenizer.json", [&] { make(*model); });
  const BareVocabulary vocabulary;
  torture("vocabulary of GGUF", [&] { make(vocabulary); });
}

TEST(Torture, ReadingAnAdapterAndAMergedWeight) {
  const TemporaryFolder folder;
  write_adapter(folder.path());
  const auto base = open_gguf_bytes(small_gguf().build());
  torture("adapter", [&] {
    values_of(*with_lora(base, folder.path(), DType::kF32)->find("model.layers.0.self_attn.q_proj.weight"));
  });
}

TEST(Torture, RenderingAChatTemplate) {
  torture("chat template", [] {
    const ChatTemplate chat(kTemplate, "<s>", "</s>");
    EXPECT_EQ(chat.render(kMessages).text, "<s><|system|>Answer.<|user|>甲?<|assistant|>");
  });
}

}  // namespace
}  // namespace chaski::testing
