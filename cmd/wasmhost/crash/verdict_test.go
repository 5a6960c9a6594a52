package crash

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// verdict is what is wrong with the rows of two databases.
type verdict struct {
	lost    int // in neither
	doubled int // in both
}

// look looks at the databases. That one is damaged is an error. It works on a
// copy: SQLite recovers a database by changing it.
func (s *site) look(ctx context.Context, dbs image) (v verdict, err error) {
	dir, err := os.MkdirTemp(s.dir, "look")
	if err != nil {
		return v, err
	}
	defer os.RemoveAll(dir)
	if err := s.fill(dir, dbs); err != nil {
		return v, err
	}
	if _, ok := dbs[hostDB]; ok {
		if err := checkDatabase(ctx, filepath.Join(dir, hostDB)); err != nil {
			return v, err
		}
	}
	return s.scene.look(ctx, s, dir)
}

// lookForMoved reads both databases. That a database is damaged, or that a row has
// other bytes than it had or was not there before, is an error.
func lookForMoved(ctx context.Context, s *site, dir string) (v verdict, err error) {
	primary, err := readTable(ctx, filepath.Join(dir, "primary.db"))
	if err != nil {
		return v, err
	}
	archive, err := readTable(ctx, filepath.Join(dir, "archive.db"))
	if err != nil {
		return v, err
	}
	for id, row := range s.rows {
		p, inPrimary := primary[id]
		a, inArchive := archive[id]
		switch {
		case !inPrimary && !inArchive:
			v.lost++
		case inPrimary && inArchive:
			v.doubled++
		}
		if inPrimary && p != row || inArchive && a != row {
			return v, fmt.Errorf("row %s was %s; it is %q in the primary and %q in the archive", id, row, p, a)
		}
	}
	for _, t := range []map[string]string{primary, archive} {
		for id := range t {
			if _, ok := s.rows[id]; !ok {
				return v, fmt.Errorf("there was no row %s", id)
			}
		}
	}
	return v, nil
}

// checkDatabase has SQLite recover a database and check its structure.
func checkDatabase(ctx context.Context, path string) error {
	db, err := open(path)
	if err != nil {
		return err
	}
	defer db.Close()
	var answer string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&answer); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	if answer != "ok" {
		return fmt.Errorf("%s: %s", filepath.Base(path), answer)
	}
	return nil
}

// readTable returns all rows by id, in a form in which only equal rows look
// equal.
func readTable(ctx context.Context, path string) (map[string]string, error) {
	if err := checkDatabase(ctx, path); err != nil {
		return nil, err
	}
	db, err := open(path)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	q, err := db.QueryContext(ctx, "SELECT quote(id), concat_ws(',', quote(timestamp), quote(version), quote(content), quote(extra)) FROM "+table)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	all := map[string]string{}
	for q.Next() {
		var id, row string
		if err := q.Scan(&id, &row); err != nil {
			return nil, err
		}
		all[id] = row
	}
	return all, q.Err()
}
