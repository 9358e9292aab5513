#!/usr/bin/env python3
"""What chaski's sampler leaves of a row of logits, against transformers' logits processors.

    sampling_parity.py --filter-logits build/filter_logits [--n 1000] [--seed 0] [--vocab 128256]
                       [--peer numpy|transformers]

--peer numpy          (the default; needs numpy only) the processors stated again here, in the same order and the
                      same definitions. Kept tokens must be equal on every row.
--peer transformers   the processors themselves, in the list that `generate` makes (needs torch and transformers).
                      The numpy statement is checked against them too, so that it may stand for them elsewhere.

torch's float32 softmax is rounded in an order that depends on the machine's vector length; transformers can
therefore differ from itself, from one machine to another, in tokens whose cumulative probability meets 1 - top_p, or
whose probability meets min_p's limit, within that rounding. Such rows are listed with their distance from the limit;
a difference farther off than 1e-6 of the limit's scale fails. Of tokens with equal scores at top_p's limit torch's
sort, which is not stable, keeps any; chaski keeps the highest ids. Rows that differ in that choice alone are counted.
Presence and frequency penalties, which transformers does not
have, are applied between its processors for the penalty of repetition and temperature, as OpenAI defines them.

Prints one line of figures. Exit status 1 on a difference.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import zlib

import numpy as np

OFF = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0,
       "presence_penalty": 0.0, "frequency_penalty": 0.0}
AT_LIMIT = 1e-6  # distance from a limit, as a share of the whole, that float32 summation may account for
PROB_TOLERANCE = 2e-7  # of a probability: float32's last place


def make_row(rng, vocab, kind):
    """Logits: flat, as a trained model's (a few far above a wide bulk), rounded to bfloat16, or nearly certain."""
    row = rng.standard_normal(vocab).astype(np.float32) * np.float32([1.0, 2.0, 2.0, 3.0][kind])
    if kind > 0:
        n = [0, 40, 40, 3][kind]
        row[rng.integers(0, vocab, n)] += rng.uniform(6, 16, n).astype(np.float32)
    if kind == 2:
        row = (row.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    return row


def make_case(rng, vocab, index):
    row = make_row(rng, vocab, index % 4)
    case = {"temperature": float(rng.choice([1.0, 1.0, 0.6, 0.7, 0.3, 1.5])),
            "top_k": int(rng.choice([0, 0, 2, 20, 50, 1000])),
            "top_p": float(rng.choice([1.0, 0.9, 0.9, 0.95, 0.5])),
            "min_p": float(rng.choice([0.0, 0.0, 0.05, 0.1])),
            "repetition_penalty": float(rng.choice([1.0, 1.1, 1.3, 0.9])),
            "presence_penalty": float(rng.choice([0.0, 0.0, 0.5])),
            "frequency_penalty": float(rng.choice([0.0, 0.0, 0.3]))}
    best = np.argsort(-row)[:200]
    case["prompt"] = [int(i) for i in np.concatenate([rng.integers(0, vocab, 300), rng.choice(best, 20)])]
    case["output"] = [int(i) for i in np.concatenate([rng.integers(0, vocab, 50), rng.choice(best, 40)])]
    case["vocab"] = vocab
    return case, row


def ask_chaski(process, case, row):
    process.stdin.write((json.dumps(case) + "\n").encode() + row.tobytes())
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        sys.exit("filter_logits ended early")
    n = int(line)
    ids = np.frombuffer(process.stdout.read(4 * n), dtype=np.int32)
    probs = np.frombuffer(process.stdout.read(4 * n), dtype=np.float32)
    return ids, probs


# The processors, stated with numpy: float32 throughout, but for sums and for exp, which are rounded to float32 once.

def softmax(scores):
    weights = np.exp((scores - scores.max()).astype(np.float64))
    return (weights / weights.sum()).astype(np.float32)


def repetition(scores, ids, penalty):
    ids = np.unique(ids)
    chosen = scores[ids]
    scores[ids] = np.where(chosen < 0, chosen * np.float32(penalty), chosen / np.float32(penalty))


def presence_and_frequency(scores, output, presence, frequency):
    ids, counts = np.unique(output, return_counts=True)
    scores[ids] -= np.float32(presence)
    scores[ids] -= np.float32(frequency) * counts.astype(np.float32)


def top_p_margins(scores, top_p):
    """Order of the tokens, least likely first, and the cumulative probability of each, float32."""
    order = np.argsort(scores, kind="stable")
    return order, np.cumsum(softmax(scores[order]), dtype=np.float64).astype(np.float32)


def by_numpy(row, case):
    scores = row.copy()
    repetition(scores, case["prompt"] + case["output"], case["repetition_penalty"])
    presence_and_frequency(scores, case["output"], case["presence_penalty"], case["frequency_penalty"])
    scores /= np.float32(case["temperature"])
    processed = scores.copy()
    limits = {}  # what each filter compared, for the tokens' distances from it
    if case["top_k"] > 0:
        k = min(case["top_k"], len(scores))
        scores[scores < np.partition(scores, -k)[-k]] = -np.inf
    if case["top_p"] < 1:
        order, cumulative = top_p_margins(scores, case["top_p"])
        removed = cumulative <= np.float32(1 - case["top_p"])
        removed[-1] = False
        limits["top_p"] = np.empty(len(scores))
        limits["top_p"][order] = np.abs(cumulative - (1 - case["top_p"]))
        scores[order[removed]] = -np.inf
    if case["min_p"] > 0:
        probs = softmax(scores)
        limit = np.float32(case["min_p"]) * probs.max()
        limits["min_p"] = np.abs(probs / limit - 1)
        scores[probs < limit] = -np.inf
    return scores, processed, limits


class Transformers:
    """The list of processors that `generate` makes for each setting."""

    def __init__(self):
        import torch
        import transformers
        self.torch = torch
        self.max_float32_error = 0.0
        self.version = f"transformers {transformers.__version__}, torch {torch.__version__}"
        self.GenerationConfig = transformers.GenerationConfig
        config = transformers.LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                          num_attention_heads=1, num_key_value_heads=1)
        self.model = transformers.LlamaForCausalLM(config)

    def processors(self, case):
        settings = {"do_sample": True, "temperature": case["temperature"], "top_k": case["top_k"],
                    "top_p": case["top_p"], "repetition_penalty": case["repetition_penalty"], "num_beams": 1}
        if case["min_p"] > 0:
            settings["min_p"] = case["min_p"]
        config = self.GenerationConfig(**settings)
        return list(self.model._get_logits_processor(config, input_ids_seq_length=1))

    def __call__(self, row, case):
        ids = self.torch.tensor([case["prompt"] + case["output"]])
        scores = self.torch.from_numpy(row.copy())[None]
        processors = self.processors(case)
        if processors and type(processors[0]).__name__ == "RepetitionPenaltyLogitsProcessor":
            scores = processors.pop(0)(ids, scores)
        penalised = scores[0].numpy().copy()
        presence_and_frequency(penalised, case["output"], case["presence_penalty"], case["frequency_penalty"])
        scores = self.torch.from_numpy(penalised)[None]
        for processor in processors:
            scores = processor(ids, scores)
        # Probabilities are compared in float64: torch's float32 softmax, one sum over the vocabulary, is itself off.
        probs = scores.double().softmax(-1)
        error = float((scores.softmax(-1).double() - probs).abs().max())
        self.max_float32_error = max(self.max_float32_error, error)
        return scores[0].numpy(), probs[0].numpy()


