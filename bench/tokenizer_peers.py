#!/usr/bin/env python3
"""chaski's tokenizer beside tiktoken: Llama 3's ranks, the same English, Chinese and code, one thread, by turns in one
run. Prints MB/s of both with their spread and the ratio; the ids must be the same.

    tokenizer_peers.py --bench build/bench_tokenizer --ranks tokenizer.model [--tokenizer FILE] [--rounds 7] [--keep DIR]
                       [--json]

--ranks      Llama 3's rank file, as the package llama-models carries it (llama_models/llama3/tokenizer.model)
--tokenizer  what chaski reads instead: a .gguf or tokenizer.json with the same vocabulary
--keep       where the texts are written and left
--json       every round's MB/s instead of the table; other ids are then no failure, but said there

English is the documentation inside Python's standard library and the licences in /usr/share/common-licenses, code is
the library itself, Chinese is sentences made here from the words below. Times are processor time. tiktoken gets str
and makes a list, chaski gets bytes; either is what the callers of each have.
"""
import argparse
import ast
import base64
import json
import pathlib
import random
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time

import tiktoken

PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
           r"|\s*[\r\n]+|\s+(?!\S)|\s+")

WORDS = {
    "人": "小王 老李 张医生 这位老师 邻居家的孩子 新来的同事 外婆 村里的木匠 船长 值班的工程师 图书管理员 那群学生 卖菜的阿姨 年轻的画家 "
          "退休的司机 陈教授 客栈老板 我们几个 她的弟弟 守林人".split(),
    "地": "北京 上海 成都 苏州河边 山脚下的小镇 大学图书馆 火车站 老城区 海边的渔村 实验室 西北高原 菜市场 博物馆二楼 县城医院 机场 "
          "长江中游 云南的茶园 工地 地下机房 广场".split(),
    "时": "昨天傍晚 去年冬天 每个周末 清晨六点 放学以后 雨停的时候 上个世纪八十年代 春节前几天 会议结束后 半夜 刚才 不久之前 今年三月 "
          "天还没亮".split(),
    "物": "一份旧报纸 两筐苹果 新的测量数据 那台坏掉的收音机 三封没有寄出的信 祖父留下的棋盘 一套完整的图纸 最后几页手稿 刚烤好的面包 "
          "电动自行车 处理器的散热片 模型的权重文件 一壶热茶 修好的水泵 半导体材料 借来的望远镜 合同副本 种子和肥料 语言模型 分词器的词表".split(),
    "做": "仔细检查了 悄悄带走了 重新整理了 反复比较了 终于找到了 不小心弄丢了 花了很久才修好 向大家介绍了 免费送出了 认真记录了 卖掉了 "
          "从头设计了 测试了 忘记了 一直保存着 打算更换 翻译了 拍下了 研究过 搬来了".split(),
    "果": "大家都松了一口气 计划只好推迟 温度慢慢降了下来 谁也没有再提起这件事 价格却比往年更高 孩子们高兴得跳了起来 误差不超过百分之二 "
          "问题其实出在内存带宽上 窗外又下起了雪 剩下的工作就简单多了 掌声持续了很久 队伍继续向南走 河水已经退去 这个结论后来被证明是对的 "
          "没有人知道原因 速度提高了将近一倍".split(),
    "接": "因此 不过 后来 结果 与此同时 据说 事实上 换句话说 更重要的是 说到底 幸好 可惜".split(),
}
SENTENCES = ["{时}，{人}在{地}{做}{物}，{果}。", "{人}说：“{接}，{物}还在{地}。”", "{接}，{果}，{人}也{做}{物}。", "如果{人}没有去{地}，{果}；{接}{果}。",
             "{地}离{地}大约{数}公里，{时}{人}{做}{物}。", "为什么{人}{做}{物}？{接}{果}！", "《{物}》一共{数}页，{人}{时}{做}它，{接}{果}。",
             "{人}和{人}一起{做}{物}、{物}以及{物}，{果}。", "{数}年{时}{地}的{物}被{人}{做}，{果}。"]
SURNAMES = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏陶姜"
GIVEN = "明芳伟丽强静磊敏洋艳勇娟涛霞军平刚桂英华玉兰建国文辉志远思雨梓涵浩然欣怡嘉宁晨曦若溪子墨云舒"


