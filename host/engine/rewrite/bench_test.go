package rewrite

import (
	"context"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// running starts a guest in a runtime that has WASI and the tick.
func running(t testing.TB, cfg wazero.RuntimeConfig, wasm []byte) (wazero.Runtime, api.Module) {
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
	m, err := r.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithStartFunctions("_initialize").WithName(""))
	if err != nil {
		t.Fatal(err)
	}
	return r, m
}

// BenchmarkGuest compares a guest as it came with its metered form, and with
// the runtime's own way to interrupt one. The forms take turns, and the fastest
// of each one's turns counts: the ratios are of one run, whatever else the
// machine does.
func BenchmarkGuest(b *testing.B) {
	forms := []string{"plain", "metered", "close"}
	means := map[string]float64{}
	for _, guest := range []struct {
		name string
		wasm func(testing.TB) []byte
	}{
		{"c", cGuest},
		{"go", func(t testing.TB) []byte { return goGuest(t, "./testdata/guest") }},
	} {
		works := []string{"crc", "fnv", "sorting", "sha", "pack"}
		for _, work := range works {
			b.Run(guest.name+"/"+work, func(b *testing.B) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				var calls []api.Function
				best := make([]time.Duration, len(forms))
				for i, form := range forms {
					wasm := guest.wasm(b)
					if form == "metered" {
						var err error
						if wasm, _, err = Instrument(wasm, Config{}); err != nil {
							b.Fatal(err)
						}
					}
					_, m := running(b, wazero.NewRuntimeConfigCompiler().WithCloseOnContextDone(form == "close"), wasm)
					calls = append(calls, m.ExportedFunction(work))
					best[i] = time.Hour
				}
				b.ResetTimer()
				for range max(b.N, 20) {
					for i, f := range calls {
						start := time.Now()
						if _, err := f.Call(ctx, 4); err != nil {
							b.Fatal(err)
						}
						best[i] = min(best[i], time.Since(start))
					}
				}
				b.ReportMetric(float64(best[0].Microseconds()), "plain-µs")
				for i, form := range forms[1:] {
					ratio := float64(best[i+1]) / float64(best[0])
					b.ReportMetric(ratio, form+"-ratio")
					if b.N == 1 {
						continue
					}
					key := guest.name + " " + form
					means[key] += math.Log(ratio) / float64(len(works))
				}
			})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(means)) {
		b.Logf("%s: geometric mean %.2f", key, math.Exp(means[key]))
	}
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
