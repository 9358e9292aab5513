"""What bench/quality.py and bench/quality_default.py measured, as tables in English and Chinese, and what of it must
hold. Nothing is measured here."""
import pathlib
import re

MAX_PERPLEXITY_RATIO = 0.005
MAX_KL_RATIO = 1.1


def rounded(value):
    """Six digits say what can be compared."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def machine():
    facts = pathlib.Path("/proc/cpuinfo").read_text()
    name = re.search(r"model name\s*: (.*)", facts)[1]
    return f"{name}{' with AVX-512 VNNI' if 'avx512_vnni' in facts else ''}"


def replace(path, texts):
    """Puts each text of {name: text} between <!-- name --> and <!-- end name --> of a page."""
    page = path.read_text(encoding="utf-8")
    for name, text in texts.items():
        page, n = re.subn(rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)", lambda m, t=text: f"{m[1]}{t}\n{m[2]}", page,
                          flags=re.S)
        if n != 1:
            raise SystemExit(f"{path}: no place for {name}")
    path.write_text(page, encoding="utf-8")


def markdown(head, rows):
    return "\n".join(["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)])


# ---- the default model ----

def default_failures(result):
    text, greedy, out = result["text"], result["greedy"], []
    for kind in ("exact", "fast"):
        if abs(text[kind]["ratio"] - 1) > MAX_PERPLEXITY_RATIO:
            out.append(f"perplexity at {kind} is NOT within {100 * MAX_PERPLEXITY_RATIO} % of llama.cpp's")
    if text["fast"]["kl"] > MAX_KL_RATIO * text["llama.cpp"]["kl"]:
        out.append(f"the KL of fast is NOT within {MAX_KL_RATIO} times llama.cpp's")
    if greedy["fast"]["widest_gap"] > greedy["bound"]:
        out.append(f"fast chooses another token than exact at a gap of {greedy['fast']['widest_gap']}, where llama.cpp's rounding "
                   f"moves gaps by at most {greedy['bound']}")
    for item in greedy["prompts"]:
        if item["same"] < greedy["n"] and abs(item["gap"]) > greedy["bound"]:
            out.append(f"{item['prompt']}: other tokens after {item['same']}, though exact's gap between the two is {item['gap']}")
    return out


DEFAULT = {
    "en": ("{date}, {machine}, path {isa}, {model}; text: {text} ({tokens:,} tokens scored in windows of {ctx}, the same for both).",
           ["", "perplexity", "÷ llama.cpp's (standard error)", "KL to exact", "99 % below", "same best token as exact"],
           "Greedy answers of {n} tokens, chaski in fast beside llama.cpp: {same} of {n_prompts} prompts the same to the end. At {positions} "
           "positions along exact's answers, llama.cpp's rounding moves the gap between exact's two best logits by up to {bound:.2f} "
           "(root mean square {theirs:.2f}), chaski's fast by up to {most:.2f} ({ours:.2f}); another token than exact's is best at "
           "{n_theirs} positions in llama.cpp and at {n_ours} in fast.",
           "After {same} tokens of “{prompt}” the two part: in exact the two tokens are {gap:.3f} apart, with {whose} before."),
    "zh": ("{date}，{machine}，代码路径 {isa}，{model}；文本 {text}（计分 {tokens:,} 个词元，窗口 {ctx}，双方相同）。",
           ["", "困惑度", "与 llama.cpp 之比（标准误差）", "相对 exact 的 KL", "99 % 低于", "首选词元与 exact 一致"],
           "贪心续写 {n} 个词元，chaski（fast）与 llama.cpp 相比：{n_prompts} 个提示中有 {same} 个自始至终相同。沿 exact 的续写取 {positions} 个位置，llama.cpp "
           "的舍入使 exact 前两名 logit 之差最多变动 {bound:.2f}（均方根 {theirs:.2f}），chaski 的 fast 最多变动 {most:.2f}（{ours:.2f}）；首选词元与 exact 不同的位置，"
           "llama.cpp 有 {n_theirs} 个，fast 有 {n_ours} 个。",
           "“{prompt}”在 {same} 个词元之后分叉：exact 下这两个词元相差 {gap:.3f}，{whose} 选的在前。"),
}


def default_model(result, lang):
    """Of what bench/quality_default.py measured."""
    facts, head, summary, parting = DEFAULT[lang]
    text, greedy = result["text"], result["greedy"]
    rows = []
    for kind in ("exact", "fast", "llama.cpp"):
        row = text[kind]
        ratio = "" if kind == "llama.cpp" else f"{row['ratio']:.5f} ({row['ratio_se']:.5f})"
        rounding = [""] * 3 if kind == "exact" else [f"{row['kl']:.2e}", f"{row['kl_p99']:.1e}", f"{100 * row['top1']:.1f} %"]
        rows.append([kind if kind == "llama.cpp" else f"chaski, {kind}", f"{row['perplexity']:.4f}", ratio, *rounding])
    ours, theirs = greedy["fast"], greedy["llama.cpp"]
    sentences = [summary.format(n=greedy["n"], same=sum(item["same"] == greedy["n"] for item in greedy["prompts"]),
                                n_prompts=len(greedy["prompts"]), positions=greedy["positions"], bound=greedy["bound"],
                                theirs=theirs["shift_rms"], most=ours["shift_max"], ours=ours["shift_rms"],
                                n_theirs=theirs["other_best"], n_ours=ours["other_best"])]
    for item in greedy["prompts"]:
        if item["same"] < greedy["n"]:
            sentences.append(parting.format(same=item["same"], prompt=item["prompt"], gap=abs(item["gap"]),
                                            whose="chaski" if item["gap"] > 0 else "llama.cpp"))
    sep = " " if lang == "en" else ""
    return "\n\n".join([facts.format(**{**result, **text, "text": text["text"]}), markdown(head, rows), sep.join(sentences)])


# ---- what rounding costs, by format ----

ROUNDING = {
    "en": ["format", "fast", "llama.cpp", "fast ÷ llama.cpp", "fast", "llama.cpp", "fast ÷ llama.cpp"],
    "zh": ["格式", "fast", "llama.cpp", "fast ÷ llama.cpp", "fast", "llama.cpp", "fast ÷ llama.cpp"],
}


def rounding(result, lang):
    """Of what bench/quality.py measured: KL to exact on the same file, then KL to the unquantised model at exact."""
    rows = []
    for row in result["rows"]:
        cells = [row["format"]]
        sample = {name: facts["kl"] for name, facts in row["sample"].items()}
        for kl in (row.get("rounding"), sample):  # an older row may lack the former
            cells += [f"{kl['fast']:.2e}", f"{kl['rival']:.2e}", f"{kl['fast'] / kl['rival']:.2f}"] if kl else ["–"] * 3
        rows.append(cells)
    return markdown(ROUNDING[lang], rows)


def rounding_failures(result):
    """The formats whose KL to the unquantised model is above 1.1 times llama.cpp's for the same file."""
    return [row["format"] for row in result["rows"]
            if row["sample"]["fast"]["kl"] > MAX_KL_RATIO * row["sample"]["rival"]["kl"]]
