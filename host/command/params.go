package command

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/wasmhost/wasmhost/abi"
)

// fields reads a params object field by field. The first thing that is wrong
// is kept, and end returns it.
type fields struct {
	left  map[string]any // not yet read
	where string         // in front of field names: "events[3]."
	err   error
}

func fieldsOf(params map[string]any) *fields { return &fields{left: maps.Clone(params)} }

func (f *fields) fail(name, format string, args ...any) {
	if f.err == nil {
		args = append([]any{f.where + name}, args...)
		f.err = abi.Errorf(abi.InvalidArgument, "%s: "+format, args...)
	}
}

// take returns a field; a nil counts as not given.
func (f *fields) take(name string) (any, bool) {
	v, ok := f.left[name]
	delete(f.left, name)
	return v, ok && v != nil
}

// text reads a string of at most so many bytes, "" if it was not given.
func (f *fields) text(name string, most int) string {
	v, ok := f.take(name)
	if !ok {
		return ""
	}
	s, ok := v.(string)
	switch {
	case !ok:
		f.fail(name, "a string is needed, not %s", kindOf(v))
	case len(s) > most:
		f.fail(name, "%d bytes, at most %d are allowed", len(s), most)
	case !utf8.ValidString(s):
		f.fail(name, "not UTF-8")
	}
	return s
}

// required is text that must be there.
func (f *fields) required(name string, most int) string {
	if v, ok := f.left[name]; !ok || v == nil || v == "" {
		delete(f.left, name)
		f.fail(name, "is required")
		return ""
	}
	return f.text(name, most)
}

// integer reads a number from low to high, fallback if it was not given.
func (f *fields) integer(name string, low, high, fallback int64) int64 {
	v, ok := f.take(name)
	if !ok {
		return fallback
	}
	n, ok := v.(int64)
	switch {
	case !ok:
		f.fail(name, "an integer is needed, not %s", kindOf(v))
	case n < low || n > high:
		f.fail(name, "%d is not from %d to %d", n, low, high)
	}
	return n
}

// object reads a map, nil if it was not given.
func (f *fields) object(name string) map[string]any {
	v, ok := f.take(name)
	if !ok {
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		f.fail(name, "a map is needed, not %s", kindOf(v))
	}
	return m
}

// json reads any value as JSON of at most so many bytes, nil if it was not
// given. Bytes become base64 text.
func (f *fields) json(name string, most int) json.RawMessage {
	v, ok := f.take(name)
	if !ok {
		return nil
	}
	return f.encode(name, v, most)
}

func (f *fields) encode(name string, v any, most int) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		f.fail(name, "cannot be written as JSON: %v", err) // NaN and the infinities
		return nil
	}
	out := bytes.TrimRight(b.Bytes(), "\n")
	if len(out) > most {
		f.fail(name, "%d bytes as JSON, at most %d are allowed", len(out), most)
	}
	return out
}

// end returns what was wrong. A field that nobody asked for is: the caller must
// have meant something by it.
func (f *fields) end() error {
	if f.err == nil && len(f.left) > 0 {
		f.fail(clip(slices.Min(slices.Collect(maps.Keys(f.left)))), "is not a known field")
	}
	return f.err
}

func kindOf(v any) string {
	switch v.(type) {
	case bool:
		return "a bool"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case string:
		return "a string"
	case []byte:
		return "bytes"
	case []any:
		return "an array"
	case map[string]any:
		return "a map"
	}
	return "nil"
}

// clip keeps a caller's text from flooding an error message.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
