package rewrite

import (
	"context"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// goGuest builds a package as a guest, once for all that ask.
var goGuest = func() func(testing.TB, string) []byte {
	var mu sync.Mutex
	built := map[string][]byte{}
	return func(t testing.TB, pkg string) []byte {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if b := built[pkg]; b != nil {
			return b
		}
		out := filepath.Join(t.TempDir(), "guest.wasm")
		cmd := exec.Command("go", "build", "-trimpath", "-buildmode=c-shared", "-o", out, pkg)
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
		if msg, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", pkg, err, msg)
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		built[pkg] = b
		return b
	}
}()

func cGuest(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/guest-c.wasm")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// running starts a guest in a runtime that has WASI and the tick. initial is of
// one that was prepared for snapshots.
func running(t testing.TB, cfg wazero.RuntimeConfig, wasm []byte, initial *Initial) (wazero.Runtime, api.Module) {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, cfg)
	t.Cleanup(func() { _ = r.Close(ctx) })
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	const slice = 100_000
	_, err := r.NewHostModuleBuilder(TickModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, m api.Module, _ []uint64) {
			left := counter(m)
			left.Set(uint64(uint32(int32(left.Get()) + slice)))
		}), nil, nil).Export(TickName).Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithStartFunctions().WithName(""))
	if err != nil {
		t.Fatal(err)
	}
	starts := []string{"_initialize"}
	if initial != nil {
		for _, d := range initial.Data {
			if !m.Memory().Write(d.Offset, d.Bytes) {
				t.Fatalf("no room for %d bytes at %d", len(d.Bytes), d.Offset)
			}
		}
		if initial.Start {
			starts = []string{StartName, "_initialize"}
		}
	}
	for _, name := range starts {
		if f := m.ExportedFunction(name); f != nil {
			if _, err := f.Call(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	return r, m
}

// forms are a guest as it came, with metering, and with the runtime's own way to
// interrupt one.
var forms = []string{"plain", "metered", "close"}

// BenchmarkGuest compares the forms. They take turns, and the fastest of each
// one's turns counts: the ratios are of one run, whatever else the machine
// does. The last line of each guest has the geometric means of its works.
func BenchmarkGuest(b *testing.B) {
	for _, guest := range []struct {
		name string
		wasm func(testing.TB) []byte
	}{
		{"c", cGuest},
		{"go", func(t testing.TB) []byte { return goGuest(t, "./testdata/guest") }},
	} {
		var logs [3]float64 // of metered/plain, close/plain and close/metered
		works := 0
		for _, work := range []string{"crc", "fnv", "sorting", "sha", "pack"} {
			b.Run(guest.name+"/"+work, func(b *testing.B) {
				best := turns(b, guest.wasm(b), work)
				plain, metered, closed := float64(best[0]), float64(best[1]), float64(best[2])
				b.ReportMetric(plain/1e3, "plain-µs")
				for i, r := range []float64{metered / plain, closed / plain, closed / metered} {
					logs[i] += math.Log(r)
					b.ReportMetric(r, ratios[i])
				}
				works++
			})
		}
		if works == 0 {
			continue
		}
		b.Run(guest.name+"/mean", func(b *testing.B) {
			for b.Loop() {
			}
			b.ReportMetric(0, "ns/op")
			for i, sum := range logs {
				b.ReportMetric(math.Exp(sum/float64(works)), ratios[i])
			}
		})
	}
}

var ratios = []string{"metered/plain", "close/plain", "close/metered"}

// turns lets the forms of a guest do the same work in turn, and returns what the
// fastest turn of each took.
func turns(b *testing.B, wasm []byte, work string) [3]time.Duration {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var calls []api.Function
	var best [3]time.Duration
	for i, form := range forms {
		wasm := wasm
		var report Report
		if form == "metered" { // as a host does it
			var err error
			if wasm, report, err = Instrument(wasm, Config{Snapshot: true}); err != nil {
				b.Fatal(err)
			}
		}
		_, m := running(b, wazero.NewRuntimeConfigCompiler().WithCloseOnContextDone(form == "close"), wasm, report.Initial)
		calls = append(calls, m.ExportedFunction(work))
		best[i] = time.Hour
	}
	// One second is some thirty turns of the slowest work.
	for b.Loop() {
		for i, f := range calls {
			start := time.Now()
			if _, err := f.Call(ctx, 4); err != nil {
				b.Fatal(err)
			}
			best[i] = min(best[i], time.Since(start))
		}
	}
	return best
}

// BenchmarkInstrument measures the rewriting of a Go guest of some megabytes.
func BenchmarkInstrument(b *testing.B) {
	wasm := goGuest(b, "../../../guests/archive")
	b.SetBytes(int64(len(wasm)))
	b.ReportAllocs()
	for b.Loop() {
		out, _, err := Instrument(wasm, Config{})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(out))/float64(len(wasm)), "growth")
	}
}
