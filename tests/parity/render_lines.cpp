// Test program: renders chat templates for comparison with another engine. Each line of stdin is a JSON
// object {template, bos_token, eos_token, special_tokens, messages, options}; each line of stdout {text,
// spans} or {error}.
#include <iostream>
#include <map>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "text/chat_template.h"

namespace {

chaski::OrderedJson render_line(const std::string& line) {
  static std::map<std::string, chaski::ChatTemplate> templates;
  using chaski::OrderedJson;
  OrderedJson result;
  try {
    const OrderedJson request = chaski::parse_ordered_json(line, "stdin");
    const auto source = request.at("template").get<std::string>();
    auto found = templates.find(source);
    if (found == templates.end()) {
      chaski::SpecialTokens special_tokens;
      const OrderedJson more = request.value("special_tokens", OrderedJson::object());
      for (const auto& [name, text] : more.items()) {
        special_tokens.emplace_back(name, text.get<std::string>());
      }
      found = templates
                  .emplace(source, chaski::ChatTemplate(source, request.at("bos_token").get<std::string>(),
                                                        request.at("eos_token").get<std::string>(),
                                                        std::move(special_tokens)))
                  .first;
    }
    const OrderedJson& given = request.at("options");
    chaski::RenderOptions options;
    options.add_generation_prompt = given.value("add_generation_prompt", true);
    options.date_string = given.value("date_string", "");
    if (given.contains("tools")) options.tools = given["tools"];
    if (given.contains("extra")) options.extra = given["extra"];
    const chaski::RenderedPrompt prompt = found->second.render(request.at("messages"), options);
    result["text"] = prompt.text;
    result["spans"] = OrderedJson::array();
    for (const chaski::PlainSpan& span : prompt.user_spans) result["spans"].push_back({span.begin, span.end});
  } catch (const chaski::Error& error) {
    result = {{"error", error.what()}};
  }
  return result;
}

}  // namespace

int main() {
  std::string line;
  while (std::getline(std::cin, line)) std::cout << chaski::to_json_text(render_line(line)) << "\n";
  return 0;
}
