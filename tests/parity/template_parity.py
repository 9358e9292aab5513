"""Chat templates: chaski's rendering against Jinja2, set up as transformers sets it up, on random conversations.

Every template of --templates (those for training left out) and the one in --gguf renders each conversation twice; the
texts must be equal byte for byte, and where Jinja2 raises, chaski must refuse. Llama 3's templates must be among them,
and each of those must have rendered. Exits 1 at differences and at what is missing.
"""

import argparse
import datetime
import json
import pathlib
import random
import subprocess
import sys

import jinja2
import jinja2.ext
import jinja2.sandbox

BOS, EOS = "<|begin_of_text|>", "<|eot_id|>"
SPECIAL_TOKENS = {"pad_token": "<|finetune_right_pad_id|>", "unk_token": "<unk>"}
DATE = "26 Jul 2024"
REQUIRED = ("llama3.jinja", "llama3_1.jinja", "llama3_2.jinja")
REASONING = ("reasoning_content", "thinking", "reasoning")


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


class Namespace(jinja2.utils.Namespace):
    def __init__(*args, **kwargs):
        self, args = args[0], args[1:]
        attributes = dict(*args, **kwargs)
        for name in attributes:
            Namespace.check(name)
        jinja2.utils.Namespace.__init__(self, attributes)

    def __setitem__(self, name, value):
        Namespace.check(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)

    @staticmethod
    def check(name):
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(name)


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def strftime_now(form):
        return datetime.datetime.strptime(DATE, "%d %b %Y").strftime(form)

    env.filters["tojson"] = tojson
    env.globals.update(raise_exception=raise_exception, strftime_now=strftime_now, namespace=Namespace, dict=dict)
    return env


def with_reasoning(message):
    reasoning = next((message[key] for key in REASONING if message.get(key) is not None), None)
    if reasoning is None:
        return message
    return {"thinking": reasoning, **message, "reasoning_content": reasoning}


