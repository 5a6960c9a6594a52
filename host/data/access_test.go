package data_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/datatest"
)

// fake is a store that fails with err, or counts the calls that reach it.
type fake struct {
	calls  int
	closed int
	err    error

	sql    string
	params map[string]any
}

func (f *fake) Open(context.Context, *abi.Query, *data.Scope) (data.Cursor, error) {
	f.calls++
	return f, nil
}

func (f *fake) Select(_ context.Context, sql string, params map[string]any, _ *data.Scope) (data.Cursor, error) {
	f.calls++
	f.sql, f.params = sql, params
	return f, nil
}

func (f *fake) Next(context.Context, []byte) (int, error) { return 0, f.err }

func (f *fake) Write(_ context.Context, ms []abi.Mutation, _ []byte, _ *data.Scope) ([]abi.WriteResult, error) {
	f.calls++
	return make([]abi.WriteResult, len(ms)), f.err
}

func (f *fake) Close() error {
	f.closed++
	return nil
}

func verbs(list ...string) data.Grant { return data.Grant{Verbs: list} }

func on(handle string, list ...string) data.Grants {
	return data.Grants{Handles: map[string]data.Grant{handle: verbs(list...)}}
}

func TestAccess(t *testing.T) {
	t.Parallel()
	grants := data.Grants{Handles: map[string]data.Grant{
		"primary": verbs("read", "delete"),
		"archive": verbs("insert"),
		"log":     verbs("update", "insert"),
		"notes":   verbs(),
		"ghost":   verbs("read"), // granted, but the host has no such handle
	}}
	read := func(handle string) func(*data.Access) error {
		return func(a *data.Access) error {
			_, err := a.Open(context.Background(), &abi.Query{Handle: handle})
			return err
		}
	}
	write := func(ms ...abi.Mutation) func(*data.Access) error {
		return func(a *data.Access) error {
			_, err := a.Write(context.Background(), ms, nil)
			return err
		}
	}
	to := func(handle string, verb abi.Verb) abi.Mutation { return abi.Mutation{Handle: handle, Verb: verb} }
	for _, test := range []struct {
		name  string
		call  func(*data.Access) error
		code  abi.Code
		words []string
	}{
		{"read", read("primary"), abi.OK, nil},
		{"read not granted", read("archive"), abi.NotGranted, []string{`"archive"`, `"read"`}},
		{"no verb granted", read("notes"), abi.NotGranted, []string{`"notes"`, `"read"`}},
		{"handle not granted", read("secret"), abi.NotGranted, []string{`"secret"`, `"read"`}},
		{"unknown handle lists what was granted", read("primry"), abi.UnknownHandle, []string{`"primry"`, "archive, log, primary"}},
		{"no handle is no default", read(""), abi.UnknownHandle, nil},
		{"granted, but not there", read("ghost"), abi.UnknownHandle, nil},

		{"insert", write(to("archive", abi.Insert)), abi.OK, nil},
		{"insert_new", write(to("archive", abi.InsertNew)), abi.OK, nil},
		{"upsert", write(to("log", abi.Upsert)), abi.OK, nil},
		{"upsert needs update", write(to("archive", abi.Upsert)), abi.NotGranted, []string{`"archive"`, `"update"`}},
		{"update", write(to("log", abi.Update)), abi.OK, nil},
		{"update not granted", write(to("primary", abi.Update)), abi.NotGranted, []string{`"update"`}},
		{"delete", write(to("primary", abi.Delete)), abi.OK, nil},
		{"delete not granted", write(to("log", abi.Delete)), abi.NotGranted, []string{`"log"`, `"delete"`}},
		{"expect", write(abi.Mutation{Handle: "primary", Verb: abi.Delete, Expect: []string{"a"}}), abi.OK, nil},
		{"expect needs read", write(abi.Mutation{Handle: "log", Verb: abi.Update, Expect: []string{"a"}}), abi.NotGranted, []string{`"read"`}},
		{"each mutation is checked", write(to("log", abi.Insert), to("log", abi.Delete)), abi.NotGranted, []string{`"delete"`}},
		{"two handles", write(to("log", abi.Insert), to("archive", abi.Insert)), abi.InvalidArgument, []string{"log", "archive"}},
		{"unknown handle to write", write(to("nowhere", abi.Insert)), abi.UnknownHandle, []string{`"nowhere"`}},
		{"unknown verb", write(to("log", "drop")), abi.InvalidArgument, []string{`"drop"`}},
		{"nothing", write(), abi.OK, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			stores := map[string]data.Store{}
			for _, name := range []string{"primary", "archive", "log", "notes", "secret"} {
				stores[name] = &fake{}
			}
			err := test.call(data.NewHandles(stores, nil).Access(grants, 0))
			datatest.WantError(t, err, test.code, test.words...)
			if err != nil && strings.Contains(err.Error(), "secret") && test.name != "handle not granted" {
				t.Errorf("the error tells of a handle that was not granted: %v", err)
			}
			calls := 0
			for _, s := range stores {
				calls += s.(*fake).calls
			}
			if wanted := 1; test.code == abi.OK && test.name != "nothing" && calls != wanted || test.code != abi.OK && calls != 0 {
				t.Errorf("%d calls reached a store", calls)
			}
		})
	}
}

