package command

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

func TestHeld(t *testing.T) {
	t.Parallel()
	h := NewHeld("k")
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000000, time.UTC)
	for _, e := range []Event{
		{Name: "a", Worker: "w", Task: "7", Time: at, Data: json.RawMessage(`{"text":"<&>\u2028"}`)},
		{Name: "b", Worker: "w", Task: "7", Time: at, Key: "own"},
		{Name: "c", Worker: "w", Task: "7", Time: at, Data: json.RawMessage(`null`)},
	} {
		if err := h.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Add(Event{Name: "d"}, Event{Name: "NO"}); abi.CodeOf(err) != abi.InvalidArgument {
		t.Errorf("got %v", err)
	}
	var keys []string
	for _, e := range h.Events() {
		keys = append(keys, e.Key)
	}
	if want := []string{"k:0", "own", "k:2"}; !reflect.DeepEqual(keys, want) {
		t.Errorf("keys %q, want %q", keys, want)
	}
	b, err := EncodeEvents(h.Events())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := DecodeEvents(b); err != nil || !reflect.DeepEqual(got, h.Events()) {
		t.Errorf("got %+v, %v, want %+v", got, err, h.Events())
	}
}

// TestHeldIsBounded in what it takes and in what it reads back.
func TestHeldIsBounded(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, MaxEventData - 2} {
		h := NewHeld("k")
		e := Event{Name: "a", Data: json.RawMessage(`"` + strings.Repeat("x", size) + `"`)}
		var err error
		n := 0
		for ; err == nil; n++ {
			err = h.Add(e)
		}
		if most := maxHeldBytes / (size + heldOverhead); abi.CodeOf(err) != abi.LimitExceeded || n > most+1 || n < most/2 {
			t.Errorf("events of %d bytes: %d, then %v", size, n, err)
		}
		b, err := EncodeEvents(h.Events())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DecodeEvents(b); err != nil || len(got) != n-1 {
			t.Errorf("read back: %d of %d, %v", len(got), n-1, err)
		}
	}
	one := `{"name":"a","key":"k"},`
	many := "[" + strings.TrimSuffix(strings.Repeat(one, maxHeldBytes/heldOverhead+1), ",") + "]"
	if _, err := DecodeEvents([]byte(many)); abi.CodeOf(err) != abi.Corrupt {
		t.Errorf("got %v", err)
	}
}

func FuzzDecodeEvents(f *testing.F) {
	for _, s := range []string{``, `[]`, `[{"name":"a","key":"k"}]`, `[{"time":"2026-01-02T03:04:05Z","name":"a:b","worker":"w","task":"7","data":{"n":1},"key":"k"}]`, `{}`, `[1]`, `[{"name":"a","key":"k"}`, `[] []`, `[{"name":"A","key":"k"}]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		events, err := DecodeEvents(b)
		if err != nil {
			if abi.CodeOf(err) != abi.Corrupt || events != nil {
				t.Errorf("%v, %+v", err, events)
			}
			return
		}
		for _, e := range events {
			if e.Key == "" || e.validate() != nil {
				t.Errorf("%+v is no event", e)
			}
		}
		again, err := EncodeEvents(events)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DecodeEvents(again); err != nil || len(got) != len(events) {
			t.Errorf("%+v, %v, want %+v", got, err, events)
		}
	})
}
