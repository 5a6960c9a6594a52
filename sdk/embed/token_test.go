package embed

import (
	"encoding/json"
	"math/rand"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// tokens returns the pieces of a text as the reference tokenizer writes them.
func tokens(text string) []string {
	list := []string{}
	tok := tokenizer{table: table(), text: text}
	for tok.next() {
		if len(tok.pieces) == 0 {
			list = append(list, "[UNK]")
		}
		for _, id := range tok.pieces {
			p := tok.table.piece(id)
			if id >= tok.table.words {
				p = "##" + p
			}
			list = append(list, p)
		}
	}
	return list
}

// What bake/reference.py got from the tokenizer that the model was made with.
func TestTokensAreTheReferences(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/tokens.json")
	if err != nil {
		t.Fatal(err)
	}
	var tests []struct {
		Text   string
		Tokens []string
	}
	if err := json.Unmarshal(b, &tests); err != nil {
		t.Fatal(err)
	}
	if len(tests) < 50 {
		t.Fatalf("only %d strings", len(tests))
	}
	for _, test := range tests {
		if got := tokens(test.Text); !slices.Equal(got, test.Tokens) {
			t.Errorf("%q:\n got %q\nwant %q", test.Text, got, test.Tokens)
		}
	}
}

func TestBytesThatAreNoText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, same string }{
		{"a byte of UTF-8 alone", "caf\xe9s", "cafs"},
		{"cut off in a character", "hello \xf0\x9f\x91", "hello"},
		{"a surrogate", "a\xed\xa0\x80b", "ab"},
		{"an overlong form", "a\xc0\xafb", "ab"},
		{"NUL", "hello\x00 wor\x00ld", "hello world"},
	} {
		if got, want := tokens(test.text), tokens(test.same); !slices.Equal(got, want) {
			t.Errorf("%s: %q gives %q, want %q", test.name, test.text, got, want)
		}
	}
}

// Each piece is found again, and nothing else is.
func TestLookup(t *testing.T) {
	t.Parallel()
	tab := table()
	find := func(p string, continues bool) int {
		h := tab.seed(continues)
		for i := range len(p) {
			h = step(h, p[i])
		}
		return tab.lookup(h, []byte(p), continues)
	}
	known := map[string]bool{}
	for id := range tab.ends {
		p, continues := tab.piece(id), id >= tab.words
		if got := find(p, continues); got != id {
			t.Fatalf("piece %d, %q: found %d", id, p, got)
		}
		if continues {
			p = "##" + p
		}
		known[p] = true
	}
	r := rand.New(rand.NewSource(1))
	for range 10_000 {
		b := make([]byte, 1+r.Intn(4))
		for i := range b {
			b[i] = 'a' + byte(r.Intn(26))
		}
		if got := find(string(b), false); got >= 0 != known[string(b)] {
			t.Fatalf("%q: found %d", b, got)
		}
	}
}

func FuzzTokens(f *testing.F) {
	for _, s := range []string{"", "Hello, World!", "caf\xe9", "한국어", "\x00", strings.Repeat("ab", 60)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var n int
		tok := tokenizer{table: table(), text: text}
		for tok.next() {
			if tok.runes == 0 || len(tok.pieces) > maxWord {
				t.Fatalf("a word of %d code points and %d pieces", tok.runes, len(tok.pieces))
			}
			if len(tok.pieces) > 0 {
				var b strings.Builder
				for _, id := range tok.pieces {
					b.WriteString(tok.table.piece(id))
				}
				if b.String() != string(tok.word) {
					t.Fatalf("the word %q is cut into %q", tok.word, b.String())
				}
			}
			n += tok.runes
		}
		// A code point becomes five at most: the Vietnamese and Greek ones with
		// their accents gone are one.
		if most := 5 * utf8.RuneCountInString(text); n > most {
			t.Fatalf("%d code points in, %d out", utf8.RuneCountInString(text), n)
		}
		if v := Text(text); v != nil && (len(v) != Dim || !nearOne(v)) {
			t.Fatalf("%q: the vector %v", text, v)
		}
		if again := Append(nil, strings.Clone(text)); len(again) != 0 && len(again) != 4*Dim {
			t.Fatalf("%d bytes", len(again))
		}
	})
}

func nearOne(v []float32) bool {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return sum > 0.9999 && sum < 1.0001
}
