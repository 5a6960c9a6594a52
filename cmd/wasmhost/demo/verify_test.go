package demo

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
)

const testRows, testKeep = 300, 100

// archived makes the three databases as they are after a run without fault.
func archived(t *testing.T) files {
	t.Helper()
	f := filesIn(t.TempDir())
	if err := makeDatabase(t.Context(), f.original, testRows, newGenerator(texts(t))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{f.primary, f.archive} {
		if err := copyFile(name, f.original); err != nil {
			t.Fatal(err)
		}
	}
	alter(t, f.primary, `DELETE FROM chat_messages WHERE id NOT IN (SELECT id FROM chat_messages ORDER BY timestamp DESC LIMIT 100)`)
	alter(t, f.archive, `DELETE FROM chat_messages WHERE id IN (SELECT id FROM chat_messages ORDER BY timestamp DESC LIMIT 100)`)
	return f
}

func alter(t *testing.T, name string, statements ...string) {
	t.Helper()
	db, err := open(name, "rw")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	const third = `(SELECT id FROM chat_messages ORDER BY timestamp LIMIT 1 OFFSET 2)`
	tests := []struct {
		name             string
		primary, archive []string
		want             string // "" for no mismatch
		noRow            bool   // no single row can be named
	}{
		{name: "as it should be"},
		{name: "lost from the archive", archive: []string{`DELETE FROM chat_messages WHERE id = ` + third}, want: "is lost"},
		{name: "lost from the primary", primary: []string{`DELETE FROM chat_messages WHERE id = ` + third}, want: "is lost"},
		{name: "one letter", archive: []string{`UPDATE chat_messages SET content = replace(content, 'e', 'é') WHERE id = ` + third},
			want: "differs in the archive from what it was, in the column content"},
		{name: "one letter in the primary", primary: []string{`UPDATE chat_messages SET sender_name = sender_name || ' ' WHERE id = ` + third},
			want: "differs in the primary from what it was, in the column sender_name"},
		{name: "NULL became empty", archive: []string{`UPDATE chat_messages SET edited_at = '' WHERE edited_at IS NULL`}, want: "column edited_at"},
		{name: "text became a blob", archive: []string{`UPDATE chat_messages SET metadata = CAST(metadata AS BLOB) WHERE id = ` + third}, want: "column metadata"},
		{name: "real became an integer", archive: []string{
			`ALTER TABLE chat_messages RENAME TO old`,
			strings.Replace(createTable, "version REAL", "version INTEGER", 1),
			`INSERT INTO chat_messages SELECT * FROM old`,
		}, want: "column version"},
		{name: "date written anew", archive: []string{`UPDATE chat_messages SET updated_at = '2026-01-01T00:00:00.000Z' WHERE id = ` + third}, want: "column updated_at"},
		{name: "foreign row", archive: []string{`INSERT INTO chat_messages SELECT 'new', created_at, updated_at, version, room_id, sender_id, sender_name,
			sender_type, content, status, priority, timestamp, edited_at, reactions, thread, reply_to_id, metadata FROM chat_messages LIMIT 1`},
			want: "row new: is in the archive but never existed"},
		{name: "row without an id", primary: []string{`UPDATE chat_messages SET id = NULL WHERE id = ` + third}, want: "row without an id: is in the primary"},
		{name: "twice in the archive", archive: []string{
			`ALTER TABLE chat_messages RENAME TO old`,
			strings.Replace(createTable, "id TEXT PRIMARY KEY", "id TEXT", 1),
			`INSERT INTO chat_messages SELECT * FROM old`,
			`INSERT INTO chat_messages SELECT * FROM old LIMIT 1`,
		}, want: "some row is in one of them twice", noRow: true},
		{name: "column dropped", archive: []string{`ALTER TABLE chat_messages DROP COLUMN metadata`}, want: "the archive has the columns", noRow: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := archived(t)
			alter(t, f.primary, tt.primary...)
			alter(t, f.archive, tt.archive...)
			err := verify(t.Context(), f, testKeep)
			if tt.want == "" {
				if err != nil {
					t.Errorf("got %v, want nil", err)
				}
				return
			}
			var mismatch *Mismatch
			if !errors.As(err, &mismatch) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want a mismatch with %q", err, tt.want)
			}
			if (mismatch.Row == "") != tt.noRow {
				t.Errorf("names the row %q", mismatch.Row)
			}
		})
	}
}

// Both databases change here: rows that are in the wrong one, or in both.
func TestVerifyPlaces(t *testing.T) {
	t.Parallel()
	attach := func(f files) string { return `ATTACH '` + f.archive + `' AS a` }
	const newest = `(SELECT id FROM main.chat_messages ORDER BY timestamp DESC LIMIT 1)`
	const oldest = `(SELECT id FROM a.chat_messages ORDER BY timestamp LIMIT 1)`
	tests := []struct {
		name       string
		statements []string
		keep       int
		want       string
	}{
		{"in both", []string{`INSERT INTO a.chat_messages SELECT * FROM main.chat_messages WHERE id = ` + newest}, testKeep, "is in both"},
		{"swapped", []string{
			`INSERT INTO a.chat_messages SELECT * FROM main.chat_messages WHERE id = ` + newest,
			`DELETE FROM main.chat_messages WHERE id = ` + newest,
			`INSERT INTO main.chat_messages SELECT * FROM a.chat_messages WHERE id = ` + oldest,
			`DELETE FROM a.chat_messages WHERE id = ` + oldest,
		}, testKeep, "is still in the primary, but is not one of the newest"},
		{"one too few", []string{
			`INSERT INTO a.chat_messages SELECT * FROM main.chat_messages WHERE id = ` + newest,
			`DELETE FROM main.chat_messages WHERE id = ` + newest,
		}, testKeep, "the primary has kept 99 rows, want 100"},
		{"one too many", nil, testKeep - 1, "is still in the primary"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := archived(t)
			alter(t, f.primary, append([]string{attach(f)}, tt.statements...)...)
			err := verify(t.Context(), f, tt.keep)
			var mismatch *Mismatch
			if !errors.As(err, &mismatch) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want a mismatch with %q", err, tt.want)
			}
		})
	}
}

func TestVerifyWithoutFiles(t *testing.T) {
	t.Parallel()
	f := archived(t)
	if err := os.Remove(f.archive); err != nil {
		t.Fatal(err)
	}
	var mismatch *Mismatch
	if err := verify(t.Context(), f, testKeep); err == nil || errors.As(err, &mismatch) || !strings.Contains(err.Error(), f.archive) {
		t.Errorf("got %v, want a failure to open %s", err, f.archive)
	}
	if _, err := os.Stat(f.archive); err == nil {
		t.Error("verify made the file that was missing")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := verify(ctx, archived(t), testKeep); !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled context: %v", err)
	}
}
