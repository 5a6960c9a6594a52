package ai

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk/embed"
)

func TestEmbedStatic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "http://192.0.2.1", nil)
	got := w.must(w.call(t.Context(), worker("1", 1), abi.CommandEmbed, object{"texts": []any{"a dog", "", "a cat"}}))
	if got["model"] != embed.Model || got["dimension"] != int64(embed.Dim) {
		t.Errorf("got %v, %v", got["model"], got["dimension"])
	}
	if diff := cmp.Diff(object{"input_tokens": nil, "cost_usd": 0.0}, got["usage"]); diff != "" {
		t.Error(diff)
	}
	v := got["vectors"].([]any)
	if len(v) != 3 || !bytes.Equal(v[0].([]byte), embed.Append(nil, "a dog")) || v[1] != nil || !bytes.Equal(v[2].([]byte), embed.Append(nil, "a cat")) {
		t.Errorf("vectors %d", len(v))
	}
	// As many as are allowed go into one result.
	texts := make([]any, maxTexts)
	for i := range texts {
		texts[i] = "a dog"
	}
	w.must(w.call(t.Context(), worker("1", 2), abi.CommandEmbed, object{"texts": texts}))
	if len(w.told) != 2 || w.told[1].Model != Static {
		t.Errorf("told %+v", w.told)
	}
}

func TestExtractive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "http://192.0.2.1", nil)
	ask := func(question string, more object) object {
		p := object{"messages": []any{
			object{"role": "system", "content": "The whale eats nothing at all, says the system."},
			object{"role": "assistant", "content": "The whale feeds on krill and small fish. The price of bread rose in spring."},
			object{"role": "user", "content": question},
		}}
		for k, v := range more {
			p[k] = v
		}
		return w.must(w.call(t.Context(), worker("1", 1), abi.CommandGenerate, p))
	}
	got := ask("What does the whale eat?", object{"context": []any{"Ships carry iron.\nWhales swim in the sea!"}})
	if got["text"] != "Whales swim in the sea! The whale feeds on krill and small fish." || got["provider"] != Extractive ||
		got["model"] != embed.Model || got["finish_reason"] != "stop" {
		t.Errorf("got %v", got)
	}
	if diff := cmp.Diff(object{"input_tokens": nil, "output_tokens": nil, "total_tokens": nil, "cost_usd": 0.0}, got["usage"]); diff != "" {
		t.Error(diff)
	}
	if got := ask("Quantum chromodynamics lattice", nil); got["text"] != "" || got["finish_reason"] != noMatch {
		t.Errorf("of nothing that fits: %v", got)
	}
	if got := ask("What does the whale eat?", object{"max_tokens": int64(2)}); got["text"] != "" || got["finish_reason"] != "length" {
		t.Errorf("without room: %v", got)
	}
}

func TestBadParams(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "http://192.0.2.1", nil)
	hi := []any{object{"role": "user", "content": "hi"}}
	many := make([]any, 1001)
	for i := range many {
		many[i] = "x"
	}
	long := strings.Repeat("x", maxTextBytes+1)
	for _, test := range []struct {
		command string
		params  object
		code    abi.Code
		want    string
	}{
		{abi.CommandEmbed, object{}, abi.InvalidArgument, "texts: is required"},
		{abi.CommandEmbed, object{"texts": "x"}, abi.InvalidArgument, "texts: an array is needed, not a string"},
		{abi.CommandEmbed, object{"texts": []any{"a", int64(1)}}, abi.InvalidArgument, "texts[1]: a string is needed, not an integer"},
		{abi.CommandEmbed, object{"texts": []any{"\xff"}}, abi.InvalidArgument, "texts[0]: not UTF-8"},
		{abi.CommandEmbed, object{"texts": many}, abi.LimitExceeded, "texts: 1001 values, at most 1000"},
		{abi.CommandEmbed, object{"texts": []any{long}}, abi.LimitExceeded, "texts[0]: 262145 bytes, at most 262144"},
		{abi.CommandEmbed, object{"texts": []any{}, "url": "http://x"}, abi.InvalidArgument, "url: is not a known field"},
		{abi.CommandEmbed, object{"texts": []any{}, "model": "gpt"}, abi.InvalidArgument, `none of the name "gpt"`},
		{abi.CommandEmbed, object{"texts": []any{}, "model": "extractive"}, abi.InvalidArgument, "has no vectors"},
		{abi.CommandGenerate, object{}, abi.InvalidArgument, "messages: is required"},
		{abi.CommandGenerate, object{"messages": []any{}}, abi.InvalidArgument, "one at least"},
		{abi.CommandGenerate, object{"messages": []any{"hi"}}, abi.InvalidArgument, "messages[0]: a map is needed"},
		{abi.CommandGenerate, object{"messages": []any{object{"content": "hi"}}}, abi.InvalidArgument, "messages[0].role: is required"},
		{abi.CommandGenerate, object{"messages": []any{object{"role": "tool", "content": "hi"}}}, abi.InvalidArgument, "messages[0].role: system, user"},
		{abi.CommandGenerate, object{"messages": []any{object{"role": "user", "content": "hi", "name": "x"}}}, abi.InvalidArgument, "messages[0].name: is not a known"},
		{abi.CommandGenerate, object{"messages": hi, "temperature": 3.0}, abi.InvalidArgument, "temperature: 3 is not from 0 to 2"},
		{abi.CommandGenerate, object{"messages": hi, "max_tokens": int64(0)}, abi.InvalidArgument, "max_tokens: 0 is not from 1"},
		{abi.CommandGenerate, object{"messages": hi, "seed": 1.5}, abi.InvalidArgument, "seed: an integer"},
		{abi.CommandGenerate, object{"messages": hi, "context": many}, abi.LimitExceeded, "context: 1001 values"},
		{abi.CommandGenerate, object{"messages": hi, "model": "static"}, abi.InvalidArgument, "writes no answers"},
		{abi.CommandGenerate, object{"messages": hi, "nope": nil}, abi.InvalidArgument, "nope: is not a known field"},
	} {
		_, err := w.call(t.Context(), worker("1", 1), test.command, test.params)
		if abi.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: got %v, want %s %q", test.params, err, test.code, test.want)
		}
	}
	c := worker("1", 1)
	c.Grants.Commands = []string{"ai/embed"}
	_, err := w.call(t.Context(), c, abi.CommandGenerate, object{"messages": hi})
	wantCode(t, err, abi.NotGranted)
}
