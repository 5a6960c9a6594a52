package orchestrator

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/wasmhost/wasmhost/abi"
)

// maxValues bounds what a reply takes in memory once decoded: two bytes each on
// the wire, up to fifty in Go.
const maxValues = 100_000

// decode reads one JSON value of bounded depth and number of values, keys
// included. Whole numbers become int64 where they fit, other numbers float64.
//
// The standard library's decoder has neither bound.
func decode(b []byte, depth int) (any, error) {
	d := decoder{b: b, most: depth}
	v, err := d.value(0)
	if err == nil && d.next() != 0 {
		err = d.wrong()
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

type decoder struct {
	b      []byte
	i      int
	values int
	most   int // depth
}

func (d *decoder) wrong() error {
	return abi.Errorf(abi.Failed, "not JSON at byte %d", d.i)
}

// next returns the first byte that is no white space, 0 at the end.
func (d *decoder) next() byte {
	for ; d.i < len(d.b); d.i++ {
		switch c := d.b[d.i]; c {
		case ' ', '\t', '\r', '\n':
		case 0:
			return 1 // no JSON either
		default:
			return c
		}
	}
	return 0
}

func (d *decoder) value(depth int) (any, error) {
	if d.values++; d.values > maxValues {
		return nil, abi.Errorf(abi.LimitExceeded, "more than %d values", maxValues)
	}
	switch c := d.next(); c {
	case '{', '[':
		if depth >= d.most {
			return nil, abi.Errorf(abi.LimitExceeded, "nested deeper than %d", d.most)
		}
		d.i++
		if c == '{' {
			return d.object(depth + 1)
		}
		return d.array(depth + 1)
	case '"':
		return d.text()
	case 't':
		return true, d.word("true")
	case 'f':
		return false, d.word("false")
	case 'n':
		return nil, d.word("null")
	}
	return d.number()
}

func (d *decoder) word(w string) error {
	if !bytes.HasPrefix(d.b[d.i:], []byte(w)) {
		return d.wrong()
	}
	d.i += len(w)
	return nil
}

func (d *decoder) array(depth int) (any, error) {
	list := []any{}
	for more, err := d.more(']', true); ; more, err = d.more(']', false) {
		if !more {
			return list, err
		}
		v, err := d.value(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
}

func (d *decoder) object(depth int) (any, error) {
	m := map[string]any{}
	for more, err := d.more('}', true); ; more, err = d.more('}', false) {
		if !more {
			return m, err
		}
		d.values++
		if d.next() != '"' {
			return nil, d.wrong()
		}
		key, err := d.text()
		if err != nil {
			return nil, err
		}
		if d.next() != ':' {
			return nil, d.wrong()
		}
		d.i++
		if m[key], err = d.value(depth); err != nil {
			return nil, err
		}
	}
}

// more says whether another item follows, and passes over what stands before it,
// or over the end.
func (d *decoder) more(end byte, first bool) (bool, error) {
	switch c := d.next(); {
	case c == end:
		d.i++
		return false, nil
	case first:
		return true, nil
	case c == ',':
		d.i++
		return true, nil
	}
	return false, d.wrong()
}

// text leaves to the standard library what is not plain.
func (d *decoder) text() (string, error) {
	plain := true
	for i := d.i + 1; i < len(d.b); i++ {
		switch c := d.b[i]; {
		case c == '"':
			token := d.b[d.i : i+1]
			if plain {
				d.i = i + 1
				return string(token[1 : len(token)-1]), nil
			}
			var s string
			if json.Unmarshal(token, &s) != nil {
				return "", d.wrong()
			}
			d.i = i + 1
			return s, nil
		case c == '\\':
			plain = false
			i++
		case c < ' ' || c >= 0x80:
			plain = false
		}
	}
	return "", d.wrong()
}

func (d *decoder) number() (any, error) {
	end := d.i
	for end < len(d.b) && (d.b[end]-'0' <= 9 || bytes.IndexByte([]byte("+-.eE"), d.b[end]) >= 0) {
		end++
	}
	token := d.b[d.i:end]
	if !json.Valid(token) {
		return nil, d.wrong()
	}
	s := string(token)
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil {
		d.i = end
		return n, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, abi.Errorf(abi.Failed, "a number that is too large: %.40s", s)
	}
	d.i = end
	return f, nil
}
