package sqlite

import (
	"context"
	"encoding/binary"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/datatest"
)

// float32s is a vector as sqlite-vec reads it.
func float32s(v ...float64) []byte {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(x)))
	}
	return b
}

// searchable is a database with vectors in a table, in a vec0 table and in an
// index of words.
func searchable(tb testing.TB) *Store {
	return openStore(tb, Config{},
		`CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT, v BLOB)`,
		`INSERT INTO notes VALUES (1, 'the whale swims', vec_f32('[1,0,0]')), (2, 'a dog barks', vec_f32('[0,1,0]')), (3, 'bread rose', NULL)`,
		`CREATE VIRTUAL TABLE notes_fts USING fts5(body, content='notes', content_rowid='id')`,
		`INSERT INTO notes_fts (notes_fts) VALUES ('rebuild')`,
		`CREATE VIRTUAL TABLE notes_vec USING vec0(v float[3])`,
		`INSERT INTO notes_vec (rowid, v) SELECT id, v FROM notes WHERE v IS NOT NULL`,
		`CREATE VIEW words AS SELECT rowid AS id, body FROM notes_fts`,
	)
}

const (
	byCosine = `SELECT id, vec_distance_cosine(v, :v) AS d FROM notes WHERE v IS NOT NULL ORDER BY d NULLS LAST, id`
	byL2     = `SELECT id, vec_distance_l2(v, vec_f32(:v)) AS d FROM notes WHERE v IS NOT NULL ORDER BY d NULLS LAST, id`
	byVec0   = `SELECT rowid AS id, distance AS d FROM notes_vec WHERE v MATCH :v AND k = 2 ORDER BY distance`
	byWords  = `SELECT rowid AS id FROM notes_fts WHERE notes_fts MATCH :m ORDER BY rank`
)

func TestSearch(t *testing.T) {
	t.Parallel()
	s := searchable(t)
	near := func(first, second float64) [][]any { return [][]any{{int64(2), first}, {int64(1), second}} }
	for _, test := range []struct {
		name, sql string
		params    map[string]any
		rows      [][]any
	}{
		{"cosine", byCosine, map[string]any{"v": float32s(0, 2, 0)}, near(0, 1)},
		{"cosine of JSON", byCosine, map[string]any{"v": "[0, 2, 0]"}, near(0, 1)},
		{"l2", byL2, map[string]any{"v": float32s(0, 1, 0)}, near(0, float64(float32(math.Sqrt2)))},
		{"vec0", byVec0, map[string]any{"v": float32s(0, 1, 0)}, near(0, float64(float32(math.Sqrt2)))},
		{"words", byWords, map[string]any{"m": `"whale" OR "cat"`}, [][]any{{int64(1)}}},
		{"words through a view", `SELECT id FROM words WHERE body = :m`, map[string]any{"m": "bread rose"}, [][]any{{int64(3)}}},
		// No number is the distance of what is no number, or has no direction.
		{"not a number", byCosine, map[string]any{"v": float32s(math.NaN(), 0, 0)}, [][]any{{int64(1), nil}, {int64(2), nil}}},
		{"zero", byCosine, map[string]any{"v": float32s(0, 0, 0)}, [][]any{{int64(1), nil}, {int64(2), nil}}},
		{"infinite", byCosine, map[string]any{"v": float32s(math.Inf(1), 0, 0)}, [][]any{{int64(1), nil}, {int64(2), nil}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for range 2 { // prepared, and then from the cache
				rows, err := selectAll(s, test.sql, test.params, &data.Scope{})
				if err != nil || !reflect.DeepEqual(rows, test.rows) {
					t.Errorf("got %v, %v, want %v", rows, err, test.rows)
				}
			}
		})
	}
}

