package crash

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
)

// wrong are programs that move the same rows as the archive worker does, in
// ways that look right and are not. Each is there for a number that must not be
// zero: a harness that does not find these mistakes would not find them in the
// worker.
var wrong = []struct {
	name string
	move func(context.Context) error
	find func(tally) int // what is wrong with it
	cuts bool            // only when the power goes
}{
	{name: "wrong: one transaction over two attached files in WAL", move: attached, find: func(n tally) int { return n.lost }},
	{name: "wrong: the same, going on behind the last archived row", move: resuming, find: func(n tally) int { return n.doubled }},
	{name: "wrong: right order, but the archive is not synced", move: unsynced, find: func(n tally) int { return n.lost }, cuts: true},
}

// wrongEnv names the program that the test's binary is to be.
const wrongEnv = "WASMHOST_CRASH_PROGRAM"

// wrongMain is the main function of these programs. Under any other name it
// does nothing.
func wrongMain(name string) int {
	for _, p := range wrong {
		if p.name != name {
			continue
		}
		if err := p.move(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	return 0
}

const count = "SELECT count(*) FROM main." + table

// attached commits to two files at once, as far as SQL can tell.
func attached(ctx context.Context) error {
	db, err := connect(ctx, "primary.db", "PRAGMA synchronous = FULL", "ATTACH 'archive.db' AS other")
	if err != nil {
		return err
	}
	defer db.Close()
	oldest := fmt.Sprintf("FROM main.%s ORDER BY timestamp, id LIMIT %d", table, page)
	return until(ctx, db, keep, func() error {
		return do(ctx, db, "BEGIN IMMEDIATE",
			"INSERT OR IGNORE INTO other."+table+" SELECT * "+oldest,
			"DELETE FROM main."+table+" WHERE id IN (SELECT id "+oldest+")",
			"COMMIT")
	})
}

// resuming commits in the other order, and takes the archive's word for what
// has left the primary.
func resuming(ctx context.Context) error {
	db, err := connect(ctx, "archive.db", "PRAGMA synchronous = FULL", "ATTACH 'primary.db' AS other")
	if err != nil {
		return err
	}
	defer db.Close()
	const last = "(SELECT timestamp, id FROM main." + table + " ORDER BY timestamp DESC, id DESC LIMIT 1)"
	return until(ctx, db, rows-keep, func() error {
		return do(ctx, db, "BEGIN IMMEDIATE",
			fmt.Sprintf("CREATE TEMP TABLE page AS SELECT * FROM other.%s WHERE NOT EXISTS %s OR (timestamp, id) > %s ORDER BY timestamp, id LIMIT %d",
				table, last, last, page),
			"INSERT INTO main."+table+" SELECT * FROM page",
			"DELETE FROM other."+table+" WHERE id IN (SELECT id FROM page)",
			"DROP TABLE page",
			"COMMIT")
	})
}

// unsynced has the right order, but what is committed to the archive is not on
// the disk yet.
func unsynced(ctx context.Context) error {
	archive, err := connect(ctx, "archive.db", "PRAGMA synchronous = NORMAL", "ATTACH 'primary.db' AS other")
	if err != nil {
		return err
	}
	defer archive.Close()
	primary, err := connect(ctx, "primary.db", "PRAGMA synchronous = FULL", "ATTACH 'archive.db' AS other")
	if err != nil {
		return err
	}
	defer primary.Close()
	return until(ctx, primary, keep, func() error {
		return errors.Join(
			do(ctx, archive, fmt.Sprintf("INSERT OR IGNORE INTO main.%s SELECT * FROM other.%s ORDER BY timestamp, id LIMIT %d", table, table, page)),
			do(ctx, primary, fmt.Sprintf("DELETE FROM main.%s WHERE id IN (SELECT id FROM other.%s)", table, table)))
	})
}

// until moves pages until the main database has n rows.
func until(ctx context.Context, db *sql.DB, n int, move func() error) error {
	for {
		var now int
		if err := db.QueryRowContext(ctx, count).Scan(&now); err != nil || now == n {
			return err
		}
		if err := move(); err != nil {
			return err
		}
	}
}

func connect(ctx context.Context, path string, setup ...string) (*sql.DB, error) {
	db, err := open(path)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if err := do(ctx, db, setup...); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func do(ctx context.Context, db *sql.DB, statements ...string) error {
	for _, s := range statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}
