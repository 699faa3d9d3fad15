#!/usr/bin/env python3
"""Writes tokenizers/ beside this script: tiny tokenizers, and the ids that Hugging Face's and SentencePiece's give for awkward texts.

    venv/bin/pip install transformers==4.45.2 tokenizers==0.20.3 sentencepiece==0.2.3 gguf==0.19.0 protobuf
    venv/bin/python tests/golden/make_golden_tokenizers.py [--out DIR]       # a few seconds

The files are committed, so tests never need Python. `texts.json` has the texts: `text`, or `hex` (bytes that aren't UTF-8; read as
Python's errors="replace"), or `unit` and `count` (a repetition, whose expected ids are a hash). Special tokens spelled in a text
are text (`encode_special_tokens`, `split_special_tokens`).

What one would get wrong: the libraries' Unicode tables differ in version. The texts have only characters of Unicode 8.
"""
import argparse
import io
import json
import pathlib

import gguf
import sentencepiece
import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertTokenizer, LlamaTokenizer

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")

CORPUS = [
    "The quick brown fox jumps over the lazy dog, doesn't it? We'll see; they've gone, I'm sure you're right.",
    "Acoustic guitar strings, phosphor bronze, light gauge 12-53, pack of 3. $24.99 (20% off)!",
    "Un café crème à l'été, déjà vu; naïve façade. Die Straße ist schön; Größe 42. El niño pequeño.",
    "Καλημέρα κόσμε, ΟΔΥΣΣΕΥΣ. Привет, мир! Ещё раз. שלום עולם مرحبا بالعالم नमस्ते दुनिया",
    "你好世界，吉他弦。こんにちは世界、ギターの弦。안녕하세요 세계, 기타 줄.",
    "#include <vector>\n\nint main() {\n\treturn 0;\n}\n    indented = 12345678 + 90;\r\n\r\n",
    "👍🏽 👩‍👩‍👧 🎸🎸 ❤️ ☕ résumé re\u0301sume\u0301 \u00a0 \u3000 ½ ² ١٢٣ Ⅷ",
]

TEXTS = [
    ("empty", ""),
    ("one space", " "),
    ("white space of many kinds", " \t\n\r\n \x0b\x0c\x85\u00a0\u1680\u2002\u2028\u2029\u202f\u205f\u3000 "),
    ("plain", "Acoustic guitar strings, light gauge 12-53 (pack of 3)."),
    ("spaces around and between", "  two  spaces   three    four  "),
    ("line breaks", "a\nb\n\nc\r\nd \n e\n \n\n  f \r\r g\n"),
    ("accents composed", "Café crème à l'été, déjà vu, naïve façade, ÀÉÎÕÜ Ångström Straße"),
    ("accents combining", "Cafe\u0301 cre\u0300me e\u0301te\u0301 A\u030angstro\u0308m q\u0323\u0307 q\u0307\u0323 \u0301alone"),
    ("Vietnamese, stacked marks", "Tiếng Việt ệ e\u0323\u0302 a\u0316\u0300\u0316\u0301\u0315\u0334"),
    ("Hangul jamo", "한국어 \u1112\u1161\u11ab \u302e한\u302f"),
    ("dotted capital I and sigmas", "İstanbul ISPARTA ıI ΟΔΥΣΣΕΥΣ Σ ς"),
    ("CJK", "你好，世界！吉他弦abc中文123こんにちは、ギター。한국어 \U00020000\U0002a6d6\U0002b820\uf900"),
    ("emoji with joiners", "👍🏽👩\u200d👩\u200d👧\u200d👦 ❤\ufe0f 🏳\ufe0f\u200d🌈 🇩🇪 1\ufe0f\u20e3"),
    ("control characters", "a\x00b\x01c\x07d\x08e\x1b[0m f\x7f g\x80h\x9fi"),
    ("soft hyphens and invisible characters", "co\u00adop\u00ad eration zero\u200bwidth\u200cnon\u200djoiner\u2060\ufeffbom \u202ertl\u202c"),
    ("replacement and private use", "a\ufffdb \ufffd \ue000 \U000f0000 \U0010ffff \ufffe \U0001f9ff"),
    ("special tokens spelled out", "[CLS] a [SEP][PAD] [MASK][UNK] <s>b</s> <unk> <pad><|endoftext|> <|begin_of_text|>x<0x0A>"),
    ("contractions", "it's IT'S don't DON'T we're we've I'm we'll he'd 'tis ''s 'S' 'ſt 'x '"),
    ("numbers", "1 12 123 1234 12345678 3.14 1,000 x2y3 ½² ١٢٣٤ Ⅷ④ 〇"),
    ("punctuation", "!!!...---??? (a)[b]{c}<d> «e» “f” ‘g’ ¿h? §¶ $1 €2 +=^`|~ a_b ##c #d"),
    ("mixed scripts", "abcабвαβγאבגابجकखगกขคあア漢字한글123"),
    ("mathematical letters", "𝐇𝐞𝐥𝐥𝐨 𝓌𝑜𝓇𝓁𝒹 ﬁﬂ ﬅ Ω Å K ℃ ™"),
    ("escapes of the model itself", "▁under▁score \u2581 Ġbyte Ċ ##piece ▁"),
    ("code", "for (int i = 0; i < n; ++i) {\n\t\tx[i] = y[i]**2;\t// sum\n\n\n\t}\n"),
    ("leading combining mark", "\u0301\u0302 \u0303abc"),
    ("word of 100 letters", "a" * 100),
    ("word of 101 letters", "b " + "a" * 101 + " c"),
]
BYTES = [
    ("lone continuation bytes", b"a\x80\x81b\xbf"),
    ("truncated sequences", b"a\xc3 \xe2\x82 \xf0\x9f\x8e"),
    ("overlong and surrogates", b"\xc0\xaf \xe0\x80\xaf \xed\xa0\x80\xed\xb0\x80 \xf4\x90\x80\x80 \xf5\xff\xfe"),
    ("Latin-1", "Café déjà vu".encode("latin-1")),
]
REPEATS = [
    ("letters without a space", "a", 100_000), ("two letters", "ab", 50_000), ("spaces", " ", 100_000),
    ("spaces and letters", " " * 97 + "x", 1_000), ("digits", "7", 100_000), ("line breaks repeated", "\n \n", 33_333),
    ("combining marks", "e" + "\u0316\u0301" * 1000, 25), ("words", "guitar strings, ", 6_250), ("CJK repeated", "世界", 25_000),
    ("apostrophes", "'", 100_000), ("emoji", "👍🏽", 10_000),
]


