package host

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

func TestPayloadKeepsNumbersExact(t *testing.T) {
	t.Parallel()
	b, err := payloadToWire(json.RawMessage(`{"a":[9007199254740993,-1,1.5,1e3,18446744073709551615],"b":{"c":null,"d":"é"}}`))
	if err != nil {
		t.Fatal(err)
	}
	r := wire.NewReader(b)
	got, err := r.Value()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"a": []any{int64(9007199254740993), int64(-1), 1.5, 1000.0, 18446744073709551615.0},
		"b": map[string]any{"c": nil, "d": "é"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPayloadThatCannotBeSent(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{`{"a":`, `{"a":1e999}`, strings.Repeat("[", 40) + strings.Repeat("]", 40)} {
		if _, err := payloadToWire(json.RawMessage(payload)); !errors.Is(err, abi.InvalidArgument) {
			t.Errorf("%s: %v", payload, err)
		}
	}
}

func TestResultBecomesJSON(t *testing.T) {
	t.Parallel()
	var w wire.Writer
	err := w.Value(map[string]any{"n": int64(math.MaxInt64), "f": []any{math.NaN(), math.Inf(1), 0.5}, "b": []byte{1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := resultToJSON(w.B)
	if want := `{"b":"AQI=","f":[null,null,0.5],"n":9223372036854775807}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	if got, err := resultToJSON(nil); string(got) != "null" || err != nil {
		t.Errorf("nothing returned: %s, %v", got, err)
	}
	for _, bad := range []string{"\xc1", "\x01\x02", "\x92\x01"} {
		if _, err := resultToJSON([]byte(bad)); !errors.Is(err, abi.Permanent) {
			t.Errorf("%x: %v", bad, err)
		}
	}
}
