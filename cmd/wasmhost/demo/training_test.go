package demo

import (
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTraining runs the real program, twice in the same folder.
func TestTraining(t *testing.T) {
	t.Parallel()
	guests := t.TempDir()
	for _, name := range trainingGuests() {
		wasm := build(t, "github.com/wasmhost/wasmhost/guests/"+name, []string{"-buildmode=c-shared", "-ldflags=-s -w"}, []string{"GOOS=wasip1", "GOARCH=wasm"})
		if err := os.Rename(wasm, filepath.Join(guests, name+".wasm")); err != nil {
			t.Fatal(err)
		}
	}
	program := build(t, "github.com/wasmhost/wasmhost/cmd/wasmhost", nil, nil)
	dir := filepath.Join(t.TempDir(), "demo folder")
	var first string
	for range 2 {
		out, err := exec.Command(program, "demo", "training", "--dir", dir, "--guests", guests, "--pairs", "300", "--epochs", "2").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, want := range []string{
			"300 sentences cut in two", "▏ epoch 1 of 2, loss ", "▏ epoch 2 of 2, loss ", "guest ", "sentences were not trained on",
			"(MRR)  ", "adapter    task-1, of rank 16, 32 KiB", "gives the same vectors", `model = "static+lora:task-1"`,
			program + " --config '" + filepath.Join(dir, "wasmhost.toml") + "' tasks show 1",
		} {
			if !strings.Contains(string(out), want) {
				t.Errorf("the report lacks %q:\n%s", want, out)
			}
		}
		_, metrics, _ := strings.Cut(string(out), "without")
		metrics, _, _ = strings.Cut(metrics, "in all")
		if first == "" {
			first = metrics
		}
		if metrics != first {
			t.Errorf("the second time it came to %s, the first time to %s", metrics, first)
		}
	}
	s := &TrainingSummary{Adapter: "task-1"}
	if err := verifyTraining(t.Context(), filesIn(dir).primary, s, TrainingOptions{}); err == nil || !strings.Contains(err.Error(), "not what the worker told") {
		t.Errorf("of a summary that is wrong: %v", err)
	}
}

func TestTrainingWithoutWorkers(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "d")
	_, err := Training(t.Context(), TrainingOptions{Dir: dir, Guests: t.TempDir(), Pairs: 100, Epochs: 1, Out: io.Discard, Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "make build") || exists(dir) {
		t.Errorf("got %v, and a folder: %t", err, exists(dir))
	}
}

func TestHalves(t *testing.T) {
	t.Parallel()
	pairs, err := halves(1000)
	if err != nil || len(pairs) != 1000 {
		t.Fatalf("%d pairs, %v", len(pairs), err)
	}
	seen := map[[2]string]bool{}
	for _, p := range pairs {
		a, b := len(strings.Fields(p[0])), len(strings.Fields(p[1]))
		if a < leastWords/2 || b < a || b > a+1 || seen[p] {
			t.Errorf("a pair of %d and %d words, there before: %t", a, b, seen[p])
		}
		seen[p] = true
	}
}
