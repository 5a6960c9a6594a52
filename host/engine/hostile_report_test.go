package engine

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// TestHostileReport prints what each hostile guest comes to and costs: how it
// ended, what the process holds afterwards and held at most, and the 99th
// percentile of the time that a neighbour's task takes, quiet and beside it: the
// median of seven rounds, and without the time for which other programs had the
// neighbour's core, where the system counts that. The first row is what a good
// guest costs that does not rest.
//
// It runs with WASMHOST_HOSTILE=report (make hostile), or =report:NAME,NAME for
// some of them, and fails if a guest ends
// in a way that it must not, or the process keeps too much. Times it only marks.

const (
	hostileEnvVar  = "WASMHOST_HOSTILE"
	hostileRounds  = 7   // of both phases of each guest, in turn
	hostileSamples = 100 // tasks of the neighbour in each phase of a round, at least
	hostileKept    = 64 << 20
)

// hostileRow is what was measured of one guest.
type hostileRow struct {
	name          string
	ended         string
	right         bool
	runs          int
	longest       time.Duration // of a run
	kept, peak    int           // bytes
	quiet, beside time.Duration // the neighbour's p99, the median of the rounds
}

func TestHostileReport(t *testing.T) {
	report, only, _ := strings.Cut(os.Getenv(hostileEnvVar), ":")
	if report != "report" {
		t.Skip("takes minutes; run make hostile")
	}
	floor := make([]byte, HeapFloor)
	defer runtime.KeepAlive(floor)
	e := newEngine(t, Config{})
	good, err := e.Compile(t.Context(), "good", cGuestWasm, ModuleConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer good.Close(context.Background())
	n := &goodNeighbour{t: t, module: good}
	n.during(func() bool { return len(n.times) < 1000 }) // warm

	first := resident()
	// What a good guest costs that is as busy is not the hostile ones' doing.
	guests := []hostileGuest{{name: "good", result: "ok"}}
	var rows []*hostileRow
	for _, g := range slices.Concat(guests, hostileGuests, hostileModules) {
		if only != "" && !slices.Contains(strings.Split(only, ","), g.name) {
			continue
		}
		before := resident()
		right := t.Run(g.name, func(t *testing.T) { g.try(t, e) })
		// What is hostile by its size or shape is so to the compiler.
		for _, admit := range []bool{true, false} {
			if admit && g.compile == abi.OK && g.wasm == nil || !admit && g.compile != abi.OK {
				continue
			}
			row := &hostileRow{name: g.name, ended: g.ending(), right: right}
			if admit && g.compile == abi.OK {
				row.name, row.ended = g.name+", admitted", "admitted"
			}
			resetPeak()
			g.measure(t, e, n, row, admit)
			row.peak = peakResident() - before
			row.kept = resident() - before
			rows = append(rows, row)
			before = resident()
		}
	}
	kept := resident() - first
	for end := time.Now().Add(3 * time.Second); kept > hostileKept && time.Now().Before(end); kept = resident() - first {
		time.Sleep(10 * time.Millisecond) // compiled code is unmapped by finalizers
	}
	printHostile(rows, kept)
	if kept > hostileKept {
		t.Errorf("the process holds %d MiB more than before, at most %d", kept>>20, hostileKept>>20)
	}
}

// ending says in words how a guest must end.
func (g *hostileGuest) ending() string {
	switch {
	case g.compile != abi.OK:
		return "refused: " + g.compile.String()
	case g.want != abi.OK:
		return "ended: " + g.want.String()
	}
	return "returned"
}

// admission is how often a module that is hostile to the compiler is tried: as
// often as a file in a folder is looked at, and replaced, by who means harm.
const admission = 100 * time.Millisecond

// measure runs a guest again and again beside the neighbour, or admits it.
func (g *hostileGuest) measure(t *testing.T, e *Engine, n *goodNeighbour, row *hostileRow, admit bool) {
	wasm := g.wasm
	if wasm == nil {
		wasm = func() []byte { return hostileWasm(t, g.name) }
	}
	bytes := wasm()
	compile := func(ctx context.Context) *Module {
		m, err := e.Compile(ctx, "hostile", bytes, ModuleConfig{Limits: g.limits})
		if err != nil {
			return nil
		}
		return m
	}
	var m *Module
	if !admit {
		if m = compile(t.Context()); m == nil {
			return // try has said why
		}
		defer m.Close(context.Background())
	}
	run := func() {
		ctx, cancel := t.Context(), context.CancelFunc(func() {})
		if g.deadline > 0 {
			ctx, cancel = context.WithTimeout(ctx, g.deadline)
		}
		defer cancel()
		start := time.Now()
		if !admit {
			_, _, _ = runTask(ctx, m, &hostileEnv{})
		} else if m := compile(ctx); m != nil {
			_ = m.Close(context.Background())
		}
		row.longest = max(row.longest, time.Since(start))
		row.runs++
	}
	var quiet, beside []time.Duration
	for range hostileRounds {
		quiet = append(quiet, p99(n.during(func() bool { return len(n.times) < hostileSamples })))
		var stop, ran atomic.Bool
		done := make(chan struct{})
		go func() {
			defer close(done)
			for !stop.Load() {
				next := time.Now().Add(admission)
				run()
				ran.Store(true)
				if admit {
					time.Sleep(time.Until(next))
				}
			}
		}()
		beside = append(beside, p99(n.during(func() bool { return len(n.times) < hostileSamples || !ran.Load() })))
		stop.Store(true)
		<-done
	}
	row.quiet, row.beside = median(quiet), median(beside)
}

// goodNeighbour is a worker with some work to do, a new sandbox for each task.
type goodNeighbour struct {
	t      *testing.T
	module *Module
	times  []time.Duration
}

// during runs tasks one after the other while more says so, and returns what
// each took.
func (n *goodNeighbour) during(more func() bool) []time.Duration {
	// What waits for a core is a thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	stat, err := os.Open("/proc/thread-self/schedstat")
	if err == nil {
		defer stat.Close()
	}
	task := &abi.Task{ID: "1", Kind: "sum", Payload: make([]byte, 800)}
	n.times = nil
	for more() {
		start, waited := time.Now(), waitedForCore(stat)
		err := n.module.With(n.t.Context(), func(s *Sandbox) error {
			_, _, err := s.Run(n.t.Context(), task, &hostileEnv{})
			return err
		})
		if err != nil {
			n.t.Fatalf("a good guest beside a hostile one: %v", err)
		}
		n.times = append(n.times, time.Since(start)-(waitedForCore(stat)-waited))
	}
	return n.times
}

// waitedForCore is for how long the thread of stat could have run and did not.
func waitedForCore(stat *os.File) time.Duration {
	var buf [64]byte
	n, err := stat.ReadAt(buf[:], 0)
	f := strings.Fields(string(buf[:n]))
	if stat == nil || err != nil && n == 0 || len(f) < 2 {
		return 0
	}
	ns, _ := strconv.ParseInt(f[1], 10, 64)
	return time.Duration(ns)
}

func p99(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)*99/100]
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// resetPeak and peakResident are 0 where the system does not count.
func resetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

