package orchestrator

import (
	"encoding/base64"
	"maps"
	"math"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// encoder writes JSON in ASCII, so that no piece of it can end inside a
// character.
type encoder struct {
	b    []byte
	most int // bytes
}

// request is one line, its end included.
func request(name string, params map[string]any, most int) ([]byte, error) {
	e := encoder{b: make([]byte, 0, 256), most: most}
	err := e.raw(`{"command":`)
	if err == nil {
		err = e.text(name)
	}
	if err == nil {
		err = e.raw(`,"params":`)
	}
	if err == nil {
		err = e.value(params, 0)
	}
	if err == nil {
		err = e.raw("}\n")
	}
	return e.b, err
}

// raw appends what is ASCII already.
func (e *encoder) raw(s string) error {
	if len(s) > e.most-len(e.b) {
		return abi.Errorf(abi.LimitExceeded, "the request is larger than %d bytes", e.most)
	}
	e.b = append(e.b, s...)
	return nil
}

func (e *encoder) value(v any, depth int) error {
	if depth > wire.MaxDepth {
		return abi.Errorf(abi.InvalidArgument, "params: nested deeper than %d", wire.MaxDepth)
	}
	switch v := v.(type) {
	case nil:
		return e.raw("null")
	case bool:
		return e.raw(strconv.FormatBool(v))
	case int64:
		return e.raw(strconv.FormatInt(v, 10))
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return abi.Errorf(abi.InvalidArgument, "params: %v cannot be written as JSON", v)
		}
		return e.raw(strconv.FormatFloat(v, 'g', -1, 64))
	case string:
		return e.text(v)
	case []byte:
		if len(v) > e.most-len(e.b) {
			return e.raw(string(v)) // for its error
		}
		return e.text(base64.StdEncoding.EncodeToString(v))
	case []any:
		for i, item := range v {
			if err := e.raw(opening("[", i)); err != nil {
				return err
			}
			if err := e.value(item, depth+1); err != nil {
				return err
			}
		}
		return e.raw(closing("[", "]", len(v)))
	case map[string]any:
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if err := e.raw(opening("{", i)); err != nil {
				return err
			}
			if err := e.text(key); err != nil {
				return err
			}
			if err := e.raw(":"); err != nil {
				return err
			}
			if err := e.value(v[key], depth+1); err != nil {
				return err
			}
		}
		return e.raw(closing("{", "}", len(v)))
	}
	return abi.Errorf(abi.Internal, "params: a value of type %T", v)
}

func opening(bracket string, i int) string {
	if i == 0 {
		return bracket
	}
	return ","
}

func closing(open, closed string, n int) string {
	if n == 0 {
		return open + closed
	}
	return closed
}

// text appends a string. Text that is not UTF-8 is refused: replaced by marks it
// would be another text.
func (e *encoder) text(s string) error {
	if !utf8.ValidString(s) {
		return abi.Errorf(abi.InvalidArgument, "text that is not UTF-8")
	}
	const hex = "0123456789abcdef"
	unit := func(b []byte, u rune) []byte {
		return append(b, '\\', 'u', hex[u>>12&15], hex[u>>8&15], hex[u>>4&15], hex[u&15])
	}
	if len(s)+2 > e.most-len(e.b) {
		return e.raw(s + `""`) // for its error
	}
	e.b = append(e.b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			e.b = append(e.b, '\\', byte(r))
		case r >= ' ' && r < utf8.RuneSelf:
			e.b = append(e.b, byte(r))
		case r < 1<<16:
			e.b = unit(e.b, r)
		default:
			high, low := utf16.EncodeRune(r)
			e.b = unit(unit(e.b, high), low)
		}
	}
	return e.raw(`"`)
}
