package crash

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// By default some crashes are tried; with WASMHOST_CRASH=all (make crash) each
// sync is, and hundreds of writes and power cuts.
const (
	crashEnv = "WASMHOST_CRASH"
	seedEnv  = "WASMHOST_CRASH_SEED" // what a failure printed, to repeat it
)

// effort is how much is tried.
type effort struct {
	syncs    int // every so many moments before and after syncs
	writes   int // that it is killed at, before or after
	cuts     int // every so many calls, a power cut
	variants int // of what a cut leaves, beside nothing but what was synced
	finishes int // of so many different cuts, one is gone on from to the end
}

var (
	quick = effort{syncs: 13, writes: 3, cuts: 36, variants: 1, finishes: 6}
	full  = effort{syncs: 1, writes: 200, cuts: 1, variants: 4, finishes: 16}
	// Of the wrong programs, which have to be found out and no more.
	forWrong = effort{syncs: 3, writes: 30, cuts: 8, variants: 2, finishes: 8}
)

func TestMain(m *testing.M) {
	if os.Getenv(filterEnv) != "" {
		fmt.Fprintln(os.Stderr, filtered())
		os.Exit(1)
	}
	if name := os.Getenv(wrongEnv); name != "" {
		os.Exit(wrongMain(name))
	}
	os.Exit(m.Run())
}

// TestCrash runs the real binary and kills it, or cuts the power, while its
// worker archives. At each point every row must be in a database, and in the
// end in exactly one, as it was. The wrong programs must lose or double rows.
func TestCrash(t *testing.T) {
	t.Parallel()
	if err := traceable(t); err != nil {
		t.Skipf("skipped: crashes at chosen system calls, which take ptrace and seccomp: %v; TestKilledHostLosesNothing kills at random moments", err)
	}
	thorough, seed := chosen(t)
	fmt.Fprintf(t.Output(), "%d rows, %d to move in pages of %d; %s=%d\n", rows, rows-keep, page, seedEnv, seed)
	began := time.Now()
	s := newSite(t, archiving)

	worker := &crasher{t: t, site: s, effort: quick, seed: seed, name: "the archive worker", program: s.host, ledger: true}
	if thorough {
		worker.effort = full
	}
	worker.all()
	worker.print(t.Output())
	for w, n := range worker.tallies {
		if n.points == 0 || n.lost+n.doubled > 0 {
			t.Errorf("%s: %d points, %d rows lost, %d doubled; %s=%d", ways[w], n.points, n.lost, n.doubled, seedEnv, seed)
		}
	}
	for _, p := range wrong {
		x := &crasher{t: t, site: s, effort: forWrong, seed: seed, name: p.name}
		x.program = func(dir string) program { return wrongProgram(t, p.name, dir) }
		found := func() bool {
			kills, cuts := x.sums()
			if p.cuts {
				return p.find(cuts) > 0 && p.find(kills) == 0
			}
			return p.find(kills) > 0
		}
		if !thorough {
			x.enough = found
		}
		x.all()
		x.print(t.Output())
		if !found() {
			t.Errorf("%s: not found out; %s=%d", p.name, seedEnv, seed)
		}
	}
	fmt.Fprintf(t.Output(), "\n%.0f s\n", time.Since(began).Seconds())
}

// chosen returns what the environment says.
func chosen(t *testing.T) (thorough bool, seed uint64) {
	t.Helper()
	seed = rand.Uint64()
	if s := os.Getenv(seedEnv); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedEnv, err)
		}
	}
	return os.Getenv(crashEnv) == "all", seed
}

// traceable returns why a program cannot be traced.
func traceable(t *testing.T) error {
	p := wrongProgram(t, "none", t.TempDir())
	r, err := trace(p, nil)
	if err == nil && r.exit != 0 {
		err = errors.New(strings.TrimSpace(r.log))
	}
	return err
}

func wrongProgram(t *testing.T, name, dir string) program {
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return program{argv: []string{binary}, env: []string{wrongEnv + "=" + name}, dir: dir}
}
