"""What the peer scripts share: the data set as token ids, the six tasks, T5's configuration, one JSON line of figures.

Call `set_threads` before importing torch: it takes away CPU-type settings meant for other programs, so that a peer picks its
own kernels, sets the requested number of threads, and starts the script again with an allocator that keeps its memory
(glibc hands every large block back to the kernel after each operation: 15 % of a training step's processor time here;
`MALLOC_MMAP_THRESHOLD_` in the environment leaves that as it is).
"""
import json
import os
import pathlib
import platform
import sys
import time


def add_thread_options(parser):
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--passive", action="store_true",
                        help="OpenMP threads sleep instead of spinning: slower when idle, up to 8x faster when others run")


def add_device_option(parser):
    parser.add_argument("--device", default="cpu", help="where torch computes: cpu, cuda, cuda:1 …")


def synchronize(device):
    """GPU kernels run asynchronously; a clock has to wait for them."""
    if device.startswith("cuda"):
        import torch
        torch.cuda.synchronize(device)


def set_threads(threads, passive=False):
    if passive:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    assert "torch" not in sys.modules and "numpy" not in sys.modules, "set the threads before importing torch"
    if "MALLOC_MMAP_THRESHOLD_" not in os.environ:  # glibc reads these before main()
        os.environ |= {"MALLOC_MMAP_THRESHOLD_": str(4 << 30), "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
                       "MALLOC_TOP_PAD_": str(256 << 20)}
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.argv])


PAD, EOS = 0, 1
LEVELS, CODES, PROMPTS, HISTORY = 4, 256, 18, 20
VOCABULARY = (["<pad>", "</s>"] + [f"<{letter}_{code}>" for letter in "abcdABCD" for code in range(CODES)]
              + [f"<*_{i}>" for i in range(PROMPTS)])
IDS = {token: i for i, token in enumerate(VOCABULARY)}

# task: its first prompt, what the encoder reads, what the decoder writes
NEXT_ITEM = {"next_text_item": (0, "text", "text"), "next_image_item": (3, "image", "image"),
             "asymmetric_image": (6, "text", "image"), "asymmetric_text": (9, "image", "text")}
ALIGNMENT = {"text_to_image": (12, "text", "image"), "image_to_text": (15, "image", "text")}


class Dataset:
    """users[u]: item ids in time order; items[modality][item]: its four token ids."""

    def __init__(self, directory):
        directory = pathlib.Path(directory)
        self.name = directory.resolve().name
        def read(what):
            return json.loads((directory / f"{self.name}.{what}.json").read_text())
        self.users = list(read("inter").values())
        self.items = {modality: {int(item): [IDS[t] for t in tokens] for item, tokens in read(file).items()}
                      for modality, file in (("text", "index_lemb"), ("image", "index_vitemb"))}

    def source(self, prompt, modality, items):
        first = IDS["<*_0>"] + prompt
        history = [token for item in items[-HISTORY:] for token in self.items[modality][item]]
        return [first, first + 1, first + 2] + history + [EOS]

    def target(self, modality, item):
        return self.items[modality][item] + [EOS]

    def training_examples(self):
        """(task, source, target), all six tasks; every prefix of the training part predicts its next item."""
        examples = []
        for task, (prompt, source, target) in NEXT_ITEM.items():
            for items in self.users:
                for t in range(1, len(items) - 2):  # the last two are validation and test
                    examples.append((task, self.source(prompt, source, items[:t]), self.target(target, items[t])))
        for task, (prompt, source, target) in ALIGNMENT.items():
            for item in self.items[source]:
                if item in self.items[target]:
                    examples.append((task, self.source(prompt, source, [item]), self.target(target, item)))
        return examples

    def test_users(self, task="next_text_item"):
        """(source, the true next item's tokens) for each user."""
        prompt, source, target = NEXT_ITEM[task]
        return [(self.source(prompt, source, items[:-1]), self.items[target][items[-1]]) for items in self.users]


def t5_config(dropout=0.1):
    from transformers import T5Config
    return T5Config(vocab_size=len(VOCABULARY), d_model=128, d_kv=64, d_ff=1024, num_layers=4, num_decoder_layers=4,
                    num_heads=6, dropout_rate=dropout, feed_forward_proj="relu", pad_token_id=PAD, eos_token_id=EOS,
                    decoder_start_token_id=PAD)


def load_model(directory, seed=0):
    """The checkpoint, or random weights when there is none."""
    import torch
    from transformers import T5ForConditionalGeneration
    if directory:
        return T5ForConditionalGeneration.from_pretrained(directory).eval()
    torch.manual_seed(seed)
    return T5ForConditionalGeneration(t5_config()).eval()


def padded(sequences, fill):
    """(B, longest) ids with `fill` after the shorter ones."""
    import torch
    longest = max(map(len, sequences))
    return torch.tensor([s + [fill] * (longest - len(s)) for s in sequences])


def ranking_metrics(found, true):
    """HR@k and NDCG@k of token sequences; found[u]: hypotheses best first, true[u]: one sequence."""
    import math
    ranks = [next((i for i, h in enumerate(hypotheses) if list(h) == list(t)), None)
             for hypotheses, t in zip(found, true)]
    hits = {k: [r for r in ranks if r is not None and r < k] for k in (1, 5, 10)}
    hr = {f"hr@{k}": round(len(h) / len(ranks), 4) for k, h in hits.items()}
    return hr | {f"ndcg@{k}": round(sum(1 / math.log2(r + 2) for r in hits[k]) / len(ranks), 4) for k in (5, 10)}


def save_hypotheses(path, sources, hypotheses):
    """{"results": [{"input": ids, "hypotheses": [{"tokens": four ids, "score": x}, …]}, …]}; as in tests/golden/search."""
    results = [{"input": source, "hypotheses": [{"tokens": tokens, "score": score} for tokens, score in found]}
               for source, found in zip(sources, hypotheses)]
    pathlib.Path(path).write_text(json.dumps({"results": results}))


def variance(x):
    """Mean over all entries of the squared distance to the column's mean: what a quantizer of one code would leave."""
    return round(float(((x - x.mean(0)) ** 2).mean()), 8)


def code_figures(codes):
    """codes[i]: an item's codes, one a level. The raw collision rate is the part of the items over the distinct sequences."""
    distinct = len(set(map(tuple, codes)))
    return {"collision_rate": round((len(codes) - distinct) / len(codes), 5),
            "codes_used": [len(set(level)) for level in zip(*codes)]}


def cpu_name():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def versions(*modules):
    import importlib
    return {"python": platform.python_version()} | {m: importlib.import_module(m).__version__ for m in modules}


def report(**figures):
    figures |= {"cpu": cpu_name(), "load_average": round(os.getloadavg()[0], 2)}
    print(json.dumps(figures), flush=True)


class Clock:
    """Wall and processor seconds since it was made; processor seconds show when others held the cores."""

    def __init__(self):
        self.wall, self.processor = time.perf_counter(), time.process_time()

    def read(self):
        return time.perf_counter() - self.wall, time.process_time() - self.processor