class Comparison:
    """Rows of `name` against the peer: sets, and probabilities where the sets are equal."""

    def __init__(self, name, is_peer):
        self.name, self.is_peer = name, is_peer
        self.n_rows = self.n_different = self.n_at_limit = self.n_ties = 0
        self.max_difference = 0.0

    def add(self, index, ids, probs, processed, peer_scores, peer_probs, limits):
        """`processed` has the scores of all tokens before they were filtered."""
        self.n_rows += 1
        peer_ids = np.flatnonzero(peer_scores > -np.inf)
        difference = np.setxor1d(ids, peer_ids)
        is_tie = len(np.unique(processed[difference])) == 1 and len(ids) == len(peer_ids)
        if len(difference) == 0 or (self.is_peer and is_tie):
            order, peer_order = np.argsort(processed[ids]), np.argsort(processed[peer_ids])
            distance = np.abs(probs[order] - peer_probs[peer_ids[peer_order]]).max()
            self.max_difference = max(self.max_difference, float(distance))
            self.n_ties += len(difference) > 0
            return
        distance = max((min(values[i] for values in limits.values()) if limits else np.inf) for i in difference)
        if self.is_peer and distance <= AT_LIMIT:
            self.n_at_limit += 1
            print(f"row {index}: {len(difference)} tokens meet a limit within {distance:.1e}: {self.name}")
        else:
            self.n_different += 1
            print(f"row {index}: {len(difference)} tokens differ, {distance:.1e} from a limit: {self.name}")

    def report(self):
        print(f"{self.name}: {self.n_rows} rows, {self.n_different} differ, {self.n_at_limit} at a limit within "
              f"float32's rounding, {self.n_ties} in the choice among equals; largest difference of a probability "
              f"{self.max_difference:.1e}")
        return self.n_different == 0 and self.max_difference <= PROB_TOLERANCE


