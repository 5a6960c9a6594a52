package data_test

import (
	"context"
	"errors"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/data/datatest"
)

// able is a fake that has transactions.
type able struct {
	fake
	begun, within, committed, rolledBack int
	effects                              map[string]*data.Effect
	failing                              error // of Effect
	looked                               int
}

func (a *able) Begin(context.Context) (data.Tx, error) {
	a.begun++
	return (*ableTx)(a), nil
}

func (a *able) Effect(_ context.Context, key string) (*data.Effect, error) {
	a.looked++
	return a.effects[key], a.failing
}

type ableTx able

func (t *ableTx) Open(context.Context, *abi.Query, *data.Scope) (data.Cursor, error) {
	t.within++
	return &t.fake, nil
}

func (t *ableTx) Select(context.Context, string, map[string]any, *data.Scope) (data.Cursor, error) {
	t.within++
	return &t.fake, nil
}

func (t *ableTx) Write(_ context.Context, ms []abi.Mutation, _ []byte, _ *data.Scope) ([]abi.WriteResult, error) {
	t.within++
	return make([]abi.WriteResult, len(ms)), nil
}

func (t *ableTx) Commit(context.Context, data.Effect) error {
	t.committed++
	return nil
}

func (t *ableTx) Rollback() { t.rolledBack++ }

func TestAtomically(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	one, two, plain := &able{}, &able{}, &fake{}
	h := data.NewHandles(map[string]data.Store{"one": one, "two": two, "plain": plain}, map[string]data.Query{"q": {Handle: "one", SQL: "SELECT 1"}})
	grants := data.Grants{Queries: []string{"q"}, Handles: map[string]data.Grant{
		"one": verbs("read", "insert"), "two": verbs("read", "insert"), "plain": verbs("insert"),
	}}
	a := h.Access(grants, 0)
	a.Atomically()
	open := func(q abi.Query) {
		t.Helper()
		if _, err := a.Open(ctx, &q); err != nil {
			t.Error(err)
		}
	}
	write := func(handle string) error {
		_, err := a.Write(ctx, []abi.Mutation{{Handle: handle, Collection: "c", Verb: abi.Insert}}, nil)
		return err
	}
	want := func(what string, begun, within, outside int) {
		t.Helper()
		if one.begun != begun || one.within != within || one.calls != outside {
			t.Errorf("%s: begun %d times, %d calls within, %d outside, want %d, %d, %d", what, one.begun, one.within, one.calls, begun, within, outside)
		}
	}
	if err := a.Commit(ctx, data.Effect{}); err != nil {
		t.Error(err)
	}
	a.Rollback()
	datatest.WantError(t, write("plain"), abi.Internal, "plain")
	open(abi.Query{Handle: "one", Collection: "c"})
	open(abi.Query{Named: "q"})
	want("before the first write", 0, 0, 2)
	if err := errors.Join(write("one"), write("one")); err != nil {
		t.Fatal(err)
	}
	open(abi.Query{Handle: "one", Collection: "c"})
	open(abi.Query{Named: "q"})
	want("after it", 1, 4, 2)
	open(abi.Query{Handle: "two", Collection: "c"})
	datatest.WantError(t, write("two"), abi.InvalidArgument, "two", "one", "one handle")
	if two.calls != 1 || two.begun != 0 {
		t.Errorf("the other handle: %+v", two)
	}
	if err := a.Commit(ctx, data.Effect{}); err != nil || one.committed != 1 {
		t.Errorf("%v, committed %d times", err, one.committed)
	}
	if a.Rollback(); one.rolledBack != 1 || two.committed+two.rolledBack != 0 {
		t.Errorf("%+v, %+v", one, two)
	}

	// Without Atomically there is no transaction.
	b := h.Access(grants, 0)
	if _, err := b.Write(ctx, []abi.Mutation{{Handle: "two", Collection: "c", Verb: abi.Insert}}, nil); err != nil || two.begun != 0 || two.calls != 2 {
		t.Errorf("%v, %+v", err, two)
	}
}

// TestEffect is looked for where the worker may write, and nowhere else.
func TestEffect(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	found := &data.Effect{Key: "k"}
	with := func(r data.Rights) data.Grant {
		return data.Grant{Collections: map[string]data.Rights{"a": {Read: data.AllColumns()}, "b": r}}
	}
	for _, test := range []struct {
		name   string
		grant  data.Grant
		looked int
	}{
		{"nothing", verbs(), 0},
		{"read", verbs("read"), 0},
		{"insert", verbs("read", "insert"), 1},
		{"update", verbs("update"), 1},
		{"delete", verbs("delete"), 1},
		{"read of a collection", with(data.Rights{Read: data.AllColumns()}), 0},
		{"insert of a column", with(data.Rights{Insert: data.SomeColumns("x")}), 1},
		{"update of a column", with(data.Rights{Update: data.SomeColumns("x")}), 1},
		{"delete of a collection", with(data.Rights{Delete: true}), 1},
	} {
		store := &able{effects: map[string]*data.Effect{"k": found}}
		h := data.NewHandles(map[string]data.Store{"h": store, "other": &able{failing: abi.Unavailable}}, nil)
		got, err := h.Access(data.Grants{Handles: map[string]data.Grant{"h": test.grant, "ghost": verbs("insert")}}, 0).Effect(ctx, "k")
		if err != nil || store.looked != test.looked || (got == found) != (test.looked == 1) {
			t.Errorf("%s: %+v, %v, looked %d times", test.name, got, err, store.looked)
		}
	}
	h := data.NewHandles(map[string]data.Store{"h": &able{failing: abi.Unavailable}}, nil)
	_, err := h.Access(on("h", "insert"), 0).Effect(ctx, "k")
	datatest.WantError(t, err, abi.Unavailable, `"h"`)
}
