package embed

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"sync"
	"testing"
)

func TestVector(t *testing.T) {
	t.Parallel()
	v := Text("The cat sat on the mat.")
	if len(v) != Dim || !nearOne(v) {
		t.Fatalf("a vector of %d numbers, of length 1: %v", len(v), len(v) == Dim && nearOne(v))
	}
	b := Append([]byte("before"), "The cat sat on the mat.")
	if len(b) != 6+4*Dim || string(b[:6]) != "before" {
		t.Fatalf("Append: %d bytes", len(b))
	}
	for i := range v {
		if got := math.Float32frombits(binary.LittleEndian.Uint32(b[6+4*i:])); got != v[i] {
			t.Fatalf("number %d: Append has %v, Text %v", i, got, v[i])
		}
	}
	got := make([]float32, Dim)
	if !Decode(got, b[6:]) || cosine(got, v) < 0.99999 {
		t.Error("Decode does not read what Append wrote")
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	number := func(f float32) []byte { return binary.LittleEndian.AppendUint32(make([]byte, 4), math.Float32bits(f)) }
	for name, b := range map[string][]byte{
		"nothing": nil, "too short": make([]byte, 7), "too long": make([]byte, 12),
		"infinite": number(float32(math.Inf(-1))), "not a number": number(float32(math.NaN())),
	} {
		if Decode(make([]float32, 2), b) {
			t.Errorf("%s: it is taken", name)
		}
	}
}

func TestTextsOfNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", " \n", "\x00\xff", "\u200b", strings.Repeat("x", 101)} {
		if v := Text(text); v != nil {
			t.Errorf("%q has a vector", text)
		}
		if b := Append(nil, text); b != nil {
			t.Errorf("%q has %d bytes", text, len(b))
		}
	}
}

// What is around, between and in another form does not change a vector, and a
// text that is said often is the text.
func TestSameVector(t *testing.T) {
	t.Parallel()
	const text = "a naïve café in Zürich"
	want := Append(nil, text)
	for _, same := range []string{
		"  A NAIVE\tcafe\u0301\nin  Zurich ", "a na\x00ïve café in\xff Zürich", "Zürich in café naïve a",
	} {
		if !bytes.Equal(Append(nil, same), want) {
			t.Errorf("%q is not the same as %q", same, text)
		}
	}
	// More pieces than 32 bits can sum.
	long := Text(strings.Repeat(text+" ", 3*maxExact))
	if c := cosine(long, Text(text)); c < 0.999999 {
		t.Errorf("repeated, it has the cosine %v with itself", c)
	}
}

func TestLongText(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"words":      strings.Repeat("lorem ipsum ", 90_000),
		"one word":   strings.Repeat("a", 1<<20),
		"unknown":    strings.Repeat(strings.Repeat("𞤀", 100)+" ", 2500) + "dog",
		"many folds": strings.Repeat("Ấ각 ", 150_000),
		"no UTF-8":   strings.Repeat("\xff", 1<<20) + "dog",
	} {
		if v := Text(text); (v == nil) != (name == "one word") {
			t.Errorf("%s: %d numbers", name, len(v))
		}
	}
}

// The vectors of Model must never change: they are stored, and compared with
// those that a later version makes. It is also how a guest and a processor
// with another way of multiplying and adding are held to the same bytes.
func TestGolden(t *testing.T) {
	t.Parallel()
	h := fnv(nil)
	for _, text := range strings.Split(goldenTexts, "\n") {
		h = fnv(append(binary.LittleEndian.AppendUint64(nil, h), Append(nil, text)...))
	}
	const want = 0xf60bd9744d1517ff
	if h != want {
		t.Errorf("the vectors have the hash %#x, want %#x: a change needs another name in Model", h, uint64(want))
	}
}

const goldenTexts = `hello
The quick brown fox jumps over the lazy dog.
Invoices are due within 30 days; late payment costs 1.5% a month.
def add(a, b): return a + b
Ünïcödé, 中文, 한국어 and 👍
unbelievably antidisestablishmentarian`

func fnv(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	want := Append(nil, goldenTexts)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if !bytes.Equal(Append(nil, goldenTexts), want) {
					t.Error("another vector")
				}
			}
		})
	}
	all.Wait()
}

// A table with any part missing or out of order is refused, not read.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	if _, err := open(file); err != nil {
		t.Fatal(err)
	}
	change := func(at int, b ...byte) string {
		c := []byte(file)
		copy(c[at:], b)
		return string(c)
	}
	for name, f := range map[string]string{
		"empty":              "",
		"cut in the head":    file[:20],
		"cut":                file[:len(file)-1],
		"longer":             file + "x",
		"another magic":      change(0, 'W'),
		"another dimension":  change(8, 1, 1),
		"more pieces":        change(16, 0xff, 0xff, 0xff, 0xff),
		"more words":         change(12, 0xff, 0xff),
		"no runs":            change(24, 0, 0, 0, 0),
		"lengths":            change(36, 9, 9, 9, 9),
		"a scale":            change(len(file)-(len(table().ends)*(Dim+2)), 0xff, 0xff),
		"a run out of order": change(len(file)-len(table().ends)*(Dim+2)-len(table().foldTexts)-5*len(table().foldFrom)-4, 0, 0, 0, 0),
	} {
		if _, err := open(f); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(0, []byte("x"))
	f.Add(8, []byte{0, 1, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, at int, b []byte) {
		if at < 0 || at+len(b) > 600_000 {
			return
		}
		c := []byte(file)
		copy(c[at:], b)
		_, _ = open(string(c)) // must not panic
	})
}

func cosine(a, b []float32) float64 {
	var sum float64
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func BenchmarkText(b *testing.B) {
	sentences := strings.Split(goldenTexts, "\n")
	table()
	var out []byte
	for i := 0; b.Loop(); i++ {
		out = Append(out[:0], sentences[i%len(sentences)])
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "texts/s")
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := open(file); err != nil {
			b.Fatal(err)
		}
	}
}