def chinese(rng, n_bytes):
    def word(kind):
        if kind == "数":
            return str(rng.randrange(1, 2100))
        if kind == "人" and rng.random() < 0.3:
            return rng.choice(SURNAMES) + "".join(rng.choice(GIVEN) for _ in range(rng.randrange(1, 3)))
        return rng.choice(WORDS[kind])

    out, size = [], 0
    while size < n_bytes:
        sentence = rng.choice(SENTENCES)
        while "{" in sentence:
            at = sentence.index("{")
            sentence = sentence[:at] + word(sentence[at + 1]) + sentence[at + 3:]
        if rng.random() < 0.2:
            sentence += "\n\n"
        out.append(sentence)
        size += len(sentence.encode())
    return "".join(out)


def library():
    """Source and documentation of Python's standard library."""
    folder = pathlib.Path(sysconfig.get_paths()["stdlib"])
    sources, documentation = [], {}
    for path in sorted(folder.rglob("*.py")):
        if {"site-packages", "dist-packages", "test", "lib2to3"} & set(path.parts):
            continue
        try:
            source = path.read_text(encoding="utf-8")
            nodes = list(ast.walk(ast.parse(source)))
        except (SyntaxError, ValueError):
            continue
        sources.append(source)
        for node in nodes:
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                documentation[ast.get_docstring(node) or ""] = None
    return sources, list(documentation)


def texts(n_bytes):
    sources, documentation = library()
    english = [p.read_text(encoding="utf-8", errors="replace") for p in sorted(pathlib.Path("/usr/share/common-licenses").glob("*"))
               if not p.is_symlink()]
    cut = lambda text: text.encode()[:n_bytes].decode(errors="ignore")
    random.Random(1).shuffle(sources)
    return {"English": cut("\n\n".join(english + documentation)), "Chinese": cut(chinese(random.Random(1), n_bytes)),
            "code": cut("\n".join(sources))}


def checksum_of(ids):
    total = 0
    for token in ids:
        total = (total * 31 + token) & 0xFFFFFFFF
    return total


def seconds_of(encode, text):
    start = time.process_time()
    encode(text)
    return time.process_time() - start


def spread(values):
    return f"{statistics.median(values):.1f} ({min(values):.1f}–{max(values):.1f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True)
    parser.add_argument("--ranks", required=True)
    parser.add_argument("--tokenizer")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--mb", type=float, default=2)
    parser.add_argument("--keep")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    ranks = {}
    for line in open(args.ranks, "rb"):
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    tik = tiktoken.Encoding("llama3", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
    temporary = tempfile.TemporaryDirectory()
    folder = pathlib.Path(args.keep or temporary.name)
    folder.mkdir(parents=True, exist_ok=True)
    table = [f"tiktoken {tiktoken.__version__}, {args.rounds} rounds, MB/s of one thread: median (least–most)\n",
             "| text | MB | ids | chaski | tiktoken | ratio |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    made, records = [], []
    for name, text in texts(int(args.mb * 1e6)).items():
        path = folder / f"{name}.txt"
        path.write_bytes(text.encode())
        n_mb = len(text.encode()) / 1e6
        ids = tik.encode_ordinary(text)
        ours, theirs = [], []
        for _ in range(args.rounds):
            done = subprocess.run([args.bench, "--json", "--repeat", "5", args.tokenizer or args.ranks, path],
                                  capture_output=True, text=True, check=True)
            record = json.loads(done.stdout)
            found = record["texts"][0]
            made.append(statistics.median(record["make_s"]) * 1e3)
            ours.append(n_mb / statistics.median(found["encode_s"]))
            theirs.append(n_mb / statistics.median(seconds_of(tik.encode_ordinary, text) for _ in range(5)))
        is_same = (found["ids"], found["checksum"]) == (len(ids), checksum_of(ids))
        records.append({"name": name, "mb": n_mb, "chaski": ours, "tiktoken": theirs, "same_ids": is_same})
        ratio = [a / b for a, b in zip(ours, theirs)]
        table.append(f"| {name} | {n_mb:.2f} | {len(ids)}{'' if is_same else ' DIFFERENT'} | {spread(ours)} | {spread(theirs)} | "
                     f"{spread(ratio)} |")
    if args.json:
        print(json.dumps({"tiktoken_version": tiktoken.__version__, "texts": records, "make_ms": made}))
        return 0
    print("\n".join(table) + f"\n\nchaski's tokenizer is made in {spread(made)} ms.")
    return 0 if all(record["same_ids"] for record in records) else 1


if __name__ == "__main__":
    sys.exit(main())
