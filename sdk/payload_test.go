package sdk_test

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/sdktest"
)

// withTask runs f as a worker on a task and returns the task's outcome.
func withTask(t *testing.T, h *sdktest.Host, task sdktest.Task, f func(t *sdk.Task) error) (sdktest.Result, error) {
	t.Helper()
	if h == nil {
		h = sdktest.New(t)
	}
	return h.Run(sdk.WorkerFunc(f), task)
}

// must runs f as a worker and fails the test unless it succeeds.
func must(t *testing.T, h *sdktest.Host, f func(t *sdk.Task) error) {
	t.Helper()
	if _, err := withTask(t, h, sdktest.TaskOf("test", nil), f); err != nil {
		t.Fatal(err)
	}
}

func TestPayload(t *testing.T) {
	t.Parallel()
	payload := map[string]any{
		"text": "hello", "empty": "", "int": int64(math.MaxInt64), "whole": 1000.0, "half": 0.5, "yes": true,
		"none": nil, "huge": 1e300, "list": []any{int64(1), "x"},
	}
	must := func(v any, err error) any {
		if err != nil {
			return err.Error()
		}
		return v
	}
	tests := []struct {
		name string
		get  func(p sdk.Payload) any
		want any
	}{
		{"text", func(p sdk.Payload) any { return must(p.String("text")) }, "hello"},
		{"empty text", func(p sdk.Payload) any { return must(p.StringOr("empty", "x")) }, ""},
		{"text by default", func(p sdk.Payload) any { return must(p.StringOr("other", "x")) }, "x"},
		{"nil is not given", func(p sdk.Payload) any { return must(p.StringOr("none", "x")) }, "x"},
		{"int", func(p sdk.Payload) any { return must(p.Int("int")) }, int64(math.MaxInt64)},
		{"whole float as int", func(p sdk.Payload) any { return must(p.Int("whole")) }, int64(1000)},
		{"int by default", func(p sdk.Payload) any { return must(p.IntOr("other", 7)) }, int64(7)},
		{"float", func(p sdk.Payload) any { return must(p.Float("half")) }, 0.5},
		{"int as float", func(p sdk.Payload) any { return must(p.FloatOr("whole", 2)) }, 1000.0},
		{"bool", func(p sdk.Payload) any { return must(p.Bool("yes")) }, true},
		{"bool by default", func(p sdk.Payload) any { return must(p.BoolOr("other", true)) }, true},
		{"has", func(p sdk.Payload) any { return []bool{p.Has("empty"), p.Has("none"), p.Has("other")} }, []bool{true, false, false}},
		{"only", func(p sdk.Payload) any {
			return must(nil, p.Only("text", "empty", "int", "whole", "half", "yes", "none", "huge", "list"))
		}, nil},
		{"value", func(p sdk.Payload) any { v, ok, err := p.Value("list"); return []any{v, ok, err} }, []any{[]any{int64(1), "x"}, true, error(nil)}},

		{"missing", func(p sdk.Payload) any { return must(p.String("other")) }, `invalid_argument: payload: field "other" is missing`},
		{"int that is text", func(p sdk.Payload) any { return must(p.Int("text")) }, `invalid_argument: payload: field "text" is no whole number of 64 bits`},
		{"int with a fraction", func(p sdk.Payload) any { return must(p.IntOr("half", 1)) }, `invalid_argument: payload: field "half" is no whole number of 64 bits`},
		{"int out of range", func(p sdk.Payload) any { return must(p.Int("huge")) }, `invalid_argument: payload: field "huge" is no whole number of 64 bits`},
		{"text that is an int", func(p sdk.Payload) any { return must(p.String("int")) }, `invalid_argument: payload: field "int" is no text`},
		{"float that is text", func(p sdk.Payload) any { return must(p.Float("text")) }, `invalid_argument: payload: field "text" is no number`},
		{"bool that is an int", func(p sdk.Payload) any { return must(p.Bool("int")) }, `invalid_argument: payload: field "int" is neither true nor false`},
		{"a field too many", func(p sdk.Payload) any { return must(nil, p.Only("text", "empty")) }, `invalid_argument: payload: unknown field "half"; it takes text, empty`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := withTask(t, nil, sdktest.TaskOf("", payload), func(task *sdk.Task) error {
				if got := test.get(task.Payload); !reflect.DeepEqual(got, test.want) {
					t.Errorf("got %#v, want %#v", got, test.want)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNoPayload(t *testing.T) {
	t.Parallel()
	must(t, nil, func(task *sdk.Task) error {
		if task.Payload.Has("x") || task.Payload.Only() != nil {
			t.Error("a payload of nothing has fields")
		}
		_, err := task.Payload.String("x")
		if want := `payload: field "x" is missing`; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		return nil
	})
}

// A payload comes from outside: whatever its bytes are, reading it ends in a
// value or an error.
func FuzzPayload(f *testing.F) {
	for _, seed := range []string{"", "\xc0", "\x81\xa1a\x01", "\x82\xa1a\xc3\xa1b\xa1x", "\x81\x01\x01", "\x93\x01", "\xdf\xff\xff\xff\xff", "\x81\xa1a\xc1"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p := sdk.PayloadOf(raw)
		_, err := p.String("a")
		_, err2 := p.IntOr("a", 1)
		_, _, err3 := p.Value("b")
		for _, err := range []error{err, err2, err3, p.Only("a")} {
			if err != nil && !errors.Is(err, abi.InvalidArgument) {
				t.Errorf("got %v, want invalid_argument", err)
			}
		}
	})
}
