package sdk_test

import (
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/sdktest"
)

func TestExecute(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t)
	h.Command("text/reverse", func(params map[string]any) (any, error) {
		if params == nil {
			return nil, errors.New("there is nothing to reverse")
		}
		return []any{params["b"], params["a"]}, nil
	})
	h.Command("text/long", func(map[string]any) (any, error) { return strings.Repeat("long ", 4000), nil })
	must(t, h, func(task *sdk.Task) error {
		tests := []struct {
			name   string
			params map[string]any
			want   any
			code   abi.Code
			text   string
		}{
			{name: "text/reverse", params: map[string]any{"a": 1, "b": []byte("x")}, want: []any{[]byte("x"), int64(1)}},
			{name: "text/reverse", params: map[string]any{}, want: []any{nil, nil}},
			{name: "text/reverse", code: abi.Failed, text: "there is nothing to reverse"},
			{name: "text/reverse", params: map[string]any{"a": struct{}{}}, code: abi.InvalidArgument, text: "params of text/reverse"},
			{name: "text/long", want: strings.Repeat("long ", 4000)}, // does not fit
			{name: "text/long", want: strings.Repeat("long ", 4000)}, // fits now
			{name: "text/upper", code: abi.UnknownCommand, text: `"text/upper"`},
			{name: "ping", want: map[string]any{"pong": true}},
		}
		for _, test := range tests {
			got, err := task.Commands.Execute(test.name, test.params)
			if abi.CodeOf(err) != test.code || !reflect.DeepEqual(got, test.want) {
				t.Errorf("%s(%v): got %v, %v, want %v, %s", test.name, test.params, got, err, test.want, test.code)
			}
			if err != nil && !strings.Contains(err.Error(), test.text) {
				t.Errorf("%s(%v): got %v, want %q", test.name, test.params, err, test.text)
			}
		}
		return nil
	})
}

func TestEvents(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t)
	must(t, h, func(task *sdk.Task) error {
		err1 := task.Commands.EmitEvent("tidy:begun", nil)
		err2 := task.Commands.EmitEvents(
			sdk.Event{Name: "tidy:step", Data: map[string]any{"n": 1}, Key: "step:1"},
			sdk.Event{Name: "tidy:step", Data: map[string]any{"n": 2}, Key: "step:2"},
			sdk.Event{Name: "tidy:step", Data: map[string]any{"n": 1}, Key: "step:1"},
		)
		err3 := task.Commands.EmitEvents()
		err4 := task.Commands.EmitEvents(sdk.Event{Name: "tidy:step", Data: map[string]any{"n": 2}, Key: "step:2"})
		if err := task.Commands.EmitEvents(sdk.Event{Name: "tidy:lost"}, sdk.Event{Data: map[string]any{"x": struct{}{}}}); !errors.Is(err, abi.InvalidArgument) {
			t.Errorf("got %v for an event that cannot be sent", err)
		}
		return errors.Join(err1, err2, err3, err4)
	})
	want := []sdktest.Event{
		{ID: 1, Task: "task-1", Name: "tidy:begun"},
		{ID: 2, Task: "task-1", Name: "tidy:step", Data: map[string]any{"n": int64(1)}, Key: "step:1"},
		{ID: 3, Task: "task-1", Name: "tidy:step", Data: map[string]any{"n": int64(2)}, Key: "step:2"},
	}
	if got := h.Events(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t)
	h.Config(map[string]any{
		"tidy":      map[string]any{"size": 10, "ratio": 0.25, "name": "x", "on": true, "none": nil},
		"tidy.deep": map[string]any{"er": "y"},
	})
	must(t, h, func(task *sdk.Task) error {
		c := task.Commands
		size, err1 := c.ConfigInt("tidy.size", 1)
		ratio, err2 := c.ConfigFloat("tidy.ratio", 1)
		name, err3 := c.ConfigString("tidy.name", "")
		on, err4 := c.ConfigBool("tidy.on", false)
		deeper, err5 := c.ConfigString("tidy.deep.er", "")
		if size != 10 || ratio != 0.25 || name != "x" || !on || deeper != "y" {
			t.Errorf("got %v %v %v %v %v", size, ratio, name, on, deeper)
		}
		other, err6 := c.ConfigInt("tidy.other", 7)
		none, err7 := c.ConfigString("tidy.none", "default")
		if other != 7 || none != "default" {
			t.Errorf("defaults: got %v %v", other, none)
		}
		v, found, err8 := c.GetConfig("tidy.deep")
		if !found || !reflect.DeepEqual(v, map[string]any{"er": "y"}) {
			t.Errorf("got %v, %v", v, found)
		}
		if _, err := c.ConfigInt("tidy.name", 1); !errors.Is(err, abi.InvalidArgument) || !strings.Contains(err.Error(), `config: key "tidy.name" is no whole number`) {
			t.Errorf("got %v for text as a number", err)
		}
		h.FailNext(abi.ImportCommand, abi.Errorf(abi.NotGranted, "tidy may not read secret"))
		if _, err := c.ConfigInt("secret", 1); !errors.Is(err, abi.NotGranted) {
			t.Errorf("got %v, want not_granted", err)
		}
		return errors.Join(err1, err2, err3, err4, err5, err6, err7, err8)
	})
}

func TestSessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := sdktest.New(t)
		must(t, h, func(task *sdk.Task) error {
			c := task.Commands
			if data, found, err := c.GetSession("s"); data != nil || found || err != nil {
				t.Errorf("got %v, %v, %v before it is set", data, found, err)
			}
			err1 := c.SetSession("s", map[string]any{"at": 5}, time.Minute)
			err2 := c.SetSession("for ever", map[string]any{}, 0)
			data, found, err3 := c.GetSession("s")
			if !found || !maps.Equal(data, map[string]any{"at": int64(5)}) {
				t.Errorf("got %v, %v", data, found)
			}
			time.Sleep(time.Minute)
			if data, found, err := c.GetSession("s"); found || err != nil {
				t.Errorf("got %v, %v after its time", data, err)
			}
			if _, found, err := c.GetSession("for ever"); !found || err != nil {
				t.Errorf("got %v, %v for a session without data", found, err)
			}
			for range 2 {
				if err := c.DeleteSession("for ever"); err != nil {
					t.Errorf("deleting: %v", err)
				}
				if _, found, err := c.GetSession("for ever"); found || err != nil {
					t.Errorf("got %v, %v for a deleted session", found, err)
				}
			}
			_, found, err4 := c.GetSession("")
			if found {
				t.Error("the default session has data")
			}
			return errors.Join(err1, err2, err3, err4)
		})
	})
}

func TestSubmitTask(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t)
	at := time.UnixMilli(1766000000000)
	must(t, h, func(task *sdk.Task) error {
		first := sdk.Submission{Worker: "tidy", Kind: "k", Payload: map[string]any{"n": 1}, UniqueKey: "u", Priority: 2, At: at}
		id, created, err1 := task.Commands.SubmitTask(first)
		again, createdAgain, err2 := task.Commands.SubmitTask(first)
		other, _, err3 := task.Commands.SubmitTask(sdk.Submission{Worker: "tidy"})
		if id == "" || !created || again != id || createdAgain || other == id {
			t.Errorf("got %q %v, %q %v, %q", id, created, again, createdAgain, other)
		}
		if _, _, err := task.Commands.SubmitTask(sdk.Submission{Payload: map[string]any{"x": make(chan int)}}); !errors.Is(err, abi.InvalidArgument) {
			t.Errorf("got %v for a payload that cannot be sent", err)
		}
		return errors.Join(err1, err2, err3)
	})
	want := []sdktest.Submitted{
		{ID: "submitted-1", Worker: "tidy", Kind: "k", Payload: map[string]any{"n": int64(1)}, UniqueKey: "u", Priority: 2, At: at},
		{ID: "submitted-2", Worker: "tidy"},
	}
	if got := h.Submitted(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

// Answers of a command that are not what the SDK expects are errors, not zero
// values.
func TestStrangeAnswers(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t)
	for _, name := range []string{abi.CommandGetConfig, abi.CommandGetSession, abi.CommandSubmitTask} {
		h.Command(name, func(map[string]any) (any, error) { return "hello", nil })
	}
	must(t, h, func(task *sdk.Task) error {
		_, _, err1 := task.Commands.GetConfig("x")
		_, _, err2 := task.Commands.GetSession("x")
		_, _, err3 := task.Commands.SubmitTask(sdk.Submission{Worker: "x"})
		h.Command(abi.CommandGetSession, func(map[string]any) (any, error) {
			return map[string]any{"found": true, "data": 7}, nil
		})
		h.Command(abi.CommandSubmitTask, func(map[string]any) (any, error) { return map[string]any{}, nil })
		_, _, err4 := task.Commands.GetSession("x")
		_, _, err5 := task.Commands.SubmitTask(sdk.Submission{Worker: "x"})
		for i, err := range []error{err1, err2, err3, err4, err5} {
			if !errors.Is(err, abi.Internal) {
				t.Errorf("%d: got %v, want internal", i, err)
			}
		}
		return nil
	})
}
