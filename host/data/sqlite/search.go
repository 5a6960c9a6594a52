package sqlite

import (
	"regexp"
	"slices"
	"strings"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/sqlite/internal/lite"
)

// Statements of the operator's may search: full-text indexes (FTS5) and vectors
// (sqlite-vec). To both a parameter is a language of its own, which a worker
// writes, and which they read in one step that no deadline interrupts: FTS5
// takes a time that grows with the square of the words, minutes at a megabyte.
// So parameters of such statements are bounded before they get there.
const (
	maxMatch  = 4 << 10  // bytes of a parameter beside a full-text index
	maxVector = 64 << 10 // beside vectors: twice the 8192 float32 that vec0 takes
)

// searches says how a statement searches.
type searches struct{ text, vectors bool }

func (sc *schema) searches(st *lite.Stmt) (s searches) {
	for _, name := range st.Reads() {
		if module, ok := sc.virtual[name]; ok {
			s.vectors = s.vectors || module == "vec0"
			s.text = s.text || module != "vec0" // also what is not known here
		}
	}
	s.vectors = s.vectors || slices.ContainsFunc(st.Calls(), isVector) || slices.ContainsFunc(st.Reads(), isVector)
	return s
}

// isVector says whether a function, or a table that is one, is of sqlite-vec.
func isVector(name string) bool { return len(name) > 4 && strings.EqualFold(name[:4], "vec_") }

// check refuses parameters that are too long.
func (s searches) check(params map[string]any) error {
	most, what := maxVector, "a search by vector"
	if s.text {
		most, what = maxMatch, "a full-text search"
	}
	if !s.text && !s.vectors {
		return nil
	}
	for name, v := range params {
		n := 0
		switch v := v.(type) {
		case string:
			n = len(v)
		case []byte:
			n = len(v)
		}
		if n > most {
			return abi.Errorf(abi.LimitExceeded, "parameter %q has %d bytes, in %s at most %d", data.Clip(name), n, what, most)
		}
	}
	return nil
}

// malformed are the words with which FTS5 and sqlite-vec refuse what they were
// given: they have no result code for it. Behind each is what the worker is
// told, where $1 and $2 come from its own values or are dimensions. What is not
// here stays the operator's to read.
var malformed = []struct {
	words *regexp.Regexp
	text  string
}{
	{regexp.MustCompile(`(?s)^fts5: syntax error near "(.*)"$`), `the full-text query has a syntax error near "$1"`},
	{regexp.MustCompile(`^unterminated string$`), `the full-text query has a quote that is not closed`},
	{regexp.MustCompile(`^unknown special query: `), `the full-text query begins with *`},
	{regexp.MustCompile(`(?s)^no such column: (.*)$`), `the full-text query names the column "$1", which the index does not have`},
	{regexp.MustCompile(`(?s)^expected integer, got "(.*)"$`), `the full-text query has "$1" where NEAR takes a number`},
	{regexp.MustCompile(`^fts5: parser stack overflow$|^fts5 expression tree is too large`), `the full-text query is nested too deeply`},
	{regexp.MustCompile(`^fts5: (phrase|NEAR|column) queries are not supported`), `the full-text index takes no $1 queries`},
	{regexp.MustCompile(`First vector has (\d+) dimensions, while the second has (\d+)`), `a vector of $1 dimensions is compared with one of $2`},
	{regexp.MustCompile(`Expected (\d+) dimensions but received (\d+)`), `the vectors have $1 dimensions, the parameter $2`},
	{regexp.MustCompile(`First vector has type (\w+), while the second has type (\w+)`), `a vector of $1 is compared with one of $2`},
	{regexp.MustCompile(`Must be divisible by 4, found (\d+)`), `a vector has $1 bytes, which is no multiple of 4: it is float32, little-endian`},
	{regexp.MustCompile(`zero-length vectors are not supported`), `a vector is empty`},
	{regexp.MustCompile(`JSON (array )?parsing error`), `a text is no vector: it would be a JSON array of numbers`},
	{regexp.MustCompile(`Input must have type BLOB \(compact format\) or TEXT \(JSON\), found (\w+)`), `$1 stands where a vector should: that is a BLOB of float32, little-endian`},
	{regexp.MustCompile(`^Unknown type for (\w+)`), `a value is no $1`},
	{regexp.MustCompile(`^SQL logic error$`), `a value is no vector`}, // vec_each has no words
	{regexp.MustCompile(`^k value in knn quer(?:y|ies) (?:too large, provided|must be)`), `k is out of range, which is 0 to 4096`},
}

// wrong makes a worker's error of one that FTS5 or sqlite-vec has with a value.
func (s searches) wrong(err error) error {
	e, ok := err.(*lite.Error)
	if !ok || e.Code != sqlite3.SQLITE_ERROR || !s.text && !s.vectors {
		return err
	}
	for _, m := range malformed {
		found := append(m.words.FindStringSubmatch(e.Text), "", "")
		if found[0] != "" {
			text := strings.NewReplacer("$1", data.Clip(found[1]), "$2", data.Clip(found[2])).Replace(m.text)
			return abi.Errorf(abi.InvalidArgument, "%s", text)
		}
	}
	return err
}
