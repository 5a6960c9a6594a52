package lora

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/sdk/embed/internal/vec"
)

// pairs makes pairs that an adapter can tell apart: both of a pair have a part in
// common, and beside it noise in other dimensions, which is larger.
func pairs(n, dim int) Pairs {
	rng := rand.NewPCG(7, 7)
	number := func() float32 { return float32(float64(rng.Uint64()>>11)/(1<<52) - 1) }
	p := Pairs{Dim: dim}
	for range n {
		a, b := make([]float32, dim), make([]float32, dim)
		for i := range dim / 4 {
			a[i] = number()
			b[i] = a[i]
		}
		for i := dim / 4; i < dim/2; i++ {
			a[i], b[i] = 2*number(), 2*number()
		}
		vec.Norm(a)
		vec.Norm(b)
		p.Add(a, b)
	}
	return p
}

var some = Options{Rank: 8, Epochs: 6, Batch: 16, LearningRate: 0.01, Temperature: 0.1, Seed: 3}

func trained(t *testing.T, o Options, p Pairs) *Trainer {
	t.Helper()
	tr, err := New(o, p)
	for err == nil && tr.Done() < o.Epochs {
		err = tr.Epoch(nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// What was trained on some pairs helps with others, and each epoch's loss is
// below that of the one before.
func TestTraining(t *testing.T) {
	t.Parallel()
	all := pairs(300, 32)
	train := Pairs{Dim: 32, Anchors: all.Anchors[:200*32], Positives: all.Positives[:200*32]}
	held := Pairs{Dim: 32, Anchors: all.Anchors[200*32:], Positives: all.Positives[200*32:]}
	before, err := Evaluate(held, nil, some, nil)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := New(some, train)
	if err != nil {
		t.Fatal(err)
	}
	m, err := tr.Adapter()
	if err != nil {
		t.Fatal(err)
	}
	if untrained, err := Evaluate(held, m, some, nil); err != nil || math.Abs(untrained.MRR-before.MRR) > 1e-9 || math.Abs(untrained.Loss-before.Loss) > 1e-6 {
		t.Errorf("an adapter that was not trained: %+v, %v; without one %+v", untrained, err, before)
	}
	last, batches := math.Inf(1), 0
	for tr.Done() < some.Epochs {
		if err := tr.Epoch(func() error { batches++; return nil }); err != nil {
			t.Fatal(err)
		}
		if tr.Loss() >= last {
			t.Errorf("epoch %d has the loss %v, the one before had %v", tr.Done(), tr.Loss(), last)
		}
		last = tr.Loss()
	}
	if want := some.Epochs * (200 / some.Batch); batches != want {
		t.Errorf("%d batches, want %d", batches, want)
	}
	if m, err = tr.Adapter(); err != nil {
		t.Fatal(err)
	}
	after, err := Evaluate(held, m, some, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("before %+v, after %+v", before, after)
	if after.MRR < before.MRR+0.1 || after.Loss > before.Loss-0.1 || after.Top1 <= before.Top1 {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

// The gradients are those that small changes of each number show.
func TestGradients(t *testing.T) {
	t.Parallel()
	p := pairs(7, 12)
	o := Options{Rank: 3, Epochs: 1, Batch: 7, LearningRate: 0.1, Temperature: 0.5, Seed: 1}
	tr, err := New(o, p)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for _, m := range [][]float32{tr.a, tr.b} {
		for i := range m {
			m[i] = float32(rng.NormFloat64()) / 2
		}
	}
	tr.batch.take(&p, []int32{0, 1, 2, 3, 4, 5, 6})
	tr.batch.forward(tr.a, tr.b)
	tr.batch.backward(tr.b, tr.da, tr.db)
	for name, m := range map[string][2][]float32{"A": {tr.a, tr.da}, "B": {tr.b, tr.db}} {
		for i, was := range m[0] {
			const step = 1 << 7
			m[0][i] = was + 1.0/step
			more := tr.batch.forward(tr.a, tr.b)
			m[0][i] = was - 1.0/step
			less := tr.batch.forward(tr.a, tr.b)
			m[0][i] = was
			if want, got := (more-less)*step/2, float64(m[1][i]); math.Abs(got-want) > 2e-4 {
				t.Errorf("%s[%d]: the gradient is %v, want %v", name, i, got, want)
			}
		}
	}
}

// A trainer that takes up the state of another ends with the same bits, after
// whichever epoch that stopped.
func TestResume(t *testing.T) {
	t.Parallel()
	p := pairs(100, 16)
	want := trained(t, some, p).AppendState(nil)
	for stop := range some.Epochs + 1 {
		first, err := New(some, p)
		if err != nil {
			t.Fatal(err)
		}
		for first.Done() < stop {
			if err := first.Epoch(nil); err != nil {
				t.Fatal(err)
			}
		}
		second, err := New(some, p)
		if err != nil {
			t.Fatal(err)
		}
		if err := second.SetState(first.AppendState(nil)); err != nil {
			t.Fatal(err)
		}
		if second.Done() != stop || second.Loss() != first.Loss() {
			t.Errorf("after %d epochs: %d are done, with the loss %v, want %v", stop, second.Done(), second.Loss(), first.Loss())
		}
		for second.Done() < some.Epochs {
			if err := second.Epoch(nil); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(second.AppendState(nil), want) {
			t.Errorf("stopped after %d epochs, the state in the end is another one", stop)
		}
	}
}

// The numbers are the same everywhere: these came from amd64.
func TestSameBitsOnEveryMachine(t *testing.T) {
	t.Parallel()
	p := pairs(90, 24)
	tr := trained(t, some, p)
	sum := sha256.Sum256(tr.AppendState(nil))
	m, err := tr.Adapter()
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := Evaluate(p, m, some, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := hex.EncodeToString(sum[:8]) + fmt.Sprint(" ", metrics.Loss)
	if want := "fd69c825001767e4 1.4933847964458846"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSeeds(t *testing.T) {
	t.Parallel()
	p := pairs(64, 16)
	other := some
	other.Seed++
	a, b := trained(t, some, p), trained(t, other, p)
	if bytes.Equal(embedBytes(t, a), embedBytes(t, b)) {
		t.Error("two seeds gave one adapter")
	}
}

func embedBytes(t *testing.T, tr *Trainer) []byte {
	t.Helper()
	m, err := tr.Adapter()
	if err != nil {
		t.Fatal(err)
	}
	return m.AppendB(m.AppendA(nil))
}

func TestHeld(t *testing.T) {
	t.Parallel()
	held := 0
	for i := range 10_000 {
		key := []byte(fmt.Sprint("key ", i))
		if Held(key, 0.1) {
			held++
			if !Held(key, 0.2) {
				t.Errorf("%s is held out of a tenth and not of a fifth", key)
			}
		}
		if Held(key, 0) || !Held(key, 1) {
			t.Errorf("%s: none of all, or all", key)
		}
	}
	if held < 900 || held > 1100 {
		t.Errorf("%d of 10,000 are held out, want about 1,000", held)
	}
}

func TestShuffle(t *testing.T) {
	t.Parallel()
	var places [5][5]int
	next := rand.NewPCG(1, 1).Uint64
	for range 5000 {
		list := []int32{0, 1, 2, 3, 4}
		shuffle(list, next)
		for at, v := range list {
			places[at][v]++
		}
	}
	for at, counts := range places {
		for v, n := range counts {
			if n < 850 || n > 1150 {
				t.Errorf("%d was %d times at place %d, want about 1000", v, n, at)
			}
		}
	}
}

func TestEvaluateTies(t *testing.T) {
	t.Parallel()
	p := Pairs{Dim: 2}
	for range 4 {
		p.Add([]float32{1, 0}, []float32{0, 1})
	}
	m, err := Evaluate(p, nil, some, nil)
	if err != nil || m.MRR != 0.25 || m.Top1 != 0 || math.Abs(m.Loss-math.Log(4)) > 1e-6 {
		t.Errorf("of four pairs that are alike: %+v, %v; want the worst ranks", m, err)
	}
}

func TestStopped(t *testing.T) {
	t.Parallel()
	p := pairs(200, 16)
	tr, err := New(some, p)
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	if err := tr.Epoch(func() error { return stop }); !errors.Is(err, stop) || tr.Done() != 0 {
		t.Errorf("training: %v after %d epochs", err, tr.Done())
	}
	if _, err := Evaluate(p, nil, some, func() error { return stop }); !errors.Is(err, stop) {
		t.Errorf("evaluating: %v", err)
	}
}

func TestBadOptions(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(o *Options, p *Pairs){
		"the rank is 0":            func(o *Options, _ *Pairs) { o.Rank = 0 },
		"the rank is 17":           func(o *Options, _ *Pairs) { o.Rank = 17 },
		"0 epochs":                 func(o *Options, _ *Pairs) { o.Epochs = 0 },
		"1001 epochs":              func(o *Options, _ *Pairs) { o.Epochs = MaxEpochs + 1 },
		"a batch has 1":            func(o *Options, _ *Pairs) { o.Batch = 1 },
		"a batch has 513":          func(o *Options, _ *Pairs) { o.Batch = MaxBatch + 1 },
		"the learning rate is 0":   func(o *Options, _ *Pairs) { o.LearningRate = 0 },
		"the learning rate is NaN": func(o *Options, _ *Pairs) { o.LearningRate = math.NaN() },
		"the learning rate is 2":   func(o *Options, _ *Pairs) { o.LearningRate = 2 },
		"the temperature is 0.001": func(o *Options, _ *Pairs) { o.Temperature = 0.001 },
		"the temperature is NaN":   func(o *Options, _ *Pairs) { o.Temperature = math.NaN() },
		"40 pairs are less than a": func(o *Options, _ *Pairs) { o.Batch = 41 },
		"do not make pairs of 16":  func(_ *Options, p *Pairs) { p.Positives = p.Positives[1:] },
		"must be from 1 to 0":      func(_ *Options, p *Pairs) { *p = Pairs{} },
	} {
		o, p := some, pairs(40, 16)
		change(&o, &p)
		if _, err := New(o, p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// Matrices that are so large that their products overflow end the training.
func TestDiverged(t *testing.T) {
	t.Parallel()
	tr, err := New(some, pairs(40, 16))
	if err != nil {
		t.Fatal(err)
	}
	for i := range tr.a {
		tr.a[i], tr.b[i] = math.MaxFloat32, math.MaxFloat32
	}
	if err := tr.Epoch(nil); !errors.Is(err, ErrDiverged) {
		t.Errorf("training: %v", err)
	}
	if m, err := tr.Adapter(); err != nil {
		t.Fatal(err)
	} else if _, err := Evaluate(pairs(40, 16), m, some, nil); !errors.Is(err, ErrDiverged) {
		t.Errorf("evaluating: %v", err)
	}
	tr.a[0] = float32(math.Inf(1))
	if _, err := tr.Adapter(); !errors.Is(err, ErrDiverged) {
		t.Errorf("the adapter: %v", err)
	}
}

func TestBadStates(t *testing.T) {
	t.Parallel()
	p := pairs(40, 16)
	tr := trained(t, some, p)
	good := tr.AppendState(nil)
	set := func(at int, with ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], with)
		return b
	}
	infinite := []byte{0, 0, 0x80, 0x7f}
	for want, b := range map[string][]byte{
		"has 0 bytes":                    nil,
		"bytes, want":                    good[1:],
		"does not begin with":            set(0, 'x'),
		"of rank 5":                      set(8, 5),
		"17 dimensions":                  set(12, 17),
		"after 7 epochs of 6":            set(16, 7),
		"batches of 17":                  set(20, 17),
		"the seed 4":                     set(24, 4),
		"has the loss NaN":               set(32, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f),
		"something else than finite num": set(len(good)-4, infinite...),
	} {
		fresh, err := New(some, p)
		if err != nil {
			t.Fatal(err)
		}
		was := fresh.AppendState(nil)
		if err := fresh.SetState(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if !bytes.Equal(fresh.AppendState(nil), was) {
			t.Errorf("%s: the trainer was changed", want)
		}
	}
}

// Any bytes that are taken as a state are those that the trainer then has.
func FuzzSetState(f *testing.F) {
	o := Options{Rank: 1, Epochs: 3, Batch: 2, LearningRate: 0.01, Temperature: 0.1}
	p := pairs(4, 4)
	tr, err := New(o, p)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(tr.AppendState(nil))
	if err := tr.Epoch(nil); err != nil {
		f.Fatal(err)
	}
	f.Add(tr.AppendState(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		tr, err := New(o, p)
		if err != nil {
			t.Fatal(err)
		}
		if tr.SetState(b) != nil {
			return
		}
		if !bytes.Equal(tr.AppendState(nil), b) {
			t.Errorf("%x became another state", b)
		}
		for tr.Done() < o.Epochs {
			if err := tr.Epoch(nil); err != nil {
				if !errors.Is(err, ErrDiverged) {
					t.Error(err)
				}
				return
			}
		}
	})
}

func BenchmarkEpoch(b *testing.B) {
	o := Options{Rank: 16, Epochs: MaxEpochs, Batch: 64, LearningRate: 0.001, Temperature: 0.05}
	p := pairs(1024, 256)
	tr, err := New(o, p)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := tr.Epoch(nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(p.Len()*b.N)/b.Elapsed().Seconds(), "pairs/s")
}
