package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

type providerFunc func(context.Context, Call) ([]byte, error)

func (f providerFunc) Call(ctx context.Context, c Call) ([]byte, error) { return f(ctx, c) }

// text is a result of a map with one text.
func text(s string) []byte {
	var w wire.Writer
	w.Map(1)
	w.String("text")
	w.String(s)
	return w.B
}

// says is a Provider that answers always the same.
func says(s string) Provider {
	return providerFunc(func(context.Context, Call) ([]byte, error) { return text(s), nil })
}

func provide(t *testing.T, w *world, owner string, p Provider, names ...string) {
	t.Helper()
	if err := w.router.Provide(owner, names, p); err != nil {
		t.Fatal(err)
	}
}

func TestProvidedCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var got Call
	provide(t, w, "embedding", providerFunc(func(_ context.Context, c Call) ([]byte, error) {
		got = c
		return text("found"), nil
	}), "embedding/query")
	c := caller("w", "embedding/*")
	c.Call = 3
	v, err := execute(t, w.router, c, "embedding/query", object{"text": "whale"})
	if err != nil || v["text"] != "found" {
		t.Fatalf("%v, %v", v, err)
	}
	r := wire.NewReader(got.Params)
	params, err := r.Value()
	if err != nil || params.(map[string]any)["text"] != "whale" || got.Name != "embedding/query" || got.Key != "t1.3" ||
		!slices.Equal(got.Chain, []string{"embedding/query"}) {
		t.Errorf("got %+v with %v, %v", got, params, err)
	}
	if names := w.router.Names(); !slices.Contains(names, "embedding/query") || !slices.IsSorted(names) {
		t.Errorf("names: %v", names)
	}
	_, err = execute(t, w.router, caller("w", "events/*"), "embedding/query", nil)
	wantCode(t, err, abi.NotGranted)
}

// The commands of a worker change all at once, and those of others never.
func TestProvideReplaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := caller("w", "*/*")
	answer := func(name string) string {
		v, err := execute(t, w.router, c, name, nil)
		if err != nil {
			return abi.CodeOf(err).String()
		}
		return v["text"].(string)
	}
	provide(t, w, "a", says("old"), "a/one", "a/two")
	provide(t, w, "b", says("other"), "b/one")
	for _, names := range [][]string{{"a/three", "b/one"}, {"a/three", "config/get"}, {"a/three", "No Name"}} {
		err := w.router.Provide("a", names, says("new"))
		if code := abi.CodeOf(err); code != abi.Conflict && code != abi.InvalidArgument {
			t.Errorf("%v: %v", names, err)
		}
	}
	if got := []string{answer("a/one"), answer("a/two"), answer("a/three"), answer("b/one")}; !slices.Equal(got, []string{"old", "old", "unknown_command", "other"}) {
		t.Errorf("after refusals: %v", got)
	}
	provide(t, w, "a", says("new"), "a/two", "a/three")
	if got := []string{answer("a/one"), answer("a/two"), answer("a/three"), answer("b/one")}; !slices.Equal(got, []string{"unknown_command", "new", "new", "other"}) {
		t.Errorf("after a change: %v", got)
	}
	provide(t, w, "a", nil)
	if got := []string{answer("a/two"), answer("b/one")}; !slices.Equal(got, []string{"unknown_command", "other"}) {
		t.Errorf("taken back: %v", got)
	}
}

func TestFailuresOfProviders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		result []byte
		err    error
		want   abi.Code
		text   string
	}{
		"x/nil":       {},
		"x/permanent": {err: abi.Errorf(abi.Permanent, "row 7"), want: abi.Failed, text: "the worker x: row 7"},
		"x/trap":      {err: abi.Errorf(abi.Trap, "unreachable"), want: abi.Failed, text: "unreachable"},
		"x/grants":    {err: abi.Errorf(abi.NotGranted, "handle"), want: abi.Failed},
		"x/handle":    {err: abi.Errorf(abi.UnknownHandle, "vault"), want: abi.Failed},
		"x/plain":     {err: errors.New("odd"), want: abi.Failed},
		"x/argument":  {err: abi.Errorf(abi.InvalidArgument, "text is missing"), want: abi.InvalidArgument, text: "text is missing"},
		"x/away":      {err: abi.Errorf(abi.Unavailable, "locked"), want: abi.Unavailable},
		"x/two":       {result: []byte{1, 2}, want: abi.Failed, text: "one msgpack value"},
		"x/cut":       {result: []byte{0xa5, 'a'}, want: abi.Failed},
		"x/ext":       {result: []byte{0xd4, 1, 2}, want: abi.Failed},
		"x/bomb":      {result: []byte{0xdd, 0xff, 0xff, 0xff, 0xff}, want: abi.Failed},
		"x/deep":      {result: append(make([]byte, 0), []byte(strings.Repeat("\x91", 100)+"\xc0")...), want: abi.Failed},
		"x/large":     {result: text(strings.Repeat("x", MaxResult)), want: abi.LimitExceeded},
	} {
		w2 := providerFunc(func(context.Context, Call) ([]byte, error) { return c.result, c.err })
		provide(t, w, "x", w2, name)
		v, err := w.router.Execute(t.Context(), caller("w", "x/*"), name, nil)
		if abi.CodeOf(err) != c.want || err != nil && (!strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), name)) || err == nil && string(v) != "\xc0" {
			t.Errorf("%s: %x, %v; want %v with %q", name, v, err, c.want, c.text)
		}
	}
}

func TestBadParamsReachNoProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	provide(t, w, "x", providerFunc(func(_ context.Context, c Call) ([]byte, error) {
		if len(c.Params) > 0 {
			t.Errorf("called with %x", c.Params)
		}
		return nil, nil
	}), "x/y")
	for _, c := range []struct {
		params []byte
		want   abi.Code
	}{
		{nil, abi.OK}, {[]byte{0xc0}, abi.OK},
		{[]byte{0x01}, abi.InvalidArgument}, {[]byte{0x80, 0x80}, abi.InvalidArgument}, {[]byte{0xdf, 0xff, 0xff, 0xff, 0xff}, abi.InvalidArgument},
		{make([]byte, MaxParams+1), abi.LimitExceeded},
	} {
		if _, err := w.router.Execute(t.Context(), caller("w", "x/*"), "x/y", c.params); abi.CodeOf(err) != c.want {
			t.Errorf("%.8x: %v, want %v", c.params, err, c.want)
		}
	}
}

// A command that comes back to itself over others would wait for itself.
func TestCycleIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	next := map[string]string{"x/a": "x/b", "x/b": "x/c", "x/c": "x/a"}
	provide(t, w, "x", providerFunc(func(ctx context.Context, c Call) ([]byte, error) {
		inner := caller("x", "x/*")
		inner.Task, inner.Call, inner.Chain = c.Key, 1, c.Chain
		return w.router.Execute(ctx, inner, next[c.Name], nil)
	}), "x/a", "x/b", "x/c")
	_, err := execute(t, w.router, caller("w", "x/*"), "x/a", nil)
	wantCode(t, err, abi.LimitExceeded)
	if err != nil && !strings.Contains(err.Error(), "it waits for itself: x/a > x/b > x/c > x/a") {
		t.Error(err)
	}
}

func TestProviderThatIsLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	provide(t, w, "x", providerFunc(func(ctx context.Context, _ Call) ([]byte, error) {
		<-ctx.Done()
		return nil, fmt.Errorf("stopped in the middle")
	}), "x/y")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.router.Execute(ctx, caller("w", "x/*"), "x/y", nil)
	wantCode(t, err, abi.Cancelled)
}
