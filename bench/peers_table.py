"""What bench/peers.py measured, as rows and tables in English and Chinese: medians, ratios with their interval, shares
of the machine's limit, and what was aimed at. Pure: nothing is measured and nothing is read here.

A cell is {"samples": {program: [number, …]}, "bounds": {program: number}, "limit": {"what", "values"},
"work": number, "note": {"en", "zh"}}. Samples of the same index were taken in the same round. A bound stands where a
program was killed: the seconds that it was given. `work` is in 1e9 bytes or operations per token, so that
tokens/s × work is of the limit's unit.
"""
import math
import statistics

# id, title (en, zh), what is judged, reach, aim, unit, of the limit (reach, aim) where there is one.
# judged: ratio to the rival; value of chaski; least or most is better.
ROWS = [
    ("decode_bf16", ("decode, bf16", "解码，bf16"), "ratio", 1.25, 1.45, "tok/s", (0.88, 0.95)),
    ("decode_q8_0", ("decode, q8_0", "解码，q8_0"), "ratio", 1.35, 1.6, "tok/s", (0.85, 0.95)),
    ("decode_q4_0", ("decode, q4_0", "解码，q4_0"), "ratio", 1.35, 1.6, "tok/s", (0.85, 0.92)),
    ("decode_q4_K_M", ("decode, q4_K_M", "解码，q4_K_M"), "ratio", 1.35, 1.6, "tok/s", (0.85, 0.92)),
    ("prefill_bf16_exact", ("prefill 512, bf16, exact", "预填充 512，bf16，exact"), "ratio", 1.4, 1.7, "tok/s", None),
    ("prefill_bf16", ("prefill 512, bf16, fast", "预填充 512，bf16，fast"), "ratio", 1.8, 2.5, "tok/s", None),
    ("prefill_q8_0", ("prefill 512, q8_0", "预填充 512，q8_0"), "ratio", 2.0, 2.7, "tok/s", None),
    ("prefill_q4_0", ("prefill 512, q4_0", "预填充 512，q4_0"), "ratio", 2.6, 3.5, "tok/s", None),
    ("prefill_q4_K_M", ("prefill 512, q4_K_M", "预填充 512，q4_K_M"), "ratio", 2.6, 3.5, "tok/s", None),
    ("batch8_bf16", ("8 sequences decoding, bf16", "8 个序列解码，bf16"), "ratio", 1.1, 1.8, "tok/s", None),
    ("batch8_q8_0", ("8 sequences decoding, q8_0", "8 个序列解码，q8_0"), "ratio", 1.35, 2.5, "tok/s", None),
    ("batch8_q4_0", ("8 sequences decoding, q4_0", "8 个序列解码，q4_0"), "ratio", 2.2, 3.5, "tok/s", None),
    ("batch32_bf16", ("32 sequences decoding, bf16", "32 个序列解码，bf16"), "ratio", 1.3, 2.2, "tok/s", None),
    ("batch32_q8_0", ("32 sequences decoding, q8_0", "32 个序列解码，q8_0"), "ratio", 2.0, 2.8, "tok/s", None),
    ("batch32_q4_0", ("32 sequences decoding, q4_0", "32 个序列解码，q4_0"), "ratio", 2.3, 3.3, "tok/s", None),
    ("start", ("process start to first token, warm, q4_0", "进程启动到首个词元，热启动，q4_0"), "least", 0.35, 0.15, "s", None),
    ("rss", ("peak RSS ÷ (weights + KV), q4_0", "峰值内存 ÷（权重 + KV），q4_0"), "least", 1.08, 1.03, "×", None),
    ("neighbour", ("decode kept with one busy neighbour, q4_0", "一个进程满载时保留的解码速度，q4_0"), "most", 0.55, 0.65, "×", None),
    ("smollm_decode", ("SmolLM2 q4_1, decode", "SmolLM2 q4_1，解码"), "ratio", 1.4, 2.0, "tok/s", None),
    ("smollm_prefill", ("SmolLM2 q4_1, prefill 512", "SmolLM2 q4_1，预填充 512"), "ratio", 2.0, 3.0, "tok/s", None),
    ("tokenizer_en", ("tokenizer, English", "分词，英文"), "most", 30, 60, "MB/s", None),
    ("tokenizer_zh", ("tokenizer, Chinese", "分词，中文"), "most", 25, 50, "MB/s", None),
    ("ngram_copy", ("n-gram speculation, copying prompts: × plain", "n-gram 推测解码，复述类提示：相对普通解码"), "most", 1.5, 2.5, "×",
     None),
    ("ngram_named", ("the same, of 20 named prompts slower than plain", "同上，20 个固定提示中慢于普通解码的个数"), "least", 0, 0, "", None),
]
TITLES = {
    "en": ["", "chaski", "{rival}", "ratio (95 % interval)", "share of limit", "reach", "aim", "met"],
    "zh": ["", "chaski", "{rival}", "比值（95% 区间）", "占上限", "须达", "目标", "是否达到"],
}
LIMITS = {
    "read": ("of read bandwidth", "读带宽"),
    "fma_f32": ("of the f32 FMA peak", "f32 FMA 峰值"),
    "int16_madd": ("of the int16 madd peak", "int16 madd 峰值"),
    "int8": ("of the int8 peak", "int8 峰值"),
    "int8_deferred": ("of the int8 peak with deferred sums", "int8 延迟求和峰值"),
    "bf16_dot": ("of the bf16 dot peak", "bf16 点积峰值"),
}
YES = {"en": ("no", "yes"), "zh": ("否", "是")}
MET = {"aim": ("aim", "目标"), "reach": ("reach", "须达"), "no": ("no", "否"), "": ("–", "–"),
       "aim_median": ("aim (median only)", "目标（仅中位数）"), "reach_median": ("reach (median only)", "须达（仅中位数）")}


