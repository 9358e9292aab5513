// conversation_ids TOKENIZER: reads lines {"template", "bos", "eos", "messages", "date"}, writes a JSON list
// of the ids of each rendered conversation. The side of ours that conversation_parity.py talks to.
#include <cstdio>
#include <iostream>
#include <string>

#include "base/json.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

int main(int argc, char** argv) {
  using namespace chaski;
  if (argc != 2) return 2;
  try {
    const Tokenizer tokenizer = Tokenizer::open(argv[1]);
    for (std::string line; std::getline(std::cin, line);) {
      const OrderedJson job = parse_ordered_json(line, "stdin");
      const ChatTemplate chat(job["template"], job["bos"], job["eos"]);
      RenderOptions options;
      options.date_string = job["date"];
      const RenderedPrompt prompt = chat.render(job["messages"], options);
      const OrderedJson ids = tokenizer.encode_rendered(prompt.text, prompt.user_spans);
      std::printf("%s\n", ids.dump().c_str());
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
