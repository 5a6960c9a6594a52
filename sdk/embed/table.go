package embed

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"unicode/utf8"
)

// file is what bake/bake.py made:
//
//	"whembed1"
//	u32 × 7           dim, words, pieces, bytes of text, runs, folds, bytes of folded text
//	u8  × pieces      length of the piece's text
//	bytes             the pieces' texts; those that begin a word come first
//	u32 × runs        first code point << 3 | class, ascending
//	u32 × folds       a code point of class fold, ascending
//	u8  × folds       length of what it becomes
//	bytes             what they become
//	u16 × pieces      scale, up to maxScale
//	i8  × pieces×dim  the vectors, each to be multiplied by its scale
//
// All numbers are little-endian. A string is never copied and stands in a
// guest's read-only data.
//
//go:embed table.bin
var file string

const (
	magic    = "whembed1"
	maxScale = 4095
	noPiece  = -1
)

// class is what the tokenizer does with a code point.
type class uint8

const (
	keep   class = iota
	drop         // such as control characters and accents
	space        // ends a word
	alone        // is a word by itself: punctuation, Chinese characters
	fold         // becomes other code points: lower case, without accents
	hangul       // becomes two or three letters, by arithmetic
	classes
)

// static is the table as it is used.
type static struct {
	words  int // pieces below this begin a word, others continue one
	ends   []uint32
	text   string // of the pieces
	scales string
	rows   string

	index   []uint16 // open-addressed: hash of a piece to its number + 1
	longest int      // bytes of a piece

	runs      []uint32
	ascii     [utf8.RuneSelf]class
	foldFrom  []uint32
	foldEnds  []uint32
	foldTexts string
}

// Load loads the table, which otherwise happens at the first use and takes some
// milliseconds. In init of a guest it is done once for all its sandboxes.
func Load() { table() }

var table = sync.OnceValue(func() *static {
	t, err := open(file)
	if err != nil {
		panic("embed: the table that was built in: " + err.Error()) // the tests open it
	}
	return t
})

// open checks all that reading the table relies on.
func open(file string) (*static, error) {
	const head = len(magic) + 7*4
	if len(file) < head || file[:len(magic)] != magic {
		return nil, fmt.Errorf("it does not begin with %q", magic)
	}
	var h [7]int64
	for i := range h {
		h[i] = int64(u32(file, len(magic)+4*i))
	}
	dim, words, pieces, text, runs, folds, foldText := h[0], h[1], h[2], h[3], h[4], h[5], h[6]
	want := int64(head) + pieces + text + 4*runs + 5*folds + foldText + 2*pieces + pieces*Dim
	if dim != Dim || words > pieces || pieces >= 1<<16-1 || runs < 1 || want != int64(len(file)) {
		return nil, fmt.Errorf("it has %d bytes, %d dimensions, %d pieces, %d words", len(file), dim, pieces, words)
	}
	rest := file[head:]
	take := func(n int64) string {
		s := rest[:n]
		rest = rest[n:]
		return s
	}
	t := &static{words: int(words)}
	var err error
	if t.ends, t.text, err = texts(take(pieces), take(text)); err != nil {
		return nil, fmt.Errorf("pieces: %w", err)
	}
	t.runs = numbers(take(4 * runs))
	t.foldFrom = numbers(take(4 * folds))
	if t.foldEnds, t.foldTexts, err = texts(take(folds), take(foldText)); err != nil {
		return nil, fmt.Errorf("folds: %w", err)
	}
	t.scales, t.rows = take(2*pieces), take(pieces*Dim)
	if t.runs[0]>>3 != 0 || !slices.IsSorted(t.runs) || !slices.IsSorted(t.foldFrom) {
		return nil, fmt.Errorf("its code points are not in order")
	}
	for _, r := range t.runs {
		if class(r&7) >= classes {
			return nil, fmt.Errorf("class %d", r&7)
		}
	}
	for c := range t.ascii {
		t.ascii[c] = t.find(rune(c))
	}
	for _, r := range t.foldTexts {
		if c := t.class(r); c == fold || c == hangul {
			return nil, fmt.Errorf("a fold gives %q, which is to be folded", r)
		}
	}
	for id := range int(pieces) {
		if t.scale(id) > maxScale {
			return nil, fmt.Errorf("piece %d has the scale %d", id, t.scale(id))
		}
	}
	return t, t.makeIndex()
}

