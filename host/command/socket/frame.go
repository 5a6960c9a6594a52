package socket

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// Limits of a line.
const (
	MaxLine   = 1 << 20 // bytes, without its end
	maxValues = 100_000 // names of fields included
	// maxDepth leaves the payload what a task's may have: it is in the object
	// that the line is.
	maxDepth = wire.MaxDepth + 1
)

// object is a line that has been checked: what its fields hold is valid JSON
// within the limits, and decodes to what it says.
type object map[string]json.RawMessage

// parseLine is the way in for every line of every dialect.
func parseLine(line []byte) (object, error) {
	if len(line) > MaxLine {
		return nil, abi.Errorf(abi.LimitExceeded, "a line of more than %d bytes", MaxLine)
	}
	if !utf8.Valid(line) {
		return nil, abi.Errorf(abi.InvalidArgument, "the line is not UTF-8")
	}
	if err := measure(line); err != nil {
		return nil, err
	}
	var o object
	if err := json.Unmarshal(line, &o); err != nil {
		return nil, abi.Errorf(abi.InvalidArgument, "the line is not a JSON object: %w", err)
	}
	if o == nil {
		return nil, abi.Errorf(abi.InvalidArgument, "the line is not a JSON object")
	}
	return o, nil
}

// measure holds JSON against the limits before anything is decoded, and refuses
// halves of surrogate pairs, which decoding would silently replace. That it is
// JSON at all is left to the decoder.
func measure(line []byte) error {
	depth, values := 0, 1
	inString := false
	for i := 0; i < len(line); i++ {
		c := line[i]
		if inString {
			switch c {
			case '"':
				inString = false
			case '\\':
				n, ok := escape(line[i:])
				if !ok {
					return abi.Errorf(abi.InvalidArgument, "the line has half of a surrogate pair at byte %d", i+1)
				}
				i += n - 1
			}
			continue
		}
		switch c {
		case '"':
			inString = true
		case '{', '[':
			values++
			if depth++; depth > maxDepth {
				return abi.Errorf(abi.LimitExceeded, "the line is nested deeper than %d", maxDepth)
			}
		case '}', ']':
			depth--
		case ',', ':':
			values++
		}
	}
	if values > maxValues {
		return abi.Errorf(abi.LimitExceeded, "the line has more than %d values", maxValues)
	}
	return nil
}

// escape returns the length of the escape that b begins with; a pair of
// surrogates is one. It is not ok if b begins with a half of one.
func escape(b []byte) (n int, ok bool) {
	first, isUnit := unit(b)
	switch {
	case !isUnit:
		return 2, true
	case first < 0xd800 || first > 0xdfff:
		return 6, true
	}
	second, isUnit := unit(b[6:])
	return 12, first < 0xdc00 && isUnit && second >= 0xdc00 && second <= 0xdfff
}

// unit reads \uXXXX.
func unit(b []byte) (uint64, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	return n, err == nil
}

// given says whether a field is there; null counts as not given.
func (o object) given(name string) bool {
	v, ok := o[name]
	return ok && string(v) != "null"
}

// text reads a string of at most so many bytes, "" if it was not given.
func (o object) text(name string, most int) (string, error) {
	if !o.given(name) {
		return "", nil
	}
	var s string
	if err := json.Unmarshal(o[name], &s); err != nil {
		return "", abi.Errorf(abi.InvalidArgument, "%s: a string is needed", name)
	}
	if len(s) > most {
		return "", abi.Errorf(abi.InvalidArgument, "%s: %d bytes, at most %d are allowed", name, len(s), most)
	}
	if i := bytes.IndexFunc([]byte(s), func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 {
		return "", abi.Errorf(abi.InvalidArgument, "%s: a control character at byte %d", name, i+1)
	}
	return s, nil
}

// integer reads a whole number from low to high, fallback if it was not given.
func (o object) integer(name string, low, high, fallback int64) (int64, error) {
	if !o.given(name) {
		return fallback, nil
	}
	n, err := strconv.ParseInt(string(o[name]), 10, 64)
	if err != nil || n < low || n > high {
		return 0, abi.Errorf(abi.InvalidArgument, "%s: a whole number from %d to %d is needed", name, low, high)
	}
	return n, nil
}

// flag reads true or false, false if it was not given.
func (o object) flag(name string) (bool, error) {
	if v := string(o[name]); o.given(name) && v != "true" && v != "false" {
		return false, abi.Errorf(abi.InvalidArgument, "%s: true or false is needed", name)
	}
	return string(o[name]) == "true", nil
}

// table reads an object as it stands, nil if it was not given.
func (o object) table(name string) (json.RawMessage, error) {
	if !o.given(name) {
		return nil, nil
	}
	if o[name][0] != '{' {
		return nil, abi.Errorf(abi.InvalidArgument, "%s: an object is needed", name)
	}
	return o[name], nil
}

// only refuses fields that nobody reads: the client must have meant something
// by them.
func (o object) only(known ...string) error {
	for name := range o {
		found := false
		for _, k := range known {
			found = found || k == name
		}
		if !found {
			return abi.Errorf(abi.InvalidArgument, "%s: is not a known field", clip(name))
		}
	}
	return nil
}

// clip keeps a client's text from flooding an error message.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	for cut := most; ; cut-- {
		if utf8.RuneStart(s[cut]) {
			return s[:cut] + "…"
		}
	}
}