def expected(ids):
    """Ids, or their count and a hash (FNV-1a of the ids as little-endian int32) when there are many."""
    if len(ids) <= 400:
        return ids
    value = 0xCBF29CE484222325
    for byte in b"".join(i.to_bytes(4, "little") for i in ids):
        value = (value ^ byte) * 0x100000001B3 % (1 << 64)
    return {"count": len(ids), "fnv1a": f"{value:016x}"}


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n")


def train_wordpiece(lower, strip):
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower, strip_accents=strip)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=500, special_tokens=special, show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("[CLS]", "[SEP]")])
    return tokenizer


def train_bpe(rule, normalizer=None, alphabet=True, begin=None, size=460, **model):
    tokenizer = tokenizers.Tokenizer(models.BPE(**model))
    tokenizer.pre_tokenizer, tokenizer.decoder = rule, decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<|endoftext|>"] + ([begin] if begin else []), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet else [])
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    if begin:
        tokenizer.post_processor = processors.Sequence([tokenizer.post_processor, processors.TemplateProcessing(
            single=f"{begin} $A", pair=f"{begin} $A {begin} $B", special_tokens=[(begin, tokenizer.token_to_id(begin))])])
    return tokenizer


def split_rule(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def save_json(tokenizer, directory, merges_as_text):
    """tokenizer.json with merges as pairs (what 0.20 writes) or as texts (what it wrote before)."""
    value = json.loads(tokenizer.to_str())
    if "merges" in value["model"]:
        pairs = [m if isinstance(m, list) else m.split(" ") for m in value["model"]["merges"]]
        value["model"]["merges"] = [" ".join(m) for m in pairs] if merges_as_text else pairs
    write(directory / "tokenizer.json", value)
    reread = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    reread.encode_special_tokens = True
    return reread


def write_gguf(path, model, tokens, types, **values):
    """A GGUF file with a vocabulary and no tensors."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(model)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    for name, value in values.items():
        getattr(writer, "add_" + name)(value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_bpe_gguf(tokenizer, path, pre, begin=None):
    state = json.loads(tokenizer.to_str())
    tokens = sorted(state["model"]["vocab"], key=state["model"]["vocab"].get)
    special = {token["content"] for token in state["added_tokens"]}
    merges = [m if isinstance(m, str) else " ".join(m) for m in state["model"]["merges"]]
    start = {"bos_token_id": tokens.index(begin)} if begin else {}
    write_gguf(path, "gpt2", tokens, [3 if token in special else 1 for token in tokens], tokenizer_pre=pre, token_merges=merges,
               add_bos_token=begin is not None, **start)


def write_sentencepiece_gguf(library, path):
    ids = range(library.get_piece_size())
    kinds = [(2, library.is_unknown), (3, library.is_control), (6, library.is_byte), (1, lambda i: True)]
    write_gguf(path, "llama", [library.id_to_piece(i) for i in ids], [next(k for k, is_kind in kinds if is_kind(i)) for i in ids],
               token_scores=[library.get_score(i) for i in ids], bos_token_id=library.bos_id(), eos_token_id=library.eos_id())


def train_sentencepiece(prefix, kind):
    model = io.BytesIO()  # names of files would be stored in the model
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(line.split()) for line in CORPUS]), model_writer=model, vocab_size=600, model_type=kind, byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True, character_coverage=0.98,
        hard_vocab_limit=False, minloglevel=2)
    prefix.with_suffix(".model").write_bytes(model.getvalue())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "tokenizers")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)

    texts = [{"name": n, "text": t} for n, t in TEXTS] + [{"name": n, "hex": b.hex()} for n, b in BYTES]
    texts += [{"name": n, "unit": u, "count": c} for n, u, c in REPEATS]
    write(out / "texts.json", texts)
    strings = [t for _, t in TEXTS] + [b.decode("utf-8", "replace") for _, b in BYTES] + [u * c for _, u, c in REPEATS]

    def golden(name, encode, strings=strings):
        write(out / name / "ids.json", [expected(list(encode(text))) for text in strings])

    gpt2 = lambda prefix: pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    smollm = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), gpt2(False)])
    for name, tokenizer, as_text in [
            ("wordpiece_uncased", train_wordpiece(True, None), False), ("wordpiece_cased", train_wordpiece(False, None), False),
            ("wordpiece_keeps_accents", train_wordpiece(True, False), False),
            ("bpe_gpt2", train_bpe(gpt2(False)), True), ("bpe_prefix_space", train_bpe(gpt2(True)), False),
            ("bpe_smollm", train_bpe(smollm), True),
            ("bpe_llama3", train_bpe(split_rule(LLAMA3), begin="<|begin_of_text|>", ignore_merges=True), True),
            ("bpe_qwen2", train_bpe(split_rule(QWEN2), normalizers.NFC()), False),
            ("bpe_missing_bytes", train_bpe(gpt2(False), alphabet=False, size=300), False)]:
        (out / name).mkdir(exist_ok=True)
        reread = save_json(tokenizer, out / name, as_text)
        golden(name, lambda text: reread.encode(text).ids)
        if name == "wordpiece_uncased":  # the same as vocab.txt, checked against the other implementation where Unicode agrees
            vocab = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
            (out / name / "vocab.txt").write_text("".join(token + "\n" for token, _ in vocab), newline="\n")
            slow = BertTokenizer(str(out / name / "vocab.txt"))
            for text in ("Café crème", "你好 guitar", "it's"):
                assert slow(text)["input_ids"] == reread.encode(text).ids, text

        if name in ("bpe_smollm", "bpe_llama3"):
            begin = "<|begin_of_text|>" if name == "bpe_llama3" else None
            write_bpe_gguf(tokenizer, out / name / "tokenizer.gguf", {"bpe_smollm": "smollm", "bpe_llama3": "llama-bpe"}[name], begin)

    for kind in ("bpe", "unigram"):
        directory = out / f"sentencepiece_{kind}"
        directory.mkdir(exist_ok=True)
        train_sentencepiece(directory / "tokenizer", kind)
        model = str(directory / "tokenizer.model")
        slow = LlamaTokenizer(model, legacy=True, split_special_tokens=True)
        library = sentencepiece.SentencePieceProcessor(model_file=model)
        if kind == "bpe":
            write_sentencepiece_gguf(library, directory / "tokenizer.gguf")
        golden(directory.name, lambda text: [library.bos_id()] + library.encode(text))
        for _, text in TEXTS:  # the class says the same
            if "▁" not in text:
                assert slow(text)["input_ids"] == [library.bos_id()] + library.encode(text), text


if __name__ == "__main__":
    main()
