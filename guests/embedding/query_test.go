package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk/embed"
	"github.com/wasmhost/wasmhost/sdk/sdktest"
)

func query(h *sdktest.Host, payload map[string]any) (map[string]any, error) {
	res, err := h.Run(worker, sdktest.TaskOf(commandQuery, payload))
	got, _ := res.Value.(map[string]any)
	return got, err
}

func TestQuery(t *testing.T) {
	t.Parallel()
	h, table := documents(t, "the stock market fell", "a puppy barked loudly", "cars and trucks", nil, "bread and butter", "the hound howled")
	run(t, h, nil)
	table.Insert("other", "a dog", embed.Append(nil, "a dog"), "glove", int64(embed.Dim), "", "of another model")
	table.Insert("short", "a dog", []byte{1, 2, 3}, embed.Model, int64(embed.Dim), "", "no vector")
	table.Insert("nan", "a dog", []byte(strings.Repeat("\xff", 4*embed.Dim)), embed.Model, int64(embed.Dim), "", "no numbers")
	table.Insert("zero", "a dog", make([]byte, 4*embed.Dim), embed.Model, int64(embed.Dim), "", "no length")

	got, err := query(h, map[string]any{"text": "dog", "k": 2, "columns": []any{"title", "content"}})
	if err != nil {
		t.Fatal(err)
	}
	if got["model"] != embed.Model || got["compared"] != int64(6) || got["skipped"] != int64(3) {
		t.Errorf("got %v", got)
	}
	hits := got["hits"].([]any)
	if len(hits) != 2 {
		t.Fatalf("%d hits: %v", len(hits), hits)
	}
	for i, want := range []map[string]any{{"title": "title 1"}, {"title": "title 5"}} {
		h := hits[i].(map[string]any)
		if c := h["columns"].(map[string]any); c["title"] != want["title"] || c["content"] == nil || len(c) != 2 {
			t.Errorf("hit %d: %v, want %v", i, h, want)
		}
		if s := h["score"].(float64); s < 0.2 || s > 1 {
			t.Errorf("hit %d has the score %v", i, s)
		}
	}
	// Without columns, and with a k above what there is.
	got, err = query(h, map[string]any{"text": "dog", "k": 100})
	if err != nil || len(got["hits"].([]any)) != 6 {
		t.Fatalf("got %v, %v", got, err)
	}
	last := 2.0
	for _, v := range got["hits"].([]any) {
		s := v.(map[string]any)["score"].(float64)
		if s > last {
			t.Errorf("the hits are not in order: %v", got)
		}
		last = s
	}
}

func TestQueryOfNothing(t *testing.T) {
	t.Parallel()
	h, _ := documents(t)
	got, err := query(h, map[string]any{"text": "dog", "columns": []any{"title"}})
	if err != nil || len(got["hits"].([]any)) != 0 {
		t.Errorf("of an empty table: %v, %v", got, err)
	}
}

func TestBadQueries(t *testing.T) {
	t.Parallel()
	many := make([]any, maxColumns+1)
	for i := range many {
		many[i] = "title"
	}
	for _, test := range []struct {
		payload map[string]any
		code    abi.Code
		want    string
	}{
		{nil, abi.InvalidArgument, `field "text" is missing`},
		{map[string]any{"text": "\x00 "}, abi.InvalidArgument, "no word that the model knows"},
		{map[string]any{"text": "dog", "k": 0}, abi.InvalidArgument, "from 1 to 100"},
		{map[string]any{"text": "dog", "k": 101}, abi.InvalidArgument, "from 1 to 100"},
		{map[string]any{"text": "dog", "columns": "title"}, abi.InvalidArgument, "no list"},
		{map[string]any{"text": "dog", "columns": many}, abi.InvalidArgument, "no list of at most"},
		{map[string]any{"text": "dog", "columns": []any{1}}, abi.InvalidArgument, "something else than names"},
		{map[string]any{"text": "dog", "columns": []any{"nope"}}, abi.UnknownColumn, "nope"},
		{map[string]any{"text": "dog", "collection": "nope"}, abi.UnknownCollection, "nope"},
	} {
		h, _ := documents(t, "a dog")
		run(t, h, nil)
		_, err := query(h, test.payload)
		if !errors.Is(err, test.code) || !strings.Contains(abi.MessageOf(err), test.want) {
			t.Errorf("%v: got %v, want %s with %q", test.payload, err, test.code, test.want)
		}
	}
}
