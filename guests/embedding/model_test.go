package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/sdk/embed"
	"github.com/wasmhost/wasmhost/sdk/sdktest"
)

var adapterColumns = []string{"id", "base_model", "dimension", "rank", "a", "b"}

// adapterOf adds c times a vector's first number to its second.
func adapterOf(t *testing.T, c float32) *embed.Adapter {
	t.Helper()
	a, b := make([]float32, 2*embed.Dim), make([]float32, 2*embed.Dim)
	a[0], b[1] = 1, c
	m, err := embed.NewAdapter(2, embed.Dim, a, b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAdaptedModel(t *testing.T) {
	t.Parallel()
	h, _ := documents(t, "a dog", nil, "a cat")
	m := adapterOf(t, 3)
	table := h.Table("primary", adapters, adapterColumns, "id")
	put := func(m *embed.Adapter) {
		table.Insert("pets", embed.Model, int64(embed.Dim), int64(2), m.AppendA(nil), m.AppendB(nil))
	}
	put(m)
	run(t, h, nil) // with the model itself
	h.Config(map[string]any{"embedding.model": "static+lora:pets"})
	got := run(t, h, nil)
	name := got["model"].(string)
	if got["embedded"] != int64(2) || got["empty"] != int64(1) || !strings.HasPrefix(name, embed.Model+"+lora:pets@") {
		t.Errorf("vectors of the model without the adapter: %v", got)
	}
	want := make([]float32, embed.Dim)
	for _, row := range h.Rows("primary", "documents") {
		if text, ok := row[1].(string); ok {
			if !m.Apply(want, embed.Text(text)) {
				t.Fatal("no vector")
			}
			if !bytes.Equal(row[2].([]byte), embed.AppendVector(nil, want)) || row[3] != name {
				t.Errorf("row %v has another vector, of %v", row[0], row[3])
			}
		}
	}
	if got := run(t, h, nil); got["current"] != int64(2) {
		t.Errorf("once more: %v", got)
	}
	answer, err := query(h, map[string]any{"text": "dog", "k": 1})
	if err != nil || answer["model"] != name || answer["compared"] != int64(2) {
		t.Errorf("a query: %v, %v", answer, err)
	}
	put(adapterOf(t, 4)) // another one under the same id
	if got := run(t, h, nil); got["embedded"] != int64(2) || got["model"] == name {
		t.Errorf("vectors of another adapter with this id: %v", got)
	}
}

func TestBadAdapters(t *testing.T) {
	t.Parallel()
	m := adapterOf(t, 1)
	a, b, dim := m.AppendA(nil), m.AppendB(nil), int64(embed.Dim)
	nan := append([]byte{0, 0, 0xc0, 0x7f}, a[4:]...)
	for want, row := range map[string][]any{
		`trained for the model "glove"`:  {"glove", dim, int64(2), a, b},
		`"base_model" is NULL`:           {nil, dim, int64(2), a, b},
		"it is for 255 dimensions":       {embed.Model, dim - 1, int64(2), a, b},
		`"dimension" is no whole number`: {embed.Model, "x", int64(2), a, b},
		"its rank is 0":                  {embed.Model, dim, int64(0), a, b},
		"its rank is 4294967298":         {embed.Model, dim, int64(1<<32 + 2), a, b},
		"A has 2044 bytes":               {embed.Model, dim, int64(2), a[4:], b},
		`column "b" is NULL`:             {embed.Model, dim, int64(2), a, nil},
		"A has NaN":                      {embed.Model, dim, int64(2), nan, b},
	} {
		h, _ := documents(t, "a dog")
		h.Table("primary", adapters, adapterColumns, "id").Insert(append([]any{"x"}, row...)...)
		h.Config(map[string]any{"embedding.model": "static+lora:x"})
		_, err := h.Run(worker, sdktest.TaskOf("embedding", nil))
		if !errors.Is(err, abi.InvalidArgument) || !strings.Contains(abi.MessageOf(err), want) || !strings.Contains(abi.MessageOf(err), `adapter "x" in primary.lora_adapters`) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// server is what stands behind ai/embed. It makes vectors of three numbers, of
// which the first is the text's length.
type server struct {
	calls  int
	answer func(texts []any, answer map[string]any) error // changes an answer, or refuses
}

func (s *server) embed(params map[string]any) (any, error) {
	s.calls++
	texts := params["texts"].([]any)
	vectors := make([]any, len(texts))
	for i, text := range texts {
		vectors[i] = embed.AppendVector(nil, []float32{float32(len(text.(string))), 1, 2})
	}
	answer := map[string]any{
		"model": params["model"].(string) + "-v1", "dimension": int64(3), "vectors": vectors,
		"usage": map[string]any{"tokens": int64(len(texts)), "cost": nil},
	}
	if s.answer != nil {
		if err := s.answer(texts, answer); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

func hostedDocuments(t *testing.T, s *server, texts ...any) *sdktest.Host {
	t.Helper()
	h, _ := documents(t, texts...)
	h.Config(map[string]any{"embedding.model": "big"})
	h.Command(commandEmbed, s.embed)
	return h
}

func TestHostedModel(t *testing.T) {
	t.Parallel()
	s := &server{}
	texts := []any{nil, " ", "no \xff UTF-8", strings.Repeat("long ", 100_000)}
	for i := range 150 {
		texts = append(texts, fmt.Sprint("text ", i))
	}
	h := hostedDocuments(t, s, texts...)
	got := run(t, h, nil)
	if got["model"] != "big-v1" || got["dimension"] != int64(3) || got["embedded"] != int64(152) || got["empty"] != int64(2) || got["invalid_utf8"] != int64(1) {
		t.Errorf("got %v", got)
	}
	if u := got["usage"].(map[string]any); u["tokens"] != int64(153) || u["cost"] != nil {
		t.Errorf("usage: %v", u)
	}
	for _, row := range h.Rows("primary", "documents")[4:] {
		if want := embed.AppendVector(nil, []float32{float32(len(row[1].(string))), 1, 2}); !bytes.Equal(row[2].([]byte), want) || row[3] != "big-v1" || row[4] != int64(3) {
			t.Errorf("row %v: %v", row[0], row[2:])
		}
	}
	if s.calls != 6 { // the dimension; and of two pages one text alone and three batches
		t.Errorf("%d calls", s.calls)
	}
	s.calls = 0
	if got := run(t, h, nil); got["current"] != int64(152) || s.calls != 1 {
		t.Errorf("once more: %v, %d calls", got, s.calls)
	}
	if answer, err := query(h, map[string]any{"text": "seven b"}); err != nil || answer["model"] != "big-v1" || answer["compared"] != int64(152) {
		t.Errorf("a query: %v, %v", answer, err)
	}
}

// What a server does wrong with some texts is their error, and others go on.
func TestHostedModelRefusesTexts(t *testing.T) {
	t.Parallel()
	s := &server{answer: func(texts []any, answer map[string]any) error {
		for i, text := range texts {
			switch text {
			case "bad":
				return abi.Errorf(abi.InvalidArgument, "the text is not nice")
			case "short":
				answer["vectors"].([]any)[i] = []byte{1, 2, 3}
			case "infinite":
				answer["vectors"].([]any)[i] = []byte{0, 0, 0x80, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0}
			case "odd":
				answer["vectors"].([]any)[i] = "a vector"
			case "nothing":
				answer["vectors"].([]any)[i] = nil
			}
		}
		return nil
	}}
	h := hostedDocuments(t, s, "a", "bad", "b", "short", "infinite", "odd", "nothing", "c", "bad", "d")
	_, err := h.Run(worker, sdktest.TaskOf("embedding", nil))
	if !errors.Is(err, abi.Permanent) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"5 of 10 rows have no vector", "1 (the text is not nice", "3 (ai/embed: 3 bytes that are no vector", "4 (", "5 (ai/embed: no vector, but"} {
		if !strings.Contains(abi.MessageOf(err), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	with := 0
	for _, row := range h.Rows("primary", "documents") {
		if row[2] != nil {
			with++
		}
	}
	if failed := h.Events(eventFailed); with != 4 || len(failed) != 1 || failed[0].Data["failed"] != int64(5) || len(h.Events(eventComplete)) != 0 {
		t.Errorf("%d rows have a vector; events %v", with, h.Events())
	}
}

// What is wrong with a server as a whole ends the task, and what was written
// before stays.
func TestHostedModelFails(t *testing.T) {
	t.Parallel()
	set := func(field string, v any) func([]any, map[string]any) error {
		return func(_ []any, answer map[string]any) error { answer[field] = v; return nil }
	}
	for _, test := range []struct {
		name   string
		answer func([]any, map[string]any) error
		code   abi.Code
		want   string
	}{
		{"away", func([]any, map[string]any) error { return abi.Errorf(abi.Unavailable, "nobody there") }, abi.Unavailable, "ai/embed: nobody there"},
		{"no such model", func([]any, map[string]any) error { return abi.Errorf(abi.InvalidArgument, "no such model") }, abi.InvalidArgument, `"big": ai/embed: no such model`},
		{"budget", func([]any, map[string]any) error { return abi.Errorf(abi.LimitExceeded, "too dear") }, abi.LimitExceeded, "too dear"},
		{"too few", set("vectors", []any{}), abi.Failed, "has 0 vectors for 1 texts"},
		{"none", set("vectors", nil), abi.Failed, "no list of vectors"},
		{"no dimension", set("dimension", "3"), abi.Failed, "has the dimension 3"},
		{"a huge dimension", set("dimension", int64(1)<<40), abi.Failed, "has the dimension 1099511627776"},
		{"no name", set("model", nil), abi.Failed, "does not name its model"},
	} {
		h := hostedDocuments(t, &server{answer: test.answer}, "a")
		_, err := h.Run(worker, sdktest.TaskOf("embedding", nil))
		if !errors.Is(err, test.code) || !strings.Contains(abi.MessageOf(err), test.want) {
			t.Errorf("%s: got %v, want %s with %q", test.name, err, test.code, test.want)
		}
	}
	h, _ := documents(t, "a")
	h.Config(map[string]any{"embedding.model": "big"})
	if _, err := h.Run(worker, sdktest.TaskOf("embedding", nil)); !errors.Is(err, abi.UnknownCommand) || !strings.Contains(abi.MessageOf(err), `config: key "embedding.model" is "big"`) {
		t.Errorf("nobody provides ai/embed: %v", err)
	}
	h.Command(commandEmbed, func(map[string]any) (any, error) { return "hello", nil })
	if _, err := h.Run(worker, sdktest.TaskOf("embedding", nil)); !errors.Is(err, abi.Failed) || !strings.Contains(abi.MessageOf(err), "is no map") {
		t.Errorf("garbage: %v", err)
	}

	s := &server{}
	s.answer = func(texts []any, answer map[string]any) error {
		if s.calls == 3 {
			answer["dimension"] = int64(4)
		}
		return nil
	}
	h = hostedDocuments(t, s, "a", "b", "c", "d")
	_, err := h.Run(worker, sdktest.TaskOf("embedding", map[string]any{"batch_size": 2}))
	if !errors.Is(err, abi.Failed) || !strings.Contains(abi.MessageOf(err), "with 4 dimensions, those before were of big-v1 with 3") {
		t.Errorf("a dimension that changed: %v", err)
	}
	if rows := h.Rows("primary", "documents"); rows[1][2] == nil || rows[2][2] != nil {
		t.Errorf("rows: %v", rows)
	}
}

func TestEmbedTexts(t *testing.T) {
	t.Parallel()
	h, _ := documents(t)
	m := adapterOf(t, 3)
	h.Table("primary", adapters, adapterColumns, "id").Insert("x", embed.Model, int64(embed.Dim), int64(2), m.AppendA(nil), m.AppendB(nil))
	call := func(payload map[string]any) (map[string]any, error) {
		res, err := h.Run(worker, sdktest.TaskOf(commandTexts, payload))
		got, _ := res.Value.(map[string]any)
		return got, err
	}
	got, err := call(map[string]any{"texts": []any{"a dog", "", "a cat"}})
	if err != nil {
		t.Fatal(err)
	}
	v := got["vectors"].([]any)
	if got["model"] != embed.Model || got["dimension"] != int64(embed.Dim) || len(v) != 3 || v[1] != nil || !bytes.Equal(v[2].([]byte), embed.Append(nil, "a cat")) {
		t.Errorf("got %v", got)
	}
	if got, err = call(map[string]any{"texts": []any{"a dog"}, "model": "static+lora:x"}); err != nil || bytes.Equal(got["vectors"].([]any)[0].([]byte), v[0].([]byte)) {
		t.Errorf("with an adapter: %v, %v", got, err)
	}
	many := make([]any, maxTexts+1)
	for i := range many {
		many[i] = "x"
	}
	for want, payload := range map[string]map[string]any{
		"a list of 1 to 1000":         {"texts": many},
		`field "texts" must be`:       nil,
		"something else than text at": {"texts": []any{"a", 1}},
		`field "model" is "big"`:      {"texts": []any{"a"}, "model": "big"},
		`has no adapter "y"`:          {"texts": []any{"a"}, "model": "static+lora:y"},
		`unknown field "text"`:        {"text": "a"},
	} {
		if _, err := call(payload); !errors.Is(err, abi.InvalidArgument) || !strings.Contains(abi.MessageOf(err), want) {
			t.Errorf("%v: got %v, want %q", payload, err, want)
		}
	}
	h.Config(map[string]any{"embedding.model": "big"})
	h.Command(commandEmbed, (&server{}).embed)
	if got, err := call(map[string]any{"texts": []any{"abc"}, "model": "big"}); err != nil || got["model"] != "big-v1" {
		t.Errorf("the configured model: %v, %v", got, err)
	}
}

// Whatever a server answers, there is a vector of the right length for each text,
// or an error, or nothing.
func FuzzAnswer(f *testing.F) {
	for _, answer := range []any{
		map[string]any{"model": "m", "dimension": int64(1), "vectors": []any{[]byte{0, 0, 0, 0}, nil}, "usage": map[string]any{"n": int64(1)}},
		map[string]any{"model": "m", "dimension": int64(2), "vectors": []any{"x", []byte{1}}},
		"hello", nil, []any{map[string]any{}},
	} {
		var w wire.Writer
		if err := w.Value(answer); err != nil {
			f.Fatal(err)
		}
		f.Add(w.B)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := wire.NewReader(b)
		answer, err := r.Value()
		if err != nil {
			return
		}
		m := &hosted{}
		for range 2 { // the second time it must be of the same model
			list, err := m.read(answer, 2)
			if err != nil {
				return
			}
			if len(list) != 2 || m.name() == "" || m.dimension() < 1 {
				t.Fatalf("%d vectors of %q with %d dimensions", len(list), m.name(), m.dimension())
			}
			for _, v := range list {
				if v.bytes != nil && (v.err != nil || !embed.Decode(make([]float32, m.dimension()), v.bytes)) {
					t.Errorf("a vector of %d bytes, %v", len(v.bytes), v.err)
				}
			}
		}
	})
}