MIN_SAMPLES = 6  # the fewest whose range holds the median with 95 %


def interval(values):
    """The interval that holds the median with at least 95 %, by order statistics; with fewer than MIN_SAMPLES values the
    range, which holds it with less."""
    ascending = sorted(values)
    n, cut, tail = len(ascending), 0, 0.0
    for k in range(n // 2 + 1):
        tail += math.comb(n, k) / 2**n
        if tail > 0.025:
            cut = max(0, k - 1)
            break
    return ascending[cut], ascending[n - 1 - cut]


def summary(values):
    low, high = interval(values)
    return {"median": statistics.median(values), "low": low, "high": high, "n": len(values)}


def ratio_of(ours, theirs):
    """Of the rounds' own ratios: what the machine did in a round it did to both."""
    pairs = [a / b for a, b in zip(ours, theirs) if b]
    return summary(pairs) if pairs else None


def verdict(figures, judged, reach, aim):
    """Of a summary: "aim" or "reach" where the whole interval reaches it; "aim_median" or "reach_median" where the median
    alone does, or there is no interval; "no"; "" where nothing was asked or measured."""
    if figures is None or reach is None:
        return ""

    def level(value):
        reaches = (lambda goal: value <= goal) if judged == "least" else (lambda goal: value >= goal)
        return "aim" if reaches(aim) else "reach" if reaches(reach) else "no"

    if figures["n"] >= MIN_SAMPLES:
        surely = level(figures["high" if judged == "least" else "low"])
        if surely != "no":
            return surely
    by_median = level(figures["median"])
    return by_median if by_median == "no" else by_median + "_median"


def row_of(cell_id, cell, rival):
    """One row's figures, from a cell; all of them None where the cell is not there."""
    _, _, judged, reach, aim, unit, _ = next(row for row in ROWS if row[0] == cell_id)
    cell = cell or {}
    samples, bounds = cell.get("samples", {}), cell.get("bounds", {})
    row = {"id": cell_id, "unit": unit, "reach": reach, "aim": aim, "note": cell.get("note")}
    ours, theirs = samples.get("chaski") or [], samples.get(rival) or []
    row["ours"] = summary(ours) if ours else None
    row["rival"] = summary(theirs) if theirs else None
    row["ours_bound"], row["rival_bound"] = bounds.get("chaski"), bounds.get(rival)
    row["ratio"] = ratio_of(ours, theirs) if ours and theirs else None
    row["others"] = {name: {"summary": summary(values), "ratio": ratio_of(ours, values) if ours else None}
                     for name, values in samples.items() if name not in ("chaski", rival) and values}
    row["other_bounds"] = {name: bound for name, bound in bounds.items() if name not in ("chaski", rival)}
    row["met"] = verdict(row["ratio"] if judged == "ratio" else row["ours"], judged, reach, aim)
    limit = cell.get("limit")
    row["share"] = None
    if limit and limit["values"] and ours and cell.get("work"):
        row["share"] = row["ours"]["median"] * cell["work"] / statistics.median(limit["values"])
        row["limit"] = limit["what"]
    return row


def rows_of(result):
    return [row_of(row[0], result["cells"].get(row[0]), result["rival"]) for row in ROWS]


def number(value, unit=""):
    if value is None:
        return "–"
    if unit == "":
        return str(int(value))
    digits = 1 if abs(value) >= 100 else 2
    return f"{value:.{digits}f}" + (f" {unit}" if unit and unit != "×" else "×" if unit == "×" else "")


KILLED = {"en": "killed after {:.0f} s", "zh": "{:.0f} 秒后终止"}
RANGE = {"en": "range ", "zh": "全距 "}


def figure(figures, bound, unit, lang):
    if figures:
        return number(figures["median"], unit)
    if bound is not None:
        return KILLED[lang].format(bound)
    return "–"


def ratio_text(ratio, lang):
    if not ratio:
        return "–"
    kind = RANGE[lang] if ratio["n"] < MIN_SAMPLES else ""
    return f"{ratio['median']:.2f}× ({kind}{ratio['low']:.2f} – {ratio['high']:.2f})"


def goal(value, judged, unit):
    if value is None:
        return "–"
    return number(value, unit if judged != "ratio" else "×")


def cells_of_row(row, lang):
    index = 0 if lang == "en" else 1
    _, title, judged, reach, aim, unit, share_goals = next(r for r in ROWS if r[0] == row["id"])
    share = "–"
    if row["share"] is not None:
        share = f"{row['share']:.2f} {LIMITS[row['limit']][index]}"
        if share_goals:
            share += f" ({share_goals[0]}; {share_goals[1]})"
    return [title[index], figure(row["ours"], row["ours_bound"], unit, lang), figure(row["rival"], row["rival_bound"], unit, lang),
            ratio_text(row["ratio"], lang), share, goal(reach, judged, unit), goal(aim, judged, unit), MET[row["met"]][index]]


def escaped(text):
    return str(text).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def markdown(rows):
    """A table whose first row is its head."""
    lines = ["| " + " | ".join(escaped(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "| " + " | ".join("---" for _ in rows[0]) + " |", *lines[1:]])


def table(result, lang):
    titles = [title.format(rival=result["rival"]) for title in TITLES[lang]]
    return markdown([titles] + [cells_of_row(row, lang) for row in rows_of(result)])


def others_table(result, lang):
    """Every other program that was measured; empty where there was none."""
    titles = {"en": ["", "program", "it", "chaski ÷ it"], "zh": ["", "程序", "其结果", "chaski ÷ 它"]}[lang]
    rows = []
    for row in rows_of(result):
        title, unit = next((r[1], r[5]) for r in ROWS if r[0] == row["id"])
        for name, figures in sorted(row["others"].items()):
            rows.append([title[lang == "zh"], name, figure(figures["summary"], None, unit, lang), ratio_text(figures["ratio"], lang)])
        for name, bound in sorted(row["other_bounds"].items()):
            rows.append([title[lang == "zh"], name, figure(None, bound, unit, lang), "–"])
    return markdown([titles] + rows) if rows else ""


def notes_of(result, lang):
    notes = list(result.get("notes", []))
    for row in rows_of(result):
        if row["note"]:
            title = next(r[1] for r in ROWS if r[0] == row["id"])
            separator = {"en": ": ", "zh": "："}
            notes.append({key: title[key == "zh"] + separator[key] + row["note"][key] for key in ("en", "zh")})
    return [note[lang] for note in notes]


def section(result, lang):
    """All of one result: what it was measured on, the table, and what must be said beside it."""
    machine, versions = result["machine"], result["versions"]
    heading = {"en": f"## {machine['cpu']}, {result['chaski_isa']}, {result['date'][:10]}",
               "zh": f"## {machine['cpu']}，{result['chaski_isa']}，{result['date'][:10]}"}[lang]
    facts = {
        "en": [f"- {machine['cores']} cores, {machine['memory_gib']:.0f} GiB, {machine['os']}, {machine['kernel']}",
               f"- {result['threads']} threads; code path of chaski: {result['chaski_isa']}; {result['rounds']} rounds, by turns",
               "- " + "; ".join(f"{name} {version}" for name, version in versions.items())],
        "zh": [f"- {machine['cores']} 核，{machine['memory_gib']:.0f} GiB，{machine['os']}，{machine['kernel']}",
               f"- {result['threads']} 线程；chaski 的代码路径：{result['chaski_isa']}；轮流测量 {result['rounds']} 轮",
               "- " + "；".join(f"{name} {version}" for name, version in versions.items())],
    }[lang]
    dates = sorted(cell["date"] for cell in result["cells"].values() if "date" in cell)
    if dates:
        facts.append({"en": "- measured ", "zh": "- 测量时间："}[lang] + " – ".join(dict.fromkeys((dates[0], dates[-1]))))
    parts = [heading, "\n".join(facts), table(result, lang)]
    if others := others_table(result, lang):
        parts.append(others)
    if notes := notes_of(result, lang):
        parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts)


INTRO = {
    "en": """# chaski beside other engines on the CPU

`./dev bench peers --prepare` builds the others, `./dev bench peers` measures and writes this page. Both programs read
the same files with as many threads, by turns, round for round; the ratio is the median of the rounds' own ratios, its
interval that of order statistics (with fewer than six rounds there is none, and the range is given). A goal is met
where the whole interval reaches it; where the median alone does, the table says so. The 1B files have the exact shape
of Llama-3.2-1B, its vocabulary, and random weights: they are for speed only. The share of the limit is what the
figure needs of what a plain loop reached beside it in the same round (bench/roofline.cpp): bytes read, or
multiplications and additions done. A program that takes longer than two minutes for one figure is killed, which the
table says.""",
    "zh": """# CPU 上 chaski 与其他引擎的对比

`./dev bench peers --prepare` 构建其他引擎，`./dev bench peers` 测量并生成本页。双方读取相同的文件、使用相同的线程数，逐轮交替运行；比值取各轮比值的
中位数，区间为次序统计量区间（少于 6 轮时无此区间，仅给出全距）。整个区间都达到才算达到；仅中位数达到时，表中会注明。1B 文件具有 Llama-3.2-1B 的精确结构和词表，权重为随机数，仅供测速。
“占上限”指该结果所需的读取字节数或乘加次数，与同一轮中简单循环实测上限（bench/roofline.cpp）之比。单项耗时超过两分钟的程序会被终止，
表中会注明。""",
}


QUALITY = {
    "en": ("## Quality beside speed", "How far each format is from the weights that were never quantised (KL divergence per token, a model "
           "trained for this and never quantised, bench/quality.py): chaski in `fast`, and llama.cpp reading the same file. At most "
           "1.1 × llama.cpp's is asked for.",
           ["format", "perplexity, fast", "KL, exact", "KL, fast", "KL, llama.cpp on the same file", "fast ÷ llama.cpp", "met"]),
    "zh": ("## 速度之外的质量", "各格式与从未量化的权重之间的距离（每词元 KL 散度，模型为此专门训练且从未量化，bench/quality.py）：chaski 的 `fast`，"
           "以及 llama.cpp 读取同一文件。要求不超过 llama.cpp 的 1.1 倍。",
           ["格式", "困惑度，fast", "KL，exact", "KL，fast", "KL，llama.cpp 读取同一文件", "fast ÷ llama.cpp", "是否达到"]),
}


def quality_section(quality, lang):
    """Of what bench/quality.py measured."""
    heading, text, titles = QUALITY[lang]
    rows = []
    for row in quality["rows"]:
        exact, fast, rival = (row["sample"][name]["kl"] for name in ("exact", "fast", "rival"))
        ratio = fast / rival if rival > 0 else None
        rows.append([row["format"], f"{row['perplexity_fast']:.2f}", f"{exact:.1e}", f"{fast:.1e}", f"{rival:.1e}",
                     f"{ratio:.2f}" if ratio else "–", YES[lang][ratio <= 1.1] if ratio else "–"])
    return "\n\n".join([heading, text, markdown([titles] + rows)])


def page(results, lang):
    newest_first = sorted(results, key=lambda result: (result["date"], result["isa"]), reverse=True)
    return "\n\n".join([INTRO[lang]] + [section(result, lang) for result in newest_first]) + "\n"
