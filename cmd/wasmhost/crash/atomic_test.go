package crash

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
)

const (
	logTable = "log"
	// The atomic task writes so many rows, each in a batch, and as many events.
	logRows = 24
)

// logging writes rows to one database, from a worker that would write them again
// if it ran again.
func logging(atomic bool) scene {
	return scene{
		worker: "log", source: "host/testdata/guest", kind: "test/write", events: "test:*",
		payload: fmt.Sprintf(`{"rows":%d}`, logRows),
		config: fmt.Sprintf(`
[workers.log]
atomic = %t
[workers.log.grants]
commands = ["events/emit"]
events = ["test:*"]
data = { primary = ["read", "insert"] }
`, atomic),
		look: lookForLogged,
	}
}

// lookForLogged counts the rows of the task. All are there or none; more than
// all are doubled, and some of them count as lost.
func lookForLogged(ctx context.Context, _ *site, dir string) (v verdict, err error) {
	path := filepath.Join(dir, "primary.db")
	if err := checkDatabase(ctx, path); err != nil {
		return v, err
	}
	db, err := open(path)
	if err != nil {
		return v, err
	}
	defer db.Close()
	var n, distinct int
	if err := db.QueryRowContext(ctx, "SELECT count(*), count(DISTINCT n) FROM "+logTable).Scan(&n, &distinct); err != nil {
		return v, err
	}
	if v.doubled = n - distinct; distinct > 0 {
		v.lost = logRows - distinct
	}
	return v, nil
}

// TestAtomicCrash crashes the host while an atomic task runs: at each point all
// of its rows are there or none, in the end each once, and so are its result and
// its events. The same worker without atomic has to be found out.
func TestAtomicCrash(t *testing.T) {
	t.Parallel()
	if err := traceable(t); err != nil {
		t.Skipf("skipped: crashes at chosen system calls, which take ptrace and seccomp: %v", err)
	}
	thorough, seed := chosen(t)
	fmt.Fprintf(t.Output(), "%d rows in batches of one; %s=%d\n", logRows, seedEnv, seed)
	for _, atomic := range []bool{true, false} {
		s := newSite(t, logging(atomic))
		x := &crasher{t: t, site: s, effort: quickAtomic, seed: seed, name: fmt.Sprintf("atomic = %t", atomic), program: s.host, ledger: true}
		if thorough {
			x.effort = fullAtomic
		}
		if !atomic {
			x.expected = true
			x.enough = func() bool { kills, _ := x.sums(); return kills.lost > 0 && kills.doubled > 0 }
		}
		x.all()
		x.print(t.Output())
		for w, n := range x.tallies {
			if atomic && (n.points == 0 || n.lost+n.doubled > 0) {
				t.Errorf("%s: %d points, %d rows lost, %d doubled; %s=%d", ways[w], n.points, n.lost, n.doubled, seedEnv, seed)
			}
		}
		if !atomic && !x.enough() {
			t.Errorf("a worker that is not atomic is not found out; %s=%d", seedEnv, seed)
		}
	}
}

// There are few syncs: each is tried. Those of the commit and behind it are what
// this is about.
var (
	quickAtomic = effort{syncs: 1, writes: 4, cuts: 12, variants: 1, finishes: 2}
	fullAtomic  = effort{syncs: 1, writes: 100, cuts: 1, variants: 4, finishes: 8}
)
