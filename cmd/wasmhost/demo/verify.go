package demo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Mismatch says that the databases are not what they should be.
type Mismatch struct {
	Row  string // id of the first row that shows it; empty if no single row does
	What string
}

// Error names the row.
func (m *Mismatch) Error() string {
	if m.Row == "" {
		return m.What
	}
	return fmt.Sprintf("row %s: %s", m.Row, m.What)
}

// verify compares the primary and the archive with the original in SQL: each
// row of the original is in exactly one of them and byte for byte the same, no
// other row is in either, and the primary has exactly the newest rows, keep of
// them. It returns a [Mismatch] or a failure to read. The files are opened
// read-only.
func verify(ctx context.Context, f files, keep int) error {
	db, err := open(f.original, "ro")
	if err != nil {
		return err
	}
	defer db.Close()
	for schema, name := range map[string]string{"prim": f.primary, "arch": f.archive} {
		if _, err := db.ExecContext(ctx, "ATTACH ? AS "+schema, fileURI(name, "ro")); err != nil {
			return fmt.Errorf("attaching %s: %w", name, err)
		}
	}
	cols, err := columnsOf(ctx, db, "main")
	if err != nil {
		return err
	}
	if len(cols) == 0 {
		return fmt.Errorf("%s has no table %s to compare with", f.original, collection)
	}
	tables := []struct{ schema, name string }{{"prim", "the primary"}, {"arch", "the archive"}}
	for _, t := range tables {
		got, err := columnsOf(ctx, db, t.schema)
		if err != nil {
			return err
		}
		if !slices.Equal(got, cols) {
			return &Mismatch{What: fmt.Sprintf("%s has the columns %v, want %v", t.name, got, cols)}
		}
	}

	// find runs a query for one row that should not exist.
	find := func(what, query string, args ...any) error {
		var id sql.NullString
		var detail string
		err := db.QueryRowContext(ctx, query+" LIMIT 1", args...).Scan(&id, &detail)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return nil
		case err != nil:
			return fmt.Errorf("checking that no row %s: %w", what, err)
		case !id.Valid:
			id.String = "without an id"
		}
		return &Mismatch{Row: id.String, What: what + detail}
	}

	for _, t := range tables {
		if err := find("is in "+t.name+" but never existed", `
			SELECT x.id, '' FROM `+t.schema+`.chat_messages x LEFT JOIN main.chat_messages o ON o.id = x.id WHERE o.id IS NULL`); err != nil {
			return err
		}
		// IS compares text and blobs byte by byte, but 1 and 1.0 are the same
		// to it and so would be a number that has become a text of another
		// storage class; typeof tells them apart.
		var differs, which []string
		for _, c := range cols {
			q := quote(c)
			condition := fmt.Sprintf("(x.%s IS NOT o.%s OR typeof(x.%s) <> typeof(o.%s))", q, q, q, q)
			differs = append(differs, condition)
			which = append(which, fmt.Sprintf("WHEN %s THEN '%s'", condition, strings.ReplaceAll(c, "'", "''")))
		}
		if err := find("differs in "+t.name+" from what it was, in the column ", `
			SELECT x.id, CASE `+strings.Join(which, " ")+` END
			FROM `+t.schema+`.chat_messages x JOIN main.chat_messages o ON o.id = x.id WHERE `+strings.Join(differs, " OR ")); err != nil {
			return err
		}
	}
	if err := find("is in both the primary and the archive", `
		SELECT p.id, '' FROM prim.chat_messages p WHERE EXISTS (SELECT 1 FROM arch.chat_messages a WHERE a.id = p.id)`); err != nil {
		return err
	}
	if err := find("is lost: neither in the primary nor in the archive", `
		SELECT o.id, '' FROM main.chat_messages o
		WHERE NOT EXISTS (SELECT 1 FROM arch.chat_messages a WHERE a.id = o.id) AND NOT EXISTS (SELECT 1 FROM prim.chat_messages p WHERE p.id = o.id)`); err != nil {
		return err
	}

	var original, primary, archive int
	if err := db.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM main.chat_messages), (SELECT count(*) FROM prim.chat_messages), (SELECT count(*) FROM arch.chat_messages)`).
		Scan(&original, &primary, &archive); err != nil {
		return fmt.Errorf("counting the rows: %w", err)
	}
	if primary+archive != original {
		return &Mismatch{What: fmt.Sprintf("the primary has %d rows and the archive %d, that is not the %d of the original: some row is in one of them twice", primary, archive, original)}
	}
	if err := find("is still in the primary, but is not one of the newest", `
		SELECT p.id, '' FROM prim.chat_messages p
		WHERE p.id NOT IN (SELECT id FROM main.chat_messages ORDER BY timestamp DESC LIMIT ?)`, keep); err != nil {
		return err
	}
	if want := min(keep, original); primary != want {
		return &Mismatch{What: fmt.Sprintf("the primary has kept %d rows, want %d", primary, want)}
	}
	return nil
}

// columnsOf returns the columns of the table, in order of their names.
func columnsOf(ctx context.Context, db *sql.DB, schema string) ([]string, error) {
	rows, err := db.QueryContext(ctx, `SELECT name FROM pragma_table_info(?, ?) ORDER BY name`, collection, schema)
	if err != nil {
		return nil, fmt.Errorf("reading the columns of %s: %w", schema, err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("reading the columns of %s: %w", schema, err)
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
