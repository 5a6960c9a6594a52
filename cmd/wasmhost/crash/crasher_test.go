package crash

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/wasmhost/wasmhost/host/queue"
)

// way is a way to crash.
type way int

const (
	beforeSync way = iota
	afterSync
	atWrite
	cutBare
	cutRandom
)

var ways = [...]string{
	"killed before a sync",
	"killed after a sync",
	"killed at a write, truncation or removal, at random",
	"power cut: only what was synced is on the disk",
	"power cut: and random sectors of the rest",
}

// tally counts what became of the rows.
type tally struct {
	points        int // that were tried
	losing        int // of them, those at which a row was lost
	lost, doubled int // rows, over all points
}

// crasher tries crashes of one program.
type crasher struct {
	t       *testing.T
	site    *site
	effort  effort
	seed    uint64
	name    string
	program func(dir string) program
	ledger  bool        // the program is the host, which keeps one
	enough  func() bool // nil to try everything

	// The program is wrong: that the host recorded something else in the end
	// than without a crash is no error.
	expected bool

	whole   *run     // one without a crash
	want    *outcome // what it came to
	mu      sync.Mutex
	tallies [len(ways)]tally
	looks   map[[sha256.Size]byte]verdict // at images that were seen before
}

// all tries everything.
func (x *crasher) all() {
	if err := x.record(); err != nil {
		x.t.Fatalf("%s, not disturbed: %v", x.name, err)
	}
	nsyncs, nwrites := x.whole.count(syncs), x.whole.count(writes)
	var jobs []func()
	kill := func(w way, m moment) {
		jobs = append(jobs, func() { x.failed(x.kill(w, m), "killed "+m.String()) })
	}
	for i := 0; i < 2*nsyncs; i += x.effort.syncs {
		if m := (moment{kind: syncs, n: i/2 + 1, after: i%2 == 1}); m.after {
			kill(afterSync, m)
		} else {
			kill(beforeSync, m)
		}
	}
	r := x.random(0)
	for range x.effort.writes {
		kill(atWrite, moment{kind: writes, n: 1 + r.IntN(nwrites), after: r.IntN(2) == 1})
	}
	x.looks = map[[sha256.Size]byte]verdict{}
	for n := x.effort.cuts; n <= len(x.whole.calls); n += x.effort.cuts {
		jobs = append(jobs, func() { x.failed(x.cut(n), fmt.Sprintf("power cut after call %d", n)) })
	}
	r.Shuffle(len(jobs), func(i, j int) { jobs[i], jobs[j] = jobs[j], jobs[i] })
	x.inParallel(jobs)
}

func (x *crasher) inParallel(jobs []func()) {
	next := make(chan func())
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for job := range next {
				job()
			}
		})
	}
	for _, job := range jobs {
		if x.enough != nil && x.enough() {
			break
		}
		next <- job
	}
	close(next)
	wg.Wait()
}

func (x *crasher) failed(err error, where string) {
	if err != nil {
		x.t.Errorf("%s, %s: %v; %s=%d", x.name, where, err, seedEnv, x.seed)
	}
}

// random returns numbers that are the same for the same seed and place.
func (x *crasher) random(place uint64) *rand.Rand { return rand.New(rand.NewPCG(x.seed, place)) }

// count notes what came of one point.
func (x *crasher) count(w way, v verdict) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := &x.tallies[w]
	n.points++
	n.lost += v.lost
	n.doubled += v.doubled
	if v.lost > 0 {
		n.losing++
	}
}

// sums returns what came of all kills and of all cuts.
func (x *crasher) sums() (kills, cuts tally) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for w, n := range x.tallies {
		to := &kills
		if way(w) >= cutBare {
			to = &cuts
		}
		to.points += n.points
		to.losing += n.losing
		to.lost += n.lost
		to.doubled += n.doubled
	}
	return kills, cuts
}

func (x *crasher) print(w io.Writer) {
	fmt.Fprintf(w, "\n%-58s %8s %8s %8s %8s\n", x.name, "points", "losing", "lost", "doubled")
	for i, n := range x.tallies {
		fmt.Fprintf(w, "  %-56s %8d %8d %8d %8d\n", ways[i], n.points, n.losing, n.lost, n.doubled)
	}
}

// record runs the program without a crash.
func (x *crasher) record() error {
	dir, err := x.site.copy(x.site.before)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if x.whole, err = x.run(x.program(dir), nil); err != nil {
		return err
	}
	if x.ledger {
		if x.want, err = x.site.outcome(x.t.Context(), dir); err != nil {
			return err
		}
		if x.want.state != queue.Completed || len(x.want.events) == 0 {
			return fmt.Errorf("the task ended as %+v", x.want)
		}
	}
	v, err := x.end(dir)
	if err == nil && v != (verdict{}) {
		err = fmt.Errorf("%+v", v)
	}
	return err
}

// again runs a program that was run before, as run does.
func (x *crasher) again(dir string, m *moment) (*run, error) {
	p := x.program(dir)
	if x.ledger {
		// A task that was completed will not be completed once more.
		dbs, err := readImage(dir)
		if err != nil {
			return nil, err
		}
		state, err := x.state(dbs)
		if err != nil {
			return nil, err
		}
		if state == queue.Completed {
			p.until = serving
		}
	}
	return x.run(p, m)
}

