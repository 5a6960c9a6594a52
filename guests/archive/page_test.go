package main

import (
	"errors"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/sdk"
)

func batch(t *testing.T, b *sdk.Batch) []byte {
	t.Helper()
	raw, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestPageOfSeveralBatches(t *testing.T) {
	t.Parallel()
	var p page
	for _, ids := range []string{"ab", "c"} {
		b := sdk.NewBatch("body", "id")
		for _, c := range ids {
			b.Row().Null().Text(string(c))
		}
		if err := p.add(batch(t, b)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.index("id"); err != nil {
		t.Fatal(err)
	}
	want := sdk.NewBatch("body", "id")
	want.Row().Null().Text("a").Row().Null().Text("b").Row().Null().Text("c")
	if got, want := string(p.b), string(batch(t, want)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	keys := sdk.NewBatch("id")
	keys.Row().Text("a").Row().Text("b").Row().Text("c")
	if got, want := string(p.keys.B), string(batch(t, keys)); got != want {
		t.Errorf("keys: got %q, want %q", got, want)
	}
	if p.rows != 3 || keyText(p.keys.B[len(p.keys.B)-2:]) != `"c"` {
		t.Errorf("got %d rows", p.rows)
	}

	if err := p.add(batch(t, sdk.NewBatch("id", "body").Row().Text("d").Null())); !errors.Is(err, abi.Internal) {
		t.Errorf("a batch with other columns: got %v, want internal", err)
	}
}

func TestPageRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		raw  []byte
		code abi.Code
	}{
		{"no batch", []byte{0xc3}, abi.Internal},
		{"names cut off", []byte{0x92, 0xa1, 'i'}, abi.Internal},
		{"no key column", []byte{0x91, 0xa1, 'x', 0x91, 0x01}, abi.UnknownColumn},
		{"a row cut off", []byte{0x91, 0xa2, 'i', 'd', 0x91}, abi.InvalidArgument},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var p page
			err := p.add(test.raw)
			if err == nil {
				err = p.index("id")
			}
			if !errors.Is(err, test.code) {
				t.Errorf("got %v, want %s", err, test.code)
			}
		})
	}
}

func TestPlanSurvivesItsSession(t *testing.T) {
	t.Parallel()
	want := plan{orderBy: "timestamp", batchSize: 1000, total: 1 << 40, startedMS: 1766000000000,
		boundary: []any{float64(3), []byte{0, 255}}}
	data, err := want.encode()
	if err != nil {
		t.Fatal(err)
	}
	data["total"] = float64(1 << 40) // as JSON gives it back
	got, err := decodePlan(data)
	if err != nil {
		t.Fatal(err)
	}
	var a, b wire.Writer
	if err := errors.Join(a.Value(got.boundary), b.Value(want.boundary)); err != nil || string(a.B) != string(b.B) {
		t.Errorf("boundary: got %v (%v), want %v", got.boundary, err, want.boundary)
	}
	if got.orderBy != want.orderBy || got.batchSize != want.batchSize || got.total != want.total || got.startedMS != want.startedMS {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, name := range []string{"order_by", "batch_size", "total", "started_ms"} {
		if _, err := decodePlan(without(data, name)); err == nil {
			t.Errorf("a plan without %s was taken", name)
		}
	}
	for _, boundary := range []string{"xyz", "", "c0", "91c0"} {
		bad := without(data, "boundary")
		bad["boundary"] = boundary
		if _, err := decodePlan(bad); err == nil {
			t.Errorf("a plan with the boundary %q was taken", boundary)
		}
	}
}

func without(m map[string]any, name string) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		if k != name {
			out[k] = v
		}
	}
	return out
}