// makeIndex puts the pieces into a table of twice their number. It is several
// times as fast to make as a map, and to ask.
func (t *static) makeIndex() error {
	size := 1
	for size < 2*len(t.ends) {
		size *= 2
	}
	t.index = make([]uint16, size)
	for id := range t.ends {
		p := t.piece(id)
		if len(p) == 0 {
			return fmt.Errorf("piece %d is empty", id)
		}
		t.longest = max(t.longest, len(p))
		h := t.seed(id >= t.words)
		for i := range len(p) {
			h = step(h, p[i])
		}
		at := t.slot(h)
		for t.index[at] != 0 {
			at = (at + 1) & (len(t.index) - 1)
		}
		t.index[at] = uint16(id + 1)
	}
	return nil
}

// The hash is FNV-1a, so that one walk along a word has it for each prefix.
func (t *static) seed(continues bool) uint32 {
	if continues {
		return 2166136261 ^ '#'
	}
	return 2166136261
}

func step(h uint32, b byte) uint32 { return (h ^ uint32(b)) * 16777619 }

func (t *static) slot(h uint32) int { return int(h^h>>15) & (len(t.index) - 1) }

// lookup returns the piece with this text, whose hash is h, or noPiece.
func (t *static) lookup(h uint32, text []byte, continues bool) int {
	for at := t.slot(h); ; at = (at + 1) & (len(t.index) - 1) {
		id := int(t.index[at]) - 1
		if id < 0 {
			return noPiece
		}
		if id >= t.words == continues && t.piece(id) == string(text) {
			return id
		}
	}
}

// piece is the text of a piece, without the mark of those that continue a word.
func (t *static) piece(id int) string { return between(t.text, t.ends, id) }

func (t *static) scale(id int) uint16 {
	return uint16(t.scales[2*id]) | uint16(t.scales[2*id+1])<<8
}

// class says what to do with a code point.
func (t *static) class(r rune) class {
	if r < utf8.RuneSelf {
		return t.ascii[r]
	}
	return t.find(r)
}

func (t *static) find(r rune) class {
	i, _ := slices.BinarySearch(t.runs, uint32(r+1)<<3) // the first run behind r
	return class(t.runs[i-1] & 7)
}

// fold is what a code point of class fold becomes.
func (t *static) fold(r rune) string {
	i, ok := slices.BinarySearch(t.foldFrom, uint32(r))
	if !ok {
		return ""
	}
	return between(t.foldTexts, t.foldEnds, i)
}

func u32(s string, at int) uint32 { return binary.LittleEndian.Uint32([]byte(s[at : at+4])) }

func numbers(s string) []uint32 {
	list := make([]uint32, len(s)/4)
	for i := range list {
		list[i] = u32(s, 4*i)
	}
	return list
}

// texts returns where each of some texts ends, which are of the given lengths
// and stand behind one another.
func texts(lengths, text string) ([]uint32, string, error) {
	ends, sum := make([]uint32, len(lengths)), uint32(0)
	for i := range ends {
		sum += uint32(lengths[i])
		ends[i] = sum
	}
	if int64(sum) != int64(len(text)) {
		return nil, "", fmt.Errorf("%d bytes of text, but lengths of %d", len(text), sum)
	}
	return ends, text, nil
}

func between(text string, ends []uint32, i int) string {
	from := uint32(0)
	if i > 0 {
		from = ends[i-1]
	}
	return text[from:ends[i]]
}
