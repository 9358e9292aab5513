// From the source of a template to its tree. What the tree means: jinja_interpreter.h.
#pragma once

#include <memory>
#include <string_view>

#include "text/jinja_ast.h"

namespace chaski::jinja {

/// Parse at most 1 MiB of UTF-8 with trim_blocks, lstrip_blocks, loop controls and the generation tag.
/// Nesting is limited to 64. Throws Error(kCorrupt) for what is no template and Error(kUnsupported) for what
/// Jinja knows and chaski does not (include, import, extends, block, autoescape, *args), both naming the
/// line.
std::unique_ptr<const Program> parse_template(std::string_view source);

}  // namespace chaski::jinja