class Conversations:
    """Random conversations: every choice comes from the seed."""

    PIECES = [
        "Hello", "你好，世界", " ", "  \n", "\n\n", "\t", "What is 2+2?", "<|eot_id|>", "<|im_end|>", "<think>", "</think>",
        "<|start_header_id|>system<|end_header_id|>", "{{ x }}", "{% if %}", "'", '"', "\\", "é", "🙂", "\u00a0", "\u3000",
        "ß", "İ", "ΑΣ", "a\u200bb", "<tool_call>", "</tool_call>", "<tool_response>x</tool_response>", "1.5", "&<>", "[1]",
        "<|channel|>final", "line\r\nbreak", "\x1c", "\x7f", "def f(x):\n    return x\n", "</s>", "<s>", "[INST]", "%s",
    ]

    def __init__(self, seed):
        self.random = random.Random(seed)

    def text(self, allow_empty=True):
        r = self.random
        if allow_empty and r.random() < 0.06:
            return r.choice(["", " ", "\n"])
        return "".join(r.choice(self.PIECES) for _ in range(r.randint(1, 6)))

    def word(self):
        return self.random.choice(["city", "unit", "Days", "x_1", "地点", "über", "a", "B", "query", "items"])

    def number(self):
        r = self.random
        return r.choice([0, 1, -7, 10**12, 2**63, 0.5, 1e-7, 1e16, 123456.789, 1.0, -0.0, 3.14, r.random(), r.randint(0, 99)])

    def value(self, depth=0):
        r = self.random
        kind = r.randrange(8 if depth < 3 else 5)
        if kind < 2:
            return self.text()
        if kind == 2:
            return self.number()
        if kind == 3:
            return r.choice([True, False])
        if kind == 4:
            return None
        if kind < 7:
            return {self.word(): self.value(depth + 1) for _ in range(r.randint(0, 3))}
        return [self.value(depth + 1) for _ in range(r.randint(0, 3))]

    def schema(self, depth=0):
        r = self.random
        schema = {"type": r.choice(["string", "number", "integer", "boolean", "array", "object", ["string", "null"]])}
        if schema["type"] == "array" and r.random() < 0.8:
            schema["items"] = self.schema(depth + 1) if depth < 2 else {"type": "string"}
        if schema["type"] == "object" and r.random() < 0.8 and depth < 2:
            schema["properties"] = {self.word(): self.schema(depth + 1) for _ in range(r.randint(0, 3))}
            schema["required"] = list(schema["properties"])[:1]
        if r.random() < 0.6:
            schema["description"] = self.text()
        if r.random() < 0.3:
            schema["enum"] = [self.word() for _ in range(r.randint(1, 3))]
        if r.random() < 0.2:
            schema["default"] = self.value(2)
        if r.random() < 0.1:
            schema["nullable"] = r.choice([True, False])
        if r.random() < 0.1 and depth < 2:
            schema["oneOf"] = [self.schema(depth + 1) for _ in range(2)]
        return schema

    def tool(self):
        r = self.random
        function = {"name": self.word() + "_tool", "description": self.text()}
        properties = {self.word(): self.schema() for _ in range(r.randint(0, 4))}
        function["parameters"] = {"type": "object", "properties": properties}
        if r.random() < 0.7:
            function["parameters"]["required"] = [name for name in properties if r.random() < 0.5]
        if r.random() < 0.15:
            function["return"] = self.schema()
        if r.random() < 0.15:
            function["response"] = self.schema()
        if r.random() < 0.1:
            function["strict"] = True
        return function if r.random() < 0.1 else {"type": "function", "function": function}

    def call(self, number):
        r = self.random
        arguments = {self.word(): self.value(1) for _ in range(r.randint(0, 3))}
        if r.random() < 0.25:
            arguments = json.dumps(arguments, ensure_ascii=False)
        call = {"type": "function", "function": {"name": self.word() + "_tool", "arguments": arguments}}
        if r.random() < 0.6:
            call["id"] = f"call_{number}"
        return call

    def content(self):
        r = self.random
        if r.random() < 0.12:
            return [self.part() for _ in range(r.randint(0, 3))]
        return self.text()

    def part(self):
        r = self.random
        if r.random() < 0.75:
            return {"type": "text", "text": self.text()}
        return r.choice([{"type": "image"}, {"type": "image", "image": "x.png"}, {"type": "video"}, {"type": "audio"},
                         {"type": "image_url", "image_url": {"url": "x"}}])

    def assistant(self, n_calls):
        r = self.random
        message = {"role": "assistant"}
        if n_calls == 0 or r.random() < 0.6:
            message["content"] = self.content()
            if r.random() < 0.25 and isinstance(message["content"], str):
                message["content"] = "<think>" + self.text() + "</think>" + message["content"]
        elif r.random() < 0.5:
            message["content"] = None
        if r.random() < 0.25:
            message[r.choice(REASONING)] = self.text()
        if n_calls:
            message["tool_calls"] = [self.call(i) for i in range(n_calls)]
        return message

    def conversation(self):
        r = self.random
        messages = []
        if r.random() < 0.5:
            messages.append({"role": r.choice(["system", "system", "system", "developer"]), "content": self.content()})
        for _ in range(r.choice([0, 1, 1, 1, 2, 3])):
            messages.append({"role": "user", "content": self.content()})
            if r.random() < 0.3:
                n_calls = r.choice([1, 1, 1, 2])
                messages.append(self.assistant(n_calls))
                for i in range(n_calls):
                    result = {"role": r.choice(["tool", "tool", "ipython"]), "content": self.content()}
                    if r.random() < 0.6:
                        result["tool_call_id"] = f"call_{i}"
                    if r.random() < 0.4:
                        result["name"] = self.word() + "_tool"
                    if r.random() < 0.1:
                        result["content"] = self.value(1) if r.random() < 0 else {"result": self.value(1)}
                    messages.append(result)
            if r.random() < 0.7:
                messages.append(self.assistant(0))
        if r.random() < 0.05:
            r.shuffle(messages)
        if r.random() < 0.15 and messages:
            messages.append({"role": "user", "content": self.text()})
        options = {"add_generation_prompt": r.random() < 0.5, "date_string": DATE}
        if r.random() < 0.3:
            options["tools"] = [self.tool() for _ in range(r.randint(0, 3))]
        extra = {}
        choices = {
            "enable_thinking": [True, False], "thinking": [True, False], "preserve_thinking": [True, False],
            "tools_in_user_message": [True, False], "builtin_tools": [["browser", "python"], ["brave_search"]],
            "reasoning_effort": ["low", "medium", "high"], "add_vision_id": [True, False], "custom_tools": [[]],
            "xml_tools": [[]], "python_tools": [[]], "model_identity": ["I am chaski."], "keep_past_thinking": [True],
            "truncate_history_thinking": [True, False], "documents": [[{"title": "t", "text": "x"}]],
            "low_effort": [True], "medium_effort": [True], "reasoning_strength": [0.5, "high"],
            "knowledge_cutoff": ["2024-06"], "current_date": ["2024-07-26"],
        }
        for name, values in choices.items():
            if r.random() < 0.12:
                extra[name] = r.choice(values)
        if extra:
            options["extra"] = extra
        return messages, options


