"""A Hugging Face tokenizer made of a GGUF's SmolLM2 vocabulary, as tokenizer.json would make it."""
import gguf
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers


def tokenizer_of_gguf(path):
    fields = gguf.GGUFReader(str(path)).fields
    texts = lambda key: [bytes(fields[key].parts[i]).decode() for i in fields[key].data]
    tokens = texts("tokenizer.ggml.tokens")
    types = [int(fields["tokenizer.ggml.token_type"].parts[i][0]) for i in fields["tokenizer.ggml.token_type"].data]
    merges = [tuple(m.split(" ")) for m in texts("tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    control = 3
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t, kind in zip(tokens, types) if kind == control])
    return tokenizer
