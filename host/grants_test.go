package host

import (
	"context"
	"database/sql"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
	"github.com/wasmhost/wasmhost/config"
)

// TestConfiguredGrants goes from the configuration's text to what a worker can
// read.
func TestConfiguredGrants(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "wasmhost.toml")
	if err := os.WriteFile(file, []byte(`
[data.handles.primary]
path = "primary.db"
[data.queries.of_room]
handle = "primary"
sql = "SELECT id, body FROM t WHERE room = :room ORDER BY id"
[workers.some.grants]
queries = ["of_room"]
[workers.some.grants.data.primary.t]
read = ["id", "room"]
where = [["room", "=", "a"]]
[workers.all.grants.data]
primary = ["read"]
[workers.none]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(config.Options{File: file})
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "primary.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`CREATE TABLE t (id INTEGER PRIMARY KEY, room TEXT, body TEXT); INSERT INTO t VALUES (1, 'a', 'x'), (2, 'b', 'y')`); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	handles := handlesOf(cfg.Data, newStores(cfg.Data, newFiles(cfg.Data), log))
	t.Cleanup(func() {
		if err := handles.Close(); err != nil {
			t.Error(err)
		}
	})
	rows := abi.Query{Handle: "primary", Collection: "t", OrderBy: []abi.Order{{Column: "id"}}}
	named := abi.Query{Named: "of_room", Params: map[string]any{"room": "b"}}
	for _, test := range []struct {
		worker string
		query  abi.Query
		want   [][]any
		code   abi.Code
	}{
		{"some", rows, [][]any{{int64(1), "a"}}, abi.OK},
		{"some", named, [][]any{{int64(2), "y"}}, abi.OK},
		{"all", rows, [][]any{{int64(1), "a", "x"}, {int64(2), "b", "y"}}, abi.OK},
		{"all", named, nil, abi.NotGranted},
		{"none", rows, nil, abi.NotGranted},
		{"none", named, nil, abi.NotGranted},
		{"unlisted", rows, nil, abi.NotGranted},
	} {
		got, err := func() (got [][]any, err error) {
			cursor, err := handles.Access(grantsOf(cfg.Worker(test.worker).Grants), 0).Open(context.Background(), &test.query)
			if err != nil {
				return nil, err
			}
			defer cursor.Close()
			buf := make([]byte, 1000)
			n, err := cursor.Next(context.Background(), buf)
			if err != nil {
				return nil, err
			}
			batch, err := wire.OpenBatch(buf[:n])
			for err == nil && batch.Next() {
				r := wire.NewReader(batch.Row())
				var v any
				if v, err = r.Value(); err == nil {
					got = append(got, v.([]any))
				}
			}
			return got, err
		}()
		if diff := cmp.Diff(test.want, got); diff != "" || abi.CodeOf(err) != test.code {
			t.Errorf("%s: %v %s", test.worker, err, diff)
		}
	}
}
