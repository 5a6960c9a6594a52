package host

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/config"
)

// What a manifest asks for is added to the configuration, but on a handle that the
// configuration names it alone counts; its limits only ever lower the operator's.
func TestManifestBesideTheConfiguration(t *testing.T) {
	t.Parallel()
	w := config.DefaultWorker()
	w.Isolation, w.Fuel, w.MemoryMB = "worker", 100, 32
	w.Grants = config.Grants{
		Commands: []string{"ping"},
		Data:     map[string]config.Grant{"a": {Verbs: []string{"read"}}},
	}
	m := &abi.Manifest{
		Requests: abi.Requests{
			Data:        map[string][]string{"a": {"read", "delete"}, "b": {"insert"}},
			Collections: map[string]map[string]abi.Rights{"c": {"t": {Read: []string{"*"}, Update: []string{"x"}}}},
			Commands:    []string{"ping", "events/emit"},
		},
		On: []string{"x:*"}, Provides: []string{"p/q"}, Isolation: "task", Atomic: true,
		Limits: &abi.Needs{MemoryMB: 64, DeadlineMS: 1000, Fuel: 500}, Retry: &abi.Retry{MaxAttempts: 2},
	}
	got := configOf(w, m)
	want := config.Grants{
		Commands: []string{"ping", "events/emit"}, Provides: []string{"p/q"},
		Data: map[string]config.Grant{
			"a": {Verbs: []string{"read"}}, "b": {Verbs: []string{"insert"}},
			"c": {Collections: map[string]config.Rights{"t": {Read: config.Columns{All: true}, Update: config.Columns{Names: []string{"x"}}}}},
		},
	}
	if diff := cmp.Diff(want, got.Grants); diff != "" {
		t.Error(diff)
	}
	if got.Isolation != "task" || !got.Atomic || got.MemoryMB != 32 || got.Deadline != time.Second || got.Fuel != 100 || got.MaxAttempts != 2 || got.On[0] != "x:*" {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff(w, configOf(w, nil)); diff != "" {
		t.Errorf("without a manifest: %s", diff)
	}
}