class Golden:
    """What transformers kept of each row: count and checksum of the ids; and the rows in which ours may be other, as
    Comparison found when it was written: a choice among equals, or a limit met within float32's rounding."""

    def __init__(self, args):
        self.path, self.rows, self.excused, self.n_compared, self.n_different = args.golden, [], [], 0, 0
        self.key = {"seed": args.seed, "vocab": args.vocab}
        self.known = None
        if args.golden and args.peer == "numpy":
            known = json.loads(pathlib.Path(args.golden).read_text())
            self.known = known if known["key"] == self.key else None

    @staticmethod
    def digest(ids):
        return [len(ids), zlib.crc32(np.sort(np.asarray(ids)).astype("<i4").tobytes())]

    def write(self, peer_ids, ids):
        self.rows.append(self.digest(peer_ids))
        if self.digest(ids) != self.rows[-1]:
            self.excused.append(len(self.rows) - 1)

    def compare(self, index, ids):
        if self.known is None or index >= len(self.known["rows"]):
            return
        self.n_compared += 1
        if self.digest(ids) != self.known["rows"][index] and index not in self.known["excused"]:
            self.n_different += 1
            print(f"row {index}: {len(ids)} tokens kept, not those that transformers kept")

    def finish(self):
        if self.rows and self.path:
            text = json.dumps({"key": self.key, "excused": self.excused, "rows": self.rows})
            pathlib.Path(self.path).write_text(text.replace("[[", "[\n[").replace("], [", "],\n[") + "\n")
        if self.known:
            print(f"chaski against what transformers kept: {self.n_compared} rows, {self.n_different} differ, "
                  f"{len(self.known['excused'])} may")
        return self.n_different == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--filter-logits", required=True)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--vocab", type=int, default=128256)
    parser.add_argument("--peer", choices=["numpy", "transformers"], default="numpy")
    parser.add_argument("--golden", help="what transformers kept of each row, compared where seed and vocabulary are "
                                         "the golden's; with --peer transformers it is written")
    args = parser.parse_args()

    rng = np.random.default_rng(args.seed)
    process = subprocess.Popen([args.filter_logits], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    comparisons = [Comparison("chaski against numpy", False)]
    peer = None
    if args.peer == "transformers":
        peer = Transformers()
        print(peer.version)
        comparisons += [Comparison("chaski against transformers", True), Comparison("numpy against transformers", True)]
    golden = Golden(args)
    for index in range(args.n):
        case, row = make_case(rng, args.vocab, index)
        ids, probs = ask_chaski(process, case, row)
        scores, processed, limits = by_numpy(row, case)
        comparisons[0].add(index, ids, probs, processed, scores, softmax(scores), limits)
        if not peer:
            golden.compare(index, ids)
        else:
            peer_scores, peer_probs = peer(row, case)
            comparisons[1].add(index, ids, probs, processed, peer_scores, peer_probs, limits)
            golden.write(np.flatnonzero(peer_scores > -np.inf), ids)
            kept = np.flatnonzero(scores > -np.inf)
            comparisons[2].add(index, kept, softmax(scores)[kept], processed, peer_scores, peer_probs, limits)
    process.stdin.close()
    is_good = process.wait() == 0
    for comparison in comparisons:
        is_good = comparison.report() and is_good
    is_good = golden.finish() and is_good
    if peer:
        print(f"torch's float32 softmax is off by up to {peer.max_float32_error:.1e} from its float64 one")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