// What a worker gets wrong is its own error, and says no more of the schema than
// the dimensions.
func TestMalformedSearches(t *testing.T) {
	t.Parallel()
	s := searchable(t)
	for _, test := range []struct {
		value any
		word  string
	}{
		{float32s(1, 2), "of 2|dimensions, the parameter 2"},
		{"[1,2]", "of 2|dimensions, the parameter 2"},
		{[]byte{1, 2, 3}, "3 bytes, which is no multiple of 4"},
		{[]byte{}, "is empty"},
		{"", "is empty"},
		{"[]", "no vector: it would be a JSON array"},
		{"garbage", "no vector: it would be a JSON array"},
		{"[1e999,0,0]", "no vector: it would be a JSON array"},
		{strings.Repeat("[", 2000), "no vector: it would be a JSON array"},
		{nil, "NULL stands where a vector should"},
		{int64(3), "INTEGER stands where a vector should"},
		{0.5, "FLOAT stands where a vector should"},
	} {
		for name, sql := range map[string]string{"cosine": byCosine, "l2": byL2, "vec0": byVec0} {
			_, err := selectAll(s, sql, map[string]any{"v": test.value}, &data.Scope{})
			one, other, _ := strings.Cut(test.word, "|")
			if other != "" && name == "vec0" {
				one = other
			}
			datatest.WantError(t, err, abi.InvalidArgument, one)
			if err != nil && strings.Contains(err.Error(), `"v"`) {
				t.Errorf("%s of %.20v tells too much: %v", name, test.value, err)
			}
		}
	}
	for _, test := range []struct {
		value any
		word  string
	}{
		{`"whale`, "a quote that is not closed"},
		{`(`, `syntax error near ""`},
		{`whale AND`, `syntax error near ""`},
		{`AND`, `syntax error near "AND"`},
		{"", `syntax error near ""`},
		{nil, `syntax error near ""`},
		{"\x00", `syntax error near ""`},
		{`don't`, `syntax error near "'"`},
		{`secret: whale`, `names the column "secret"`},
		{`*whale`, `begins with *`},
		{strings.Repeat("(", 1000), "nested too deeply"},
	} {
		_, err := selectAll(s, byWords, map[string]any{"m": test.value}, &data.Scope{})
		datatest.WantError(t, err, abi.InvalidArgument, test.word)
	}
	for _, k := range []int64{-1, 4097, math.MaxInt64} {
		_, err := selectAll(s, `SELECT rowid FROM notes_vec WHERE v MATCH '[1,0,0]' AND k = :k`, map[string]any{"k": k}, &data.Scope{})
		datatest.WantError(t, err, abi.InvalidArgument, "k is out of range")
	}
	// What the operator got wrong is the operator's to read.
	for _, sql := range []string{`SELECT vec_distance_cosine(v) AS d FROM notes`, `SELECT nope FROM notes_fts`, `SELECT vec_slice(v, 2, 1) AS d FROM notes WHERE id = 1`} {
		_, err := selectAll(s, sql, nil, &data.Scope{})
		datatest.WantError(t, err, abi.Internal)
	}
	// The same words of SQLite's in a statement that does not search.
	_, err := selectAll(s, `SELECT abs(:a) AS x`, map[string]any{"a": int64(math.MinInt64)}, &data.Scope{})
	datatest.WantError(t, err, abi.Internal, "overflow")
}

// Parameters of searches are bounded, as what reads them cannot be interrupted;
// those of other statements are not.
func TestSearchLimits(t *testing.T) {
	t.Parallel()
	s := searchable(t)
	for _, test := range []struct {
		sql  string
		most int
	}{
		{byWords, maxMatch},
		{`SELECT rowid AS id FROM notes_fts WHERE notes_fts = :m`, maxMatch},
		{`SELECT rowid AS id FROM notes_fts(:m)`, maxMatch},
		{`SELECT id FROM words WHERE body = :m`, maxMatch},
		{`SELECT w.id FROM words w JOIN notes n ON n.id = w.id WHERE vec_length(n.v) = length(:m)`, maxMatch},
		{`SELECT rowid AS id FROM notes_vec WHERE v MATCH :m AND k = 1`, maxVector},
		{`SELECT vec_length(:m) AS n`, maxVector},
		{`SELECT value FROM vec_each(:m)`, maxVector},
	} {
		for _, v := range []any{strings.Repeat("a", test.most+1), make([]byte, test.most+1)} {
			_, err := selectAll(s, test.sql, map[string]any{"m": v}, &data.Scope{})
			datatest.WantError(t, err, abi.LimitExceeded, `parameter "m" has`)
		}
		_, err := selectAll(s, test.sql, map[string]any{"m": strings.Repeat("a", test.most)}, &data.Scope{})
		if abi.CodeOf(err) == abi.LimitExceeded {
			t.Errorf("%s: at the limit: %v", test.sql, err)
		}
	}
	long := map[string]any{"m": strings.Repeat("a", 1<<20)}
	if _, err := selectAll(s, `SELECT id FROM notes WHERE body = :m`, long, &data.Scope{}); err != nil {
		t.Errorf("in a statement that does not search: %v", err)
	}
}

