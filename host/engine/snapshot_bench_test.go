package engine

import (
	"context"
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// cGuestWasm is a guest by nothing but the contract, of a kilobyte.
//
//go:embed testdata/contract-c/guest.wasm
var cGuestWasm []byte

var (
	archiveOnce sync.Once
	archiveWasm []byte
	errArchive  error
)

// archiveGuest builds the archive worker: a guest of the usual size.
func archiveGuest(t testing.TB) []byte {
	t.Helper()
	archiveOnce.Do(func() {
		file := filepath.Join(filepath.Dir(cacheDir), "archive.wasm")
		build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", file, "../../guests/archive")
		build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
		var out []byte
		if out, errArchive = build.CombinedOutput(); errArchive == nil {
			archiveWasm, errArchive = os.ReadFile(file)
		} else {
			t.Logf("%s", out)
		}
	})
	if errArchive != nil {
		t.Fatalf("building the archive guest: %v", errArchive)
	}
	return archiveWasm
}

// BenchmarkSandbox measures what it takes to get a clean sandbox and an answer
// of its first call: started anew, made from the snapshot, or reset in place.
// The three take turns, and the mean of each is what counts. Memory is what one
// of 50 sandboxes adds to the process: rss counts pages that sandboxes share
// once for each, pss splits them.
func BenchmarkSandbox(b *testing.B) {
	for _, guest := range []struct {
		name string
		wasm func(testing.TB) []byte
	}{
		{"c", func(testing.TB) []byte { return cGuestWasm }},
		{"go", func(testing.TB) []byte { return guestWasm }},
		{"archive", archiveGuest},
	} {
		b.Run(guest.name, func(b *testing.B) {
			ctx := context.Background()
			e, err := New(ctx, Config{CacheDir: cacheDir})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close(ctx)
			compile := func(isolation Isolation) *Module {
				m, err := e.Compile(ctx, "guest", guest.wasm(b), ModuleConfig{Isolation: isolation})
				if err != nil {
					b.Fatal(err)
				}
				if ok, why := m.Snapshot(); ok == (isolation == PerWorker) {
					b.Fatal("snapshot:", ok, why)
				}
				return m
			}
			plain, snapshot := compile(PerWorker), compile(PerTask)
			defer plain.Close(ctx)
			defer snapshot.Close(ctx)
			made := func(m *Module) *Sandbox {
				s, err := m.newSandbox(ctx)
				if err != nil {
					b.Fatal(err)
				}
				// The archive worker refuses such a task, which is an answer too.
				if _, _, err := s.Run(ctx, &abi.Task{ID: "1", Kind: "echo"}, &fakeEnv{}); s.broken {
					b.Fatal(err)
				}
				return s
			}
			again := made(snapshot)
			defer again.close(ctx)
			reset := func() {
				if err := again.restore(); err != nil {
					b.Fatal(err)
				}
				if _, _, err := again.Run(ctx, &abi.Task{ID: "1", Kind: "echo"}, &fakeEnv{}); again.broken {
					b.Fatal(err)
				}
			}
			// Each turn does the quick ones more often, so that all three are
			// measured over times that a clock can tell apart.
			var took [3]time.Duration
			turn := func(form, times int, f func()) {
				start := time.Now()
				for range times {
					f()
				}
				took[form] += time.Since(start) / time.Duration(times)
			}
			n := 0
			for b.Loop() {
				turn(0, 2, func() { made(plain).close(ctx) })
				turn(1, 10, func() { made(snapshot).close(ctx) })
				turn(2, 20, reset)
				n++
			}
			b.ReportMetric(0, "ns/op")
			for i, form := range []string{"plain", "snapshot", "reset"} {
				b.ReportMetric(float64(took[i].Nanoseconds())/1e3/float64(n), form+"-µs")
			}
			b.ReportMetric(float64(took[0])/float64(took[1]), "plain/snapshot")
			b.ReportMetric(float64(took[0])/float64(took[2]), "plain/reset")
			if runtime.GOOS != "linux" {
				return
			}
			open := func(m *Module) func() func() {
				return func() func() {
					s := made(m)
					return func() { s.close(ctx) }
				}
			}
			big, small := memoryOf(b, open(plain)), memoryOf(b, open(snapshot))
			for _, k := range []string{"Rss", "Pss"} {
				b.ReportMetric(big[k], strings.ToLower(k)+"-plain-KB")
				b.ReportMetric(small[k], strings.ToLower(k)+"-snapshot-KB")
			}
			b.ReportMetric(big["Rss"]/small["Rss"], "plain/snapshot-rss")
		})
	}
}

// memoryOf is what one of 50 sandboxes takes.
func memoryOf(b *testing.B, open func() (close func())) map[string]float64 {
	const n = 50
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	debug.FreeOSMemory()
	before := smaps(b)
	for range n {
		defer open()()
	}
	debug.FreeOSMemory()
	after := smaps(b)
	took := map[string]float64{}
	for k := range after {
		took[k] = float64(after[k]-before[k]) / n
	}
	return took
}

func smaps(b *testing.B) map[string]int {
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		b.Fatal(err)
	}
	sizes := map[string]int{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 3 && f[2] == "kB" {
			sizes[strings.TrimSuffix(f[0], ":")], _ = strconv.Atoi(f[1])
		}
	}
	return sizes
}
