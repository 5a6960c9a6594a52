package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/wasmhost/wasmhost/abi"
)

// Fields reads a params object field by field. The first thing that is wrong
// is kept, and End returns it.
type Fields struct {
	left  map[string]any // not yet read
	where string         // in front of field names: "events[3]."
	err   error
}

// FieldsOf reads params, which stay as they are.
func FieldsOf(params map[string]any) *Fields { return FieldsAt("", params) }

// FieldsAt is FieldsOf for an object inside of another: where, such as
// "events[3].", stands in front of its fields' names in errors.
func FieldsAt(where string, params map[string]any) *Fields {
	return &Fields{left: maps.Clone(params), where: where}
}

// Fail says what is wrong with a field, unless something else was wrong before.
func (f *Fields) Fail(name, format string, args ...any) {
	if f.err == nil {
		args = append([]any{f.where + name}, args...)
		f.err = abi.Errorf(abi.InvalidArgument, "%s: "+format, args...)
	}
}

// Take returns a field; a nil counts as not given.
func (f *Fields) Take(name string) (any, bool) {
	v, ok := f.left[name]
	delete(f.left, name)
	return v, ok && v != nil
}

// Text reads a string of at most so many bytes, "" if it was not given.
func (f *Fields) Text(name string, most int) string {
	v, ok := f.Take(name)
	if !ok {
		return ""
	}
	s, ok := v.(string)
	switch {
	case !ok:
		f.Fail(name, "a string is needed, not %s", kindOf(v))
	case len(s) > most:
		f.Fail(name, "%d bytes, at most %d are allowed", len(s), most)
	case !utf8.ValidString(s):
		f.Fail(name, "not UTF-8")
	}
	return s
}

// Required is Text that must be there.
func (f *Fields) Required(name string, most int) string {
	if v, ok := f.left[name]; !ok || v == nil || v == "" {
		delete(f.left, name)
		f.Fail(name, "is required")
		return ""
	}
	return f.Text(name, most)
}

// Integer reads a number from low to high, fallback if it was not given.
func (f *Fields) Integer(name string, low, high, fallback int64) int64 {
	v, ok := f.Take(name)
	if !ok {
		return fallback
	}
	n, ok := v.(int64)
	switch {
	case !ok:
		f.Fail(name, "an integer is needed, not %s", kindOf(v))
	case n < low || n > high:
		f.Fail(name, "%d is not from %d to %d", n, low, high)
	}
	return n
}

// Float reads a number from low to high, nil if it was not given.
func (f *Fields) Float(name string, low, high float64) *float64 {
	v, ok := f.Take(name)
	if !ok {
		return nil
	}
	n, ok := v.(float64)
	if i, whole := v.(int64); whole {
		n, ok = float64(i), true
	}
	switch {
	case !ok:
		f.Fail(name, "a number is needed, not %s", kindOf(v))
	case !(n >= low && n <= high): // NaN is in no range
		f.Fail(name, "%v is not from %v to %v", n, low, high)
	}
	return &n
}

// List reads an array of at most so many values, nil if it was not given.
func (f *Fields) List(name string, most int) []any {
	v, ok := f.Take(name)
	if !ok {
		return nil
	}
	list, ok := v.([]any)
	switch {
	case !ok:
		f.Fail(name, "an array is needed, not %s", kindOf(v))
	case len(list) > most:
		f.tooMuch(name, "%d values, at most %d are allowed", len(list), most)
		return nil
	}
	return list
}

// Texts reads an array of strings: at most so many, of at most so many bytes
// each.
func (f *Fields) Texts(name string, most, bytes int) []string {
	list := f.List(name, most)
	texts := make([]string, len(list))
	for i, v := range list {
		s, ok := v.(string)
		switch at := fmt.Sprintf("%s[%d]", name, i); {
		case !ok:
			f.Fail(at, "a string is needed, not %s", kindOf(v))
		case len(s) > bytes:
			f.tooMuch(at, "%d bytes, at most %d are allowed", len(s), bytes)
		case !utf8.ValidString(s):
			f.Fail(at, "not UTF-8")
		}
		texts[i] = s
	}
	return texts
}

// tooMuch is Fail with the code LimitExceeded.
func (f *Fields) tooMuch(name, format string, args ...any) {
	if f.err == nil {
		f.Fail(name, format, args...)
		f.err = abi.Errorf(abi.LimitExceeded, "%s", abi.MessageOf(f.err))
	}
}

// Object reads a map, nil if it was not given.
func (f *Fields) Object(name string) map[string]any {
	v, ok := f.Take(name)
	if !ok {
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		f.Fail(name, "a map is needed, not %s", kindOf(v))
	}
	return m
}

// JSON reads any value as JSON of at most so many bytes, nil if it was not
// given. Bytes become base64 text.
func (f *Fields) JSON(name string, most int) json.RawMessage {
	v, ok := f.Take(name)
	if !ok {
		return nil
	}
	return f.encode(name, v, most)
}

func (f *Fields) encode(name string, v any, most int) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		f.Fail(name, "cannot be written as JSON: %v", err) // NaN and the infinities
		return nil
	}
	out := bytes.TrimRight(b.Bytes(), "\n")
	if len(out) > most {
		f.Fail(name, "%d bytes as JSON, at most %d are allowed", len(out), most)
	}
	return out
}

// End returns what was wrong. A field that nobody asked for is: the caller must
// have meant something by it.
func (f *Fields) End() error {
	if f.err == nil && len(f.left) > 0 {
		f.Fail(clip(slices.Min(slices.Collect(maps.Keys(f.left)))), "is not a known field")
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
