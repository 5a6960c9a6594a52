package wire_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew from the vectors listed in the test")

const vectorsFile = "../testdata/vectors.json"

// vectorsNote heads the file: a reader in another language has nothing else.
const vectorsNote = "Golden bytes of the wasmhost contract v1. " +
	"use: both = must be written and read exactly so; read = must be read, never written; refuse = must be refused. " +
	"hex: the bytes; tail, when there, repeats its hex so many times behind them. " +
	"value: JSON, where what JSON cannot hold is an object with one key: " +
	"$int (decimal text, beyond 53 bits), $float (16 hex digits, the IEEE 754 bits), $bin (hex), $str (hex, not UTF-8), " +
	"$repeat ([kind, hex, times]); any other object is a map. " +
	"kind batch: {columns, rows}; result: {code, name, n} packed, hex big-endian; the others: the msgpack value as it is."

// vector is one entry of the file.
type vector struct {
	Name  string          `json:"name"`
	Kind  string          `json:"kind"`
	Use   string          `json:"use"`
	Why   string          `json:"why,omitempty"` // for refuse
	Value json.RawMessage `json:"value,omitempty"`
	Hex   string          `json:"hex"`
	Tail  *tail           `json:"tail,omitempty"`
}

type tail struct {
	Hex   string `json:"hex"`
	Times int    `json:"times"`
}

func (v vector) bytes(t *testing.T) []byte {
	t.Helper()
	b := unhex(t, v.Hex)
	if v.Tail != nil {
		b = append(b, bytes.Repeat(unhex(t, v.Tail.Hex), v.Tail.Times)...)
	}
	return b
}

// read decodes bytes of a kind into what goldens lists.
func (g golden) read(b []byte) (any, error) {
	switch g.kind {
	case "value":
		r := wire.NewReader(b)
		v, err := r.Value()
		return v, errors.Join(err, endAfter(&r, err))
	case "batch":
		return readBatch(b)
	case "result":
		return abi.Result(binary.BigEndian.Uint64(b)), nil
	}
	return shapes[g.kind].read(b)
}

func endAfter(r *wire.Reader, err error) error {
	if err != nil {
		return nil
	}
	return r.End()
}

// write encodes what goldens lists.
func (g golden) write(t *testing.T) []byte {
	switch v := g.value.(type) {
	case goldenBatch:
		return encodeBatch(v)
	case abi.Result:
		return binary.BigEndian.AppendUint64(nil, uint64(v))
	}
	if g.kind != "value" {
		return encoded(t, g.kind, g.value)
	}
	var w wire.Writer
	if err := w.Value(g.value); err != nil {
		t.Fatalf("%s: %v", g.name, err)
	}
	return w.B
}

func (g golden) vector(t *testing.T) vector {
	v := vector{Name: g.name, Kind: g.kind, Use: "both", Hex: g.hex}
	switch {
	case g.why != nil:
		v.Use, v.Why = "refuse", g.why.Error()
		return v
	case g.hex != "":
		v.Use = "read"
	default:
		v.Hex = hex.EncodeToString(g.write(t))
		if n := len(v.Hex); n > 2000 {
			times := lastRun(v.Hex)
			v.Tail = &tail{Hex: v.Hex[n-2:], Times: times}
			v.Hex = v.Hex[:n-2*times]
		}
	}
	rendering, err := json.Marshal(g.render(t, v))
	if err != nil {
		t.Fatalf("%s: %v", g.name, err)
	}
	v.Value = rendering
	return v
}

// lastRun is how often the last byte of a hex text stands at its end.
func lastRun(s string) int {
	n := 1
	for i := len(s) - 4; i >= 0 && s[i:i+2] == s[len(s)-2:]; i -= 2 {
		n++
	}
	return n
}

// render is the JSON of a vector's value.
func (g golden) render(t *testing.T, v vector) any {
	switch value := g.value.(type) {
	case abi.Result:
		return map[string]any{"code": uint32(value.Code()), "name": value.Code().String(), "n": value.N()}
	case goldenBatch:
		rows := []any{}
		for _, row := range value.Rows {
			rows = append(rows, render(row))
		}
		return map[string]any{"columns": value.Columns, "rows": rows}
	}
	// The peer reads the bytes: a mistake of this package would show.
	msg, used, err := peerDecode(v.bytes(t))
	if err != nil || used != len(v.bytes(t)) {
		t.Fatalf("%s: the peer read %d of %d bytes: %v", g.name, used, len(v.bytes(t)), err)
	}
	return render(msg)
}

func render(v any) any {
	if n, ok := integer(v); ok {
		if n > 1<<53 || n < -1<<53 {
			return map[string]any{"$int": strconv.FormatInt(n, 10)}
		}
		return n
	}
	switch v := v.(type) {
	case float32:
		return render(float64(v))
	case float64:
		return map[string]any{"$float": fmt.Sprintf("%016x", math.Float64bits(v))}
	case string:
		if len(v) > 1000 {
			return map[string]any{"$repeat": []any{"str", hex.EncodeToString([]byte(v[:1])), len(v)}}
		}
		if !utf8.ValidString(v) {
			return map[string]any{"$str": hex.EncodeToString([]byte(v))}
		}
		return v
	case []byte:
		if len(v) > 1000 {
			return map[string]any{"$repeat": []any{"bin", hex.EncodeToString(v[:1]), len(v)}}
		}
		return map[string]any{"$bin": hex.EncodeToString(v)}
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = render(v[i])
		}
		return list
	case map[string]any:
		m := map[string]any{}
		for k := range v {
			m[k] = render(v[k])
		}
		return m
	}
	return v
}