// A search that goes on ends with its deadline: what SQLite walks through, it
// can be stopped in.
func TestSearchDeadline(t *testing.T) {
	t.Parallel()
	s := searchable(t)
	const endless = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) `
	for sql, value := range map[string]string{
		endless + `SELECT count(vec_distance_cosine(:v, '[' || n.i || ',2,3]')) AS d FROM n WHERE i > 0`: "[1,2,3]",
		endless + `SELECT count(f.rowid) AS d FROM n, notes_fts f WHERE f.notes_fts MATCH :v`:            "whale",
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		c, err := s.Select(ctx, sql, map[string]any{"v": value}, &data.Scope{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Next(ctx, make([]byte, 100))
		datatest.WantError(t, err, abi.DeadlineExceeded)
		_ = c.Close()
	}
}

// Named queries read. They change neither an index nor the tables behind it, and
// no command of FTS5 is run.
func TestSearchesOnlyRead(t *testing.T) {
	t.Parallel()
	s := searchable(t)
	for _, sql := range []string{
		`INSERT INTO notes_vec (v) VALUES ('[1,2,3]')`,
		`DELETE FROM notes_vec`,
		`UPDATE notes_vec SET v = '[1,2,3]'`,
		`INSERT INTO notes_vec_rowids (rowid) VALUES (9)`,
		`DELETE FROM notes_vec_chunks`,
		`UPDATE notes_vec_vector_chunks00 SET vectors = x''`,
		`INSERT INTO notes_fts (notes_fts) VALUES ('delete-all')`,
		`INSERT INTO notes_fts (notes_fts, rank) VALUES ('rank', 'bm25(10.0)')`,
		`DELETE FROM notes_fts_data`,
		`UPDATE notes_fts_config SET v = 1`,
		`DROP TABLE notes_vec`,
		`CREATE VIRTUAL TABLE temp.x USING vec0(v float[3])`,
	} {
		_, err := selectAll(s, sql, nil, &data.Scope{})
		datatest.WantError(t, err, abi.Internal)
		if err != nil && !strings.Contains(err.Error(), "not authorized") && !strings.Contains(err.Error(), "may not be modified") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	for sql, want := range map[string]int{`SELECT rowid FROM notes_vec`: 2, `SELECT rowid FROM notes_fts('whale')`: 1} {
		if rows, err := selectAll(s, sql, nil, &data.Scope{}); err != nil || len(rows) != want {
			t.Errorf("%s: %v, %v", sql, rows, err)
		}
	}
}

// Workers reach neither an index, nor the tables behind it, nor a function of
// sqlite-vec by the schema: not by a view, nor by a trigger.
func TestSearchIsForNamedQueries(t *testing.T) {
	t.Parallel()
	s := openStore(t, Config{},
		`CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)`, `INSERT INTO t VALUES (1, x'0000803f')`,
		`CREATE VIEW lengths AS SELECT id, vec_length(v) AS n FROM t`,
		`CREATE VIRTUAL TABLE index_vec USING vec0(v float[1], name TEXT, +note TEXT)`,
		`CREATE VIRTUAL TABLE index_fts USING fts5(body)`,
		`CREATE TABLE a (v BLOB)`, `CREATE TRIGGER a_in AFTER INSERT ON a BEGIN INSERT INTO t (v) VALUES (vec_f32(new.v)); END`,
		`CREATE TABLE b (v BLOB)`, `CREATE TRIGGER b_in AFTER INSERT ON b BEGIN INSERT INTO index_vec (v) VALUES (new.v); END`,
	)
	for _, name := range []string{"index_vec", "index_vec_chunks", "index_vec_rowids", "index_vec_info", "index_vec_auxiliary",
		"index_vec_vector_chunks00", "index_vec_metadatachunks00", "index_vec_metadatatext00", "index_fts", "index_fts_data", "index_fts_content"} {
		_, err := readAll(s, abi.Query{Collection: name})
		if err == nil {
			t.Errorf("%s was read", name)
		}
		datatest.WantError(t, err, abi.UnknownCollection)
		if rows, err := selectAll(s, `SELECT count(*) AS n FROM `+name, nil, &data.Scope{}); err != nil || len(rows) != 1 {
			t.Errorf("%s is not there to be kept from workers: %v", name, err)
		}
	}
	_, err := readAll(s, abi.Query{Collection: "lengths"})
	datatest.WantError(t, err, abi.Internal, "not authorized")
	if rows, err := selectAll(s, `SELECT n FROM lengths`, nil, &data.Scope{}); err != nil || !reflect.DeepEqual(rows, [][]any{{int64(1)}}) {
		t.Errorf("the view in a named query: %v, %v", rows, err)
	}
	for collection, word := range map[string]string{"a": "not authorized", "b": "unsafe use of virtual table"} {
		_, err := s.Write(context.Background(), []abi.Mutation{{Collection: collection, Verb: abi.Insert}}, datatest.Batch([]string{"v"}, []any{float32s(1)}), data.Everything())
		datatest.WantError(t, err, abi.InvalidArgument, word)
	}
	if rows, err := readAll(s, abi.Query{Collection: "t"}); err != nil || len(rows) != 1 {
		t.Errorf("afterwards: %v, %v", rows, err)
	}
}

// FuzzSearch gives values of a worker's to statements that search: what comes is
// rows or an error of the worker's, never one of the host's.
func FuzzSearch(f *testing.F) {
	for _, v := range [][]byte{float32s(1, 0, 0), float32s(math.NaN(), 1, 2), {1, 2, 3}, []byte(`NEAR(0,A)`), []byte("[1,2,3]"), []byte("[1,,2]"), []byte("[-1e-40, NaN, inf]"),
		[]byte(`"whale" OR dog*`), []byte(`NEAR(a b, 3)`), []byte(`{body} : ^whale`), []byte(`- body : "x" + "y"`), []byte("\"\xff\x00")} {
		f.Add(v, true)
		f.Add(v, false)
	}
	s := searchable(f)
	f.Fuzz(func(t *testing.T, b []byte, text bool) {
		var v any = b
		if text {
			v = string(b)
		}
		for _, sql := range []string{byCosine, byL2, byVec0, byWords,
			`SELECT vec_length(:v) AS l, vec_to_json(:v) AS j, vec_normalize(:v) AS n`,
			`SELECT rowid FROM vec_each(:v)`, `SELECT rowid FROM notes_fts(:v)`,
			`SELECT vec_distance_hamming(vec_bit(:v), vec_bit(:v)) AS d`, `SELECT vec_distance_l1(vec_int8(:v), vec_int8(:v)) AS d`} {
			name := "v"
			if sql == byWords {
				name = "m"
			}
			_, err := selectAll(s, sql, map[string]any{name: v}, &data.Scope{})
			if code := abi.CodeOf(err); !slices.Contains([]abi.Code{abi.OK, abi.InvalidArgument, abi.LimitExceeded}, code) {
				t.Errorf("%s of %.100q: %v", sql, b, err)
			}
		}
	})
}

// The time of a search, at the limit of its parameters, by the worst that was
// found; WASMHOST_SEARCH_WORST=1 prints it.
func TestSearchWorst(t *testing.T) {
	if os.Getenv("WASMHOST_SEARCH_WORST") == "" {
		t.Skip("measures; set WASMHOST_SEARCH_WORST")
	}
	s := openStore(t, Config{}, `CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO t SELECT i, 'a whale ab' || i || ' a' || (i % 77) FROM n`,
		`CREATE VIRTUAL TABLE f USING fts5(body, content='t', content_rowid='id')`, `INSERT INTO f (f) VALUES ('rebuild')`)
	for _, word := range []string{"a ", "a* ", "a* OR ", "a OR ", `"a" OR `} {
		m := strings.Repeat(word, maxMatch/len(word)-1) + "a"
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		began := time.Now()
		c, err := s.Select(ctx, `SELECT rowid FROM f WHERE f MATCH :m ORDER BY rank LIMIT 10`, map[string]any{"m": m}, &data.Scope{})
		if err == nil {
			_, err = c.Next(ctx, make([]byte, 1000))
			_ = c.Close()
		}
		cancel()
		t.Logf("%d times %q with a deadline of 100 ms: %v, %v", maxMatch/len(word), word, time.Since(began).Round(time.Millisecond), err)
	}
}
