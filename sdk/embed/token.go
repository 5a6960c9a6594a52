package embed

import "unicode/utf8"

// maxWord is the code points of a word at most. A longer one is unknown, as in
// the tokenizer that the vocabulary was made for.
const maxWord = 100

// tokenizer cuts a text into words and those into pieces, as BERT's uncased
// tokenizer does: lower case, no accents, punctuation by itself, then from the
// left the longest piece that the vocabulary has.
type tokenizer struct {
	table *static
	text  string

	folded string // what the last code point became, as far as it is not read
	word   []byte // as far as it is read
	runes  int    // code points of word
	pieces []int  // of the current word; none if it is unknown
}

// next moves to the next word and says whether there is one.
func (t *tokenizer) next() bool {
	t.word, t.runes, t.pieces = t.word[:0], 0, t.pieces[:0]
	for {
		from := &t.folded
		if *from == "" {
			from = &t.text
		}
		if *from == "" {
			return t.runes > 0 && t.cut()
		}
		r, n := rune((*from)[0]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRuneInString(*from)
		}
		c := t.table.class(r)
		if c == alone && t.runes > 0 {
			return t.cut() // r is the next word
		}
		*from = (*from)[n:]
		switch c {
		case keep:
			t.add(r)
		case alone:
			t.add(r)
			return t.cut()
		case space:
			if t.runes > 0 {
				return t.cut()
			}
		case fold:
			t.folded = t.table.fold(r)
		case hangul:
			t.folded = letters(r)
		}
	}
}

// letters takes a Korean syllable apart:
// https://www.unicode.org/versions/latest/core-spec/chapter-3/#G56669
func letters(syllable rune) string {
	s := syllable - 0xAC00
	list := [3]rune{0x1100 + s/588, 0x1161 + s%588/28, 0x11A7 + s%28}
	if s%28 == 0 {
		return string(list[:2])
	}
	return string(list[:])
}

func (t *tokenizer) add(r rune) {
	if t.runes++; t.runes <= maxWord {
		t.word = utf8.AppendRune(t.word, r)
	}
}

// cut finds the pieces of the word. It is true, for next.
func (t *tokenizer) cut() bool {
	if t.runes > maxWord {
		return true
	}
	var hashes [64]uint32 // of the prefixes; no piece is longer
	for rest := t.word; len(rest) > 0; {
		continues := len(rest) < len(t.word)
		n := min(len(rest), t.table.longest, len(hashes))
		h := t.table.seed(continues)
		for i := range n {
			h = step(h, rest[i])
			hashes[i] = h
		}
		id := noPiece
		for ; n > 0 && id == noPiece; n-- {
			id = t.table.lookup(hashes[n-1], rest[:n], continues)
		}
		if id == noPiece {
			t.pieces = t.pieces[:0]
			return true
		}
		t.pieces = append(t.pieces, id)
		rest = rest[n+1:]
	}
	return true
}
