package sdk

import (
	"errors"
	"math"
)

// What is wrong with a value, to stand behind its name.
var (
	errNoText   = errors.New("is no text")
	errNoInt    = errors.New("is no whole number of 64 bits")
	errNoNumber = errors.New("is no number")
	errNoBool   = errors.New("is neither true nor false")
	errNoBytes  = errors.New("is neither a blob nor text")
	errNull     = errors.New("is NULL")
	errNoColumn = errors.New("is not there")
)

func asString(v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", errNoText
	}
	return s, nil
}

func asInt(v any) (int64, error) {
	switch v := v.(type) {
	case int64:
		return v, nil
	case float64:
		return wholeNumber(v)
	}
	return 0, errNoInt
}

// wholeNumber converts a float that is an int64 exactly.
func wholeNumber(f float64) (int64, error) {
	// 1<<63 is a float64, MaxInt64 is not. NaN fails both comparisons.
	if f >= math.MinInt64 && f < 1<<63 && math.Trunc(f) == f {
		return int64(f), nil
	}
	return 0, errNoInt
}

func asFloat(v any) (float64, error) {
	switch v := v.(type) {
	case int64:
		return float64(v), nil
	case float64:
		return v, nil
	}
	return 0, errNoNumber
}

func asBool(v any) (bool, error) {
	b, ok := v.(bool)
	if !ok {
		return false, errNoBool
	}
	return b, nil
}