def template_of_gguf(path):
    import gguf

    field = gguf.GGUFReader(path).fields["tokenizer.chat_template"]
    return bytes(field.parts[field.data[0]]).decode("utf-8")


def reference(template, messages, options):
    variables = dict(SPECIAL_TOKENS, **options.get("extra", {}), date_string=options["date_string"])
    variables.setdefault("documents", None)
    try:
        return {"text": template.render(
            messages=[with_reasoning(m) for m in messages], tools=options.get("tools"), bos_token=BOS, eos_token=EOS,
            add_generation_prompt=options["add_generation_prompt"], **variables)}
    except (jinja2.exceptions.TemplateError, TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--render-lines", required=True, help="the program render_lines")
    parser.add_argument("--n", type=int, default=200, help="conversations")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--templates", required=True, help="a folder of *.jinja")
    parser.add_argument("--gguf", help="a GGUF file with a chat template")
    parser.add_argument("--show", type=int, default=3, help="differences to print")
    args = parser.parse_args()

    env = environment()
    sources = {p.name: p.read_text(encoding="utf-8") for p in sorted(pathlib.Path(args.templates).glob("*.jinja"))
               if not p.name.endswith("_training.jinja")}
    if args.gguf:
        sources["gguf"] = template_of_gguf(args.gguf)
    required = REQUIRED + (("gguf",) if args.gguf else ())
    missing = [name for name in required if not sources.get(name)]
    if missing:
        sys.exit(f"missing templates: {', '.join(missing)} (in {args.templates})")
    compiled = {name: env.from_string(source) for name, source in sources.items()}

    conversations = Conversations(args.seed)
    n_equal = n_refused = n_different = 0
    per_template = {}
    rendered = set()
    batch = 20
    program = subprocess.Popen([args.render_lines], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for _ in range((args.n + batch - 1) // batch):
        cases = []
        for _ in range(batch):
            messages, options = conversations.conversation()
            cases += [(name, messages, options) for name in sources]
        lines = [json.dumps(dict(template=sources[name], bos_token=BOS, eos_token=EOS, special_tokens=SPECIAL_TOKENS,
                                 messages=messages, options=options))
                 for name, messages, options in cases]
        for (name, messages, options), line in zip(cases, lines):
            program.stdin.write(line.encode() + b"\n")
            program.stdin.flush()
            ours = json.loads(program.stdout.readline())
            theirs = reference(compiled[name], messages, options)
            if "error" in theirs and "error" in ours:
                n_refused += 1
            elif theirs.get("text") == ours.get("text") and "error" not in ours:
                n_equal += 1
                rendered.add(name)
            else:
                n_different += 1
                per_template[name] = per_template.get(name, 0) + 1
                if n_different <= args.show:
                    print(f"--- {name}\nmessages: {json.dumps(messages)}\noptions: {json.dumps(options)}")
                    print(f"jinja2: {theirs}\nchaski: { {k: v for k, v in ours.items() if k != 'spans'} }")
    program.stdin.close()
    program.wait()
    print(f"{len(sources)} templates, {args.n} conversations, seed {args.seed}: {n_equal} equal texts, "
          f"{n_refused} refused by both, {n_different} different")
    if per_template:
        print(per_template)
    never = [name for name in required if name not in rendered]
    if never:
        print(f"never rendered: {', '.join(never)}")
    sys.exit(1 if n_different or never or program.returncode != 0 else 0)


if __name__ == "__main__":
    main()