// unrender is the inverse of render, as another language would write it.
func unrender(t *testing.T, v any) any {
	t.Helper()
	switch v := v.(type) {
	case json.Number:
		n, err := v.Int64()
		if err != nil {
			t.Fatal(err)
		}
		return n
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = unrender(t, v[i])
		}
		return list
	case map[string]any:
		if len(v) == 1 {
			for k, inner := range v {
				switch k {
				case "$int":
					n, err := strconv.ParseInt(inner.(string), 10, 64)
					if err != nil {
						t.Fatal(err)
					}
					return n
				case "$float":
					bits, err := strconv.ParseUint(inner.(string), 16, 64)
					if err != nil {
						t.Fatal(err)
					}
					return math.Float64frombits(bits)
				case "$bin":
					return unhex(t, inner.(string))
				case "$str":
					return string(unhex(t, inner.(string)))
				case "$repeat":
					parts := inner.([]any)
					times, err := parts[2].(json.Number).Int64()
					if err != nil {
						t.Fatal(err)
					}
					b := bytes.Repeat(unhex(t, parts[1].(string)), int(times))
					if parts[0] == "str" {
						return string(b)
					}
					return b
				}
			}
		}
		m := map[string]any{}
		for k := range v {
			m[k] = unrender(t, v[k])
		}
		return m
	}
	return v
}

func loadVectors(t *testing.T) []vector {
	t.Helper()
	b, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Note    string
		Vectors []vector
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatalf("%s: %v", vectorsFile, err)
	}
	return file.Vectors
}

// The file is what other languages hold themselves to, so it changes only
// where the contract does: by a new vector.
func TestVectorsAreUpToDate(t *testing.T) {
	var out bytes.Buffer
	fmt.Fprintf(&out, "{\n\"note\": %q,\n\"vectors\": [\n", vectorsNote)
	gs := goldens()
	for i, g := range gs {
		line, err := json.Marshal(g.vector(t))
		if err != nil {
			t.Fatal(err)
		}
		out.Write(line)
		if i < len(gs)-1 {
			out.WriteByte(',')
		}
		out.WriteByte('\n')
	}
	out.WriteString("]\n}\n")
	if *update {
		if err := os.WriteFile(vectorsFile, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, out.Bytes()) {
		gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(out.String(), "\n")
		for i := range min(len(gotLines), len(wantLines)) {
			if gotLines[i] != wantLines[i] {
				t.Errorf("line %d of the file\n%.300s\nis now written\n%.300s", i+1, gotLines[i], wantLines[i])
			}
		}
		t.Fatalf("%s is not what this package writes; a guest of version 1 would notice. "+
			"If only vectors were added: go test ./abi/wire -run Vectors -update", vectorsFile)
	}
}

func TestVectorsAreReadAndRefused(t *testing.T) {
	vectors := loadVectors(t)
	byName := map[string]vector{}
	for _, v := range vectors {
		if _, twice := byName[v.Name]; twice {
			t.Errorf("two vectors are named %s", v.Name)
		}
		byName[v.Name] = v
	}
	for _, g := range goldens() {
		v, ok := byName[g.name]
		if !ok {
			t.Errorf("%s is not in the file", g.name)
			continue
		}
		got, err := g.read(v.bytes(t))
		if g.why != nil {
			if !errors.Is(err, g.why) {
				t.Errorf("%s: error %v, want %v", g.name, err, g.why)
			}
			continue
		}
		if err != nil || !equalGolden(got, g.value) {
			t.Errorf("%s: read as %.80v, error %v; want %.80v", g.name, got, err, g.value)
		}
	}
}

func equalGolden(a, b any) bool {
	if reflect.DeepEqual(a, b) {
		return true
	}
	return same(a, b) // NaN
}

// A reader of the file needs nothing but the JSON: what it says is what the
// bytes are.
func TestVectorsJSONIsComplete(t *testing.T) {
	for _, v := range loadVectors(t) {
		if v.Use != "both" || v.Kind == "result" {
			continue
		}
		dec := json.NewDecoder(bytes.NewReader(v.Value))
		dec.UseNumber()
		var rendering any
		if err := dec.Decode(&rendering); err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		value := unrender(t, rendering)
		var w wire.Writer
		var parts []any
		if v.Kind == "batch" {
			batch := value.(map[string]any)
			parts = append([]any{batch["columns"]}, batch["rows"].([]any)...)
		} else {
			parts = []any{value}
		}
		for _, part := range parts {
			if err := w.Value(part); err != nil {
				t.Fatalf("%s: %v", v.Name, err)
			}
		}
		got, want := w.B, v.bytes(t)
		// A shape's fields stand in the order of the contract's table, a plain
		// map's in that of its keys: as many bytes, and equal when read.
		if v.Kind != "value" && v.Kind != "batch" {
			a, _, errA := peerDecode(got)
			b, _, errB := peerDecode(want)
			if errA != nil || errB != nil || !same(a, b) || len(got) != len(want) {
				t.Errorf("%s: the JSON gives %x, the bytes are %x", v.Name, got, want)
			}
			continue
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: the JSON gives %.40x, the bytes are %.40x", v.Name, got, want)
		}
	}
	var kinds []string
	for _, v := range loadVectors(t) {
		if !slices.Contains(kinds, v.Kind) {
			kinds = append(kinds, v.Kind)
		}
	}
	for kind := range shapes {
		if !slices.Contains(kinds, kind) {
			t.Errorf("no vector for %s", kind)
		}
	}
}
