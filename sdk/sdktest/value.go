package sdktest

import (
	"bytes"
	"cmp"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/wasmhost/wasmhost/abi/wire"
)

// A value of a table is nil, int64, float64, string or []byte.

// storable converts what a test or a worker gives into a value of a table.
func storable(v any) (any, bool) {
	switch v := v.(type) {
	case nil, int64, string:
		return v, true
	case float64:
		if math.IsNaN(v) {
			return nil, true // as SQLite stores it
		}
		return v, true
	case []byte:
		return append([]byte{}, v...), true
	case int:
		return int64(v), true
	case bool:
		if v {
			return int64(1), true
		}
		return int64(0), true
	}
	return nil, false
}

// class is a value's rank among the storage classes.
func class(v any) int {
	switch v.(type) {
	case nil:
		return 0
	case int64, float64:
		return 1
	case string:
		return 2
	}
	return 3
}

// compare orders two values of any class: NULL, numbers, text, blob.
func compare(a, b any) int {
	if c := cmp.Compare(class(a), class(b)); c != 0 {
		return c
	}
	switch a := a.(type) {
	case int64:
		if b, ok := b.(int64); ok {
			return cmp.Compare(a, b)
		}
		return -compareFloatInt(b.(float64), a)
	case float64:
		if b, ok := b.(float64); ok {
			return cmp.Compare(a, b)
		}
		return compareFloatInt(a, b.(int64))
	case string:
		return strings.Compare(a, b.(string))
	case []byte:
		return bytes.Compare(a, b.([]byte))
	}
	return 0
}

// compareFloatInt compares exactly, where a conversion of either would round.
func compareFloatInt(f float64, i int64) int {
	if math.IsInf(f, 0) {
		return cmp.Compare(f, 0)
	}
	return big.NewFloat(f).Cmp(new(big.Float).SetInt64(i))
}

// same says whether two values are equal as SQL compares them; NULL is equal
// to nothing.
func same(a, b any) bool { return a != nil && b != nil && compare(a, b) == 0 }

// identical says whether two values have the same storage class and bytes.
func identical(a, b any) bool {
	switch a := a.(type) {
	case float64:
		b, ok := b.(float64)
		return ok && math.Float64bits(a) == math.Float64bits(b)
	case []byte:
		b, ok := b.([]byte)
		return ok && bytes.Equal(a, b)
	}
	if _, ok := b.([]byte); ok {
		return false
	}
	return a == b
}

// keyOf returns a string that is the same for values that are equal as SQL
// compares them, and false for a key with NULL in it, which is equal to none.
func keyOf(row []any, columns []int) (string, bool) {
	var w wire.Writer
	for _, c := range columns {
		v := row[c]
		if v == nil {
			return "", false
		}
		if f, ok := v.(float64); ok && f >= math.MinInt64 && f < 1<<63 && math.Trunc(f) == f {
			v = int64(f)
		}
		if err := w.Value(v); err != nil {
			return "", false // cannot happen: the value is in a table
		}
	}
	return string(w.B), true
}

// asText is what LIKE compares.
func asText(v any) string {
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		s := strconv.FormatFloat(v, 'g', 15, 64)
		if !strings.ContainsAny(s, ".eIN") {
			s += ".0"
		}
		return s
	case string:
		return v
	case []byte:
		return string(v)
	}
	return ""
}

// like matches % and _, which is one character. Upper and lower case differ, as
// they do on every store.
func like(pattern, text []rune) bool {
	for len(pattern) > 0 {
		switch p := pattern[0]; {
		case p == '%':
			for i := range len(text) + 1 {
				if like(pattern[1:], text[i:]) {
					return true
				}
			}
			return false
		case len(text) == 0:
			return false
		case p != '_' && p != text[0]:
			return false
		}
		pattern, text = pattern[1:], text[1:]
	}
	return len(text) == 0
}