func peakResident() int {
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kb, _ := strconv.Atoi(strings.TrimSpace(strings.SplitN(rest, "kB", 2)[0]))
	return kb << 10
}

func printHostile(rows []*hostileRow, kept int) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "guest\tmust be\tis\truns\tlongest ms\tkept MiB\tat most MiB\tp99 quiet µs\tp99 beside µs\tratio\t")
	wrong, slow := 0, 0
	var worst float64
	for _, r := range rows {
		is := "right"
		if !r.right {
			is = "WRONG"
			wrong++
		}
		ratio, mark := 0.0, ""
		if r.quiet > 0 {
			ratio = float64(r.beside) / float64(r.quiet)
		}
		if ratio > 2 {
			mark = " <"
			slow++
		}
		worst = max(worst, ratio)
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%.1f\t%.1f\t%.1f\t%d\t%d\t%.2f%s\t\n", r.name, r.ended, is, r.runs,
			float64(r.longest.Microseconds())/1e3, float64(r.kept)/(1<<20), float64(r.peak)/(1<<20),
			r.quiet.Microseconds(), r.beside.Microseconds(), ratio, mark)
	}
	w.Flush()
	fmt.Printf("%d guests: %d ended as they must, %d did not; the process keeps %.1f MiB, at most %d.\n",
		len(rows), len(rows)-wrong, wrong, float64(kept)/(1<<20), hostileKept>>20)
	fmt.Printf("The neighbour's p99 is more than twice its quiet one beside %d of them; %.2f times at worst.\n", slow, worst)
}
