package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk/embed"
	"github.com/wasmhost/wasmhost/sdk/sdktest"
)

func TestKeywords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                 "",
		" \t\"'*^-+(){}:!? ":               "",
		"whale":                            `"whale"`,
		"The Whale, and the whale's SHIP!": `"whale" OR "ship"`,
		"to be or not to be":               `"to" OR "be" OR "or" OR "not"`,
		`x" OR secret: "y`:                 `"x" OR "secret" OR "y"`,
		`NEAR(a b, 3) AND body:^z* NOT q`:  `"near" OR "b" OR "3" OR "body" OR "z" OR "q"`,
		"Ünï 鯨 \xff\x00 42":                `"ünï" OR "鯨" OR "42"`,
		strings.Repeat("x", 49):            "",
	} {
		if got := keywords(text); got != want {
			t.Errorf("keywords(%q) = %s, want %s", text, got, want)
		}
	}
	var long strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&long, "%048d ", i)
	}
	if got := keywords(long.String()); strings.Count(got, `"`) != 2*maxWords || len(got) >= 4<<10 {
		t.Errorf("of very many words there are %d, %d bytes", strings.Count(got, `"`)/2, len(got))
	}
}

// FuzzKeywords: whatever the text, the query is quoted words between OR.
func FuzzKeywords(f *testing.F) {
	f.Add(`a "b" OR c* NEAR(d) {e}: ^f`)
	f.Add("\xf0\x9f\x90\x8b \u0000 \ufffd ﬁ İ")
	f.Fuzz(func(t *testing.T, text string) {
		got := keywords(text)
		if len(got) >= 4<<10 {
			t.Errorf("%d bytes", len(got))
		}
		if got == "" {
			return
		}
		for _, word := range strings.Split(got, " OR ") {
			inner := strings.TrimSuffix(strings.TrimPrefix(word, `"`), `"`)
			if len(inner) != len(word)-2 || inner == "" || strings.ContainsAny(inner, "\"\x00 ") {
				t.Errorf("%q became %s", text, got)
			}
		}
	})
}

func keys(list []hit) (keys []any) {
	for _, h := range list {
		keys = append(keys, h.key)
	}
	return keys
}

func TestFuse(t *testing.T) {
	t.Parallel()
	vectors := []hit{{key: "a", score: .9}, {key: "b", score: .8}, {key: "c", score: .7}}
	words := []hit{{key: "c"}, {key: "d"}, {key: "a"}}
	mixed, err := fuse(vectors, words)
	if err != nil {
		t.Fatal(err)
	}
	// a is first and third, c third and first: alike, so in the order of the vectors.
	if got := keys(mixed); !slices.Equal(got, []any{"a", "c", "b", "d"}) {
		t.Errorf("got the order %v", got)
	}
	if want := 1.0/61 + 1.0/63; math.Abs(mixed[0].score-want) > 1e-12 || mixed[0].vectors != 1 || mixed[0].keywords != 3 || mixed[0].cosine != .9 {
		t.Errorf("the first is %+v, want the score %v", mixed[0], want)
	}
	if b, d := mixed[2], mixed[3]; b.keywords != 0 || d.vectors != 0 || b.score != 1.0/62 || d.score != 1.0/62 {
		t.Errorf("those in one list are %+v and %+v", b, d)
	}
	// An integer and the text of it are two keys.
	if mixed, err = fuse([]hit{{key: int64(1)}}, []hit{{key: "1"}}); err != nil || len(mixed) != 2 {
		t.Errorf("keys of two types: %+v, %v", mixed, err)
	}
}

func TestMixedQuery(t *testing.T) {
	t.Parallel()
	h, _ := documents(t, "the stock market fell", "a puppy barked loudly", "cars and trucks", "invoice QX-771", "bread and butter")
	run(t, h, nil)
	var got map[string]any
	h.Query("words", func(params map[string]any) ([]string, [][]any, error) {
		got = params
		return []string{"id"}, [][]any{{int64(3)}, {int64(4)}, {int64(3)}}, nil
	})
	answer, err := query(h, map[string]any{"text": "the QX 771 of a dog", "k": 3, "keywords": "words", "columns": []any{"title"}})
	if err != nil {
		t.Fatal(err)
	}
	if got["words"] != `"qx" OR "771" OR "dog"` || got["most"] != int64(fuseDepth) || len(got) != 2 {
		t.Errorf("the query was asked with %v", got)
	}
	hits := answer["hits"].([]any)
	if len(hits) != 3 || answer["compared"] != int64(5) {
		t.Fatalf("got %v", answer)
	}
	first := hits[0].(map[string]any)
	lists := first["lists"].(map[string]any)
	if first["key"] != int64(3) || lists["keywords"] != int64(1) || lists["vectors"] == nil || first["cosine"] == nil || first["columns"].(map[string]any)["title"] != "title 3" {
		t.Errorf("the first is %v", first)
	}
	// Where nothing is a word there are the vectors only.
	if answer, err = query(h, map[string]any{"text": "!?", "keywords": "words"}); err != nil || len(answer["hits"].([]any)) != 5 {
		t.Errorf("without words: %v, %v", answer, err)
	}
	// And where the model knows none there are the words only.
	if answer, err = query(h, map[string]any{"text": "ꙮ", "keywords": "words"}); err != nil || len(answer["hits"].([]any)) != 2 {
		t.Errorf("without a known word: %v, %v", answer, err)
	}
}

func TestVectorsInTheDatabase(t *testing.T) {
	t.Parallel()
	h, _ := documents(t, "a dog", "a cat")
	run(t, h, nil)
	h.Query("near", func(params map[string]any) ([]string, [][]any, error) {
		if string(params["vector"].([]byte)) != string(embed.Append(nil, "puppy")) || params["model"] != embed.Model || params["most"] != int64(2) || len(params) != 3 {
			t.Errorf("the query was asked with %v", params)
		}
		return []string{"id", "distance"}, [][]any{{int64(1), 0.25}, {int64(0), 0.5}, {int64(7), nil}}, nil
	})
	answer, err := query(h, map[string]any{"text": "puppy", "k": 2, "vectors": "near"})
	if err != nil {
		t.Fatal(err)
	}
	hits := answer["hits"].([]any)
	if len(hits) != 2 || hits[0].(map[string]any)["score"] != 0.75 || hits[1].(map[string]any)["key"] != int64(0) {
		t.Errorf("got %v", answer)
	}
}

func TestBadNamedQueries(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		rows [][]any
		code abi.Code
		want string
	}{
		{"vectors", [][]any{{nil, 0.5}}, abi.InvalidArgument, "which is the key, is NULL"},
		{"vectors", [][]any{{int64(1), "near"}}, abi.InvalidArgument, "no distance"},
		{"keywords", [][]any{{nil, 0.5}}, abi.InvalidArgument, `query "q"`},
		{"keywords", nil, abi.NotGranted, "other"},
	} {
		h, _ := documents(t, "a dog")
		run(t, h, nil)
		h.Query("q", func(map[string]any) ([]string, [][]any, error) { return []string{"id", "d"}, test.rows, nil })
		name := "q"
		if test.rows == nil {
			name = "other"
		}
		res, err := h.Run(worker, sdktest.TaskOf(commandQuery, map[string]any{"text": "dog", test.name: name}))
		if !errors.Is(err, test.code) || !strings.Contains(abi.MessageOf(err), test.want) || res.OpenCursors != 0 {
			t.Errorf("%s of %v: %v, %d queries left open; want %s with %q", test.name, test.rows, err, res.OpenCursors, test.code, test.want)
		}
	}
}