// run runs the program until it ends or is killed, and holds the recording
// against the files.
func (x *crasher) run(p program, m *moment) (*run, error) {
	before, err := readImage(p.dir)
	if err != nil {
		return nil, err
	}
	r, err := trace(p, m)
	if err != nil {
		return nil, err
	}
	if !r.killed && r.exit != 0 {
		return nil, fmt.Errorf("it ended with code %d:\n%s", r.exit, r.log)
	}
	after, err := readImage(p.dir)
	if err != nil {
		return nil, err
	}
	replayed := cut(before, r.calls, len(r.calls), all)
	for _, file := range databaseFiles {
		data, ok := after[file]
		again, known := replayed[file]
		// A call that had begun when the program died may be done or not.
		if slices.ContainsFunc(r.open, func(c call) bool { return c.file == file }) {
			continue
		}
		// A file in which nothing was written is not in a recording.
		if !bytes.Equal(data, again) || ok != known && len(data) > 0 {
			return nil, fmt.Errorf("%s is not what was recorded: %d bytes, recorded %d", file, len(data), len(again))
		}
	}
	return r, nil
}

// state looks at the task in a copy of the host's database.
func (x *crasher) state(dbs image) (queue.State, error) {
	dir, err := x.site.copy(dbs)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	o, err := x.site.outcome(x.t.Context(), dir)
	if err != nil {
		return "", err
	}
	return o.state, nil
}

// kill kills the program once, and sometimes once more.
func (x *crasher) kill(w way, m moment) error {
	dir, err := x.site.copy(x.site.before)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r, err := x.run(x.program(dir), &m)
	if err != nil || !r.killed { // it made fewer calls than the one that was recorded
		return err
	}
	v, err := x.look(dir)
	if err != nil {
		return err
	}
	random := x.random(uint64(m.n)<<8 | uint64(w)<<1 | 1)
	if random.IntN(3) == 0 {
		// Most calls of a whole run are still to come, or few of them.
		again := moment{kind: writes, n: 1 + random.IntN(1+random.IntN(x.whole.count(writes)))}
		if _, err = x.again(dir, &again); err != nil {
			return fmt.Errorf("and %s: %w", again, err)
		}
		second, err := x.look(dir)
		if err != nil {
			return fmt.Errorf("and %s: %w", again, err)
		}
		v.lost = max(v.lost, second.lost)
	}
	v, err = x.finish(dir, v)
	x.count(w, v)
	return err
}

// look returns what is wrong with the rows now. That some are in both is not.
func (x *crasher) look(dir string) (verdict, error) {
	dbs, err := readImage(dir)
	if err != nil {
		return verdict{}, err
	}
	v, err := x.site.look(x.t.Context(), dbs)
	v.doubled = 0
	return v, err
}

// finish runs the program to its end, and adds what is wrong then.
func (x *crasher) finish(dir string, v verdict) (verdict, error) {
	if _, err := x.again(dir, nil); err != nil {
		return v, fmt.Errorf("taken up again: %w", err)
	}
	end, err := x.end(dir)
	if err != nil {
		err = fmt.Errorf("in the end: %w", err)
	}
	end.lost = max(end.lost, v.lost)
	return end, err
}

// end checks a site on which the program has ended.
func (x *crasher) end(dir string) (verdict, error) {
	dbs, err := readImage(dir)
	if err != nil {
		return verdict{}, err
	}
	v, err := x.site.look(x.t.Context(), dbs)
	if err != nil || !x.ledger {
		return v, err
	}
	got, err := x.site.outcome(x.t.Context(), dir)
	if err == nil && !x.expected && !reflect.DeepEqual(got, x.want) {
		err = fmt.Errorf("the host recorded\n\t%+v, without a crash it is\n\t%+v", got, x.want)
	}
	return v, err
}

// cut cuts the power after the first n calls of the recorded run.
func (x *crasher) cut(n int) error {
	random := x.random(uint64(n) << 1)
	for i := range 1 + x.effort.variants {
		w, lucky := cutBare, luck(none)
		if i > 0 {
			w, lucky = cutRandom, chance(random)
		}
		dbs := cut(x.site.before, x.whole.calls, n, lucky)
		sum := dbs.digest()
		x.mu.Lock()
		v, seen := x.looks[sum]
		x.mu.Unlock()
		if !seen {
			var err error
			if v, err = x.restart(dbs, random.IntN(x.effort.finishes) == 0); err != nil {
				return fmt.Errorf("%s, variant %d: %w", ways[w], i, err)
			}
			x.mu.Lock()
			x.looks[sum] = v
			x.mu.Unlock()
		}
		x.count(w, v)
	}
	return nil
}

// restart looks at what a power cut left, and may run the program to its end.
func (x *crasher) restart(dbs image, finish bool) (verdict, error) {
	v, err := x.site.look(x.t.Context(), dbs)
	v.doubled = 0
	if err != nil || !finish {
		return v, err
	}
	dir, err := x.site.copy(dbs)
	if err != nil {
		return v, err
	}
	defer os.RemoveAll(dir)
	return x.finish(dir, v)
}