func TestAccessWithoutGrants(t *testing.T) {
	t.Parallel()
	h := data.NewHandles(map[string]data.Store{"primary": &fake{}}, nil)
	for _, g := range []data.Grants{{}, {Handles: map[string]data.Grant{"primary": {}}}} {
		_, err := h.Access(g, 0).Open(context.Background(), &abi.Query{Handle: "primary"})
		datatest.WantError(t, err, abi.NotGranted)
		_, err = h.Access(g, 0).Open(context.Background(), &abi.Query{Handle: "other"})
		datatest.WantError(t, err, abi.UnknownHandle, "no handle was granted")
	}
}

func TestAccessDoesNotFollowTheGrantsItWasMadeOf(t *testing.T) {
	t.Parallel()
	g := on("primary", "read")
	a := data.NewHandles(map[string]data.Store{"primary": &fake{}}, nil).Access(g, 0)
	g.Handles["primary"].Verbs[0] = "insert"
	if _, err := a.Open(context.Background(), &abi.Query{Handle: "primary"}); err != nil {
		t.Error(err)
	}
	_, err := a.Write(context.Background(), []abi.Mutation{{Handle: "primary", Verb: abi.Insert}}, nil)
	datatest.WantError(t, err, abi.NotGranted)
}

func TestAccessNamesTheHandleInErrors(t *testing.T) {
	t.Parallel()
	store := &fake{err: abi.Errorf(abi.Conflict, "row 3")}
	a := data.NewHandles(map[string]data.Store{"primary": store}, nil).Access(on("primary", "read", "insert"), 0)
	_, err := a.Write(context.Background(), []abi.Mutation{{Handle: "primary", Verb: abi.Insert}}, nil)
	if want := `conflict: handle "primary": row 3`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	c, err := a.Open(context.Background(), &abi.Query{Handle: "primary"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Next(context.Background(), nil)
	datatest.WantError(t, err, abi.Conflict, `"primary"`, "row 3")

	store.err = &data.RowTooLargeError{Size: 70}
	_, err = c.Next(context.Background(), nil)
	var tooLarge *data.RowTooLargeError
	if !errors.As(err, &tooLarge) || tooLarge.Size != 70 {
		t.Errorf("got %v, want the RowTooLargeError itself", err)
	}
}

func TestHandlesClose(t *testing.T) {
	t.Parallel()
	a, b := &fake{}, &fake{}
	if err := data.NewHandles(map[string]data.Store{"a": a, "b": b}, nil).Close(); err != nil {
		t.Fatal(err)
	}
	if a.closed != 1 || b.closed != 1 {
		t.Errorf("closed %d and %d times", a.closed, b.closed)
	}
}

// A write that the budget does not cover must not reach the store, and one
// that it covers is counted even if the store refuses it.
func TestAccessCountsRowsBeforeTheyAreWritten(t *testing.T) {
	t.Parallel()
	store := &fake{}
	a := data.NewHandles(map[string]data.Store{"primary": store}, nil).Access(on("primary", "read", "insert"), 5)
	one := datatest.Batch([]string{"id"}, []any{int64(1)})
	two := datatest.Batch([]string{"id"}, []any{int64(1)}, []any{int64(2)})
	m := abi.Mutation{Handle: "primary", Verb: abi.Insert}
	sized := m
	sized.Size = int64(len(two))
	for i, step := range []struct {
		ms    []abi.Mutation
		rows  []byte
		fails error // of the store
		code  abi.Code
		calls int
	}{
		{[]abi.Mutation{sized, m}, append(two[:len(two):len(two)], one...), nil, abi.OK, 1},
		{[]abi.Mutation{sized, m}, append(two[:len(two):len(two)], one...), nil, abi.LimitExceeded, 1}, // three more, two are left
		{[]abi.Mutation{m}, one, abi.Errorf(abi.Conflict, "exists"), abi.Conflict, 2},
		{[]abi.Mutation{m}, append(one[:len(one):len(one)], 0xc1), abi.Errorf(abi.InvalidArgument, "garbage"), abi.InvalidArgument, 3}, // its one row counts
		{[]abi.Mutation{m}, one, nil, abi.LimitExceeded, 3},
		{[]abi.Mutation{m}, nil, nil, abi.LimitExceeded, 3},
	} {
		store.err = step.fails
		_, err := a.Write(context.Background(), step.ms, step.rows)
		datatest.WantError(t, err, step.code)
		if store.calls != step.calls {
			t.Errorf("step %d: %d calls reached the store, want %d", i, store.calls, step.calls)
		}
	}
	_, err := a.Open(context.Background(), &abi.Query{Handle: "primary"})
	datatest.WantError(t, err, abi.LimitExceeded, `handle "primary"`, "read 0 and written 5 rows, at most 5", "(limit: rows)")
}
