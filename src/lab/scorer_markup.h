// An answer taken apart before it is scored: its code, its prose, and what should not be in it (tokens of
// chat templates, role headers, HTML, stray signs). Never throws on any text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "lab/scorer.h"

namespace chaski {

struct CodeBlock {
  std::string language;  ///< of the fence, in lower case; empty without
  std::string code;
};

struct AnswerParts {
  std::string text;   ///< all of it without noise and without the fences' own lines, valid UTF-8
  std::string prose;  ///< the same without the code in fences
  std::vector<CodeBlock> blocks;
  std::string noise;         ///< the first piece of noise; empty without any
  bool is_page = false;      ///< of HTML, more than an answer with tags in it
  bool has_heading = false;  ///< of Markdown
  bool is_cut = false;       ///< there was more than the rubric's max_answer_bytes
  bool is_finished = false;  ///< ends as a sentence, a formula or a block of code does
};

/// `prompt` says whether markup was asked for.
AnswerParts take_apart(std::string_view answer, std::string_view prompt, const Rubric& rubric);

}  // namespace chaski
