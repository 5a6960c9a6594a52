package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// TestInference runs the real program, without a server and with one.
func TestInference(t *testing.T) {
	t.Parallel()
	guest := build(t, "github.com/wasmhost/wasmhost/guests/inference", []string{"-buildmode=c-shared"}, []string{"GOOS=wasip1", "GOARCH=wasm"})
	program := build(t, "github.com/wasmhost/wasmhost/cmd/wasmhost", nil, nil)
	dir := filepath.Join(t.TempDir(), "demo folder")
	run := func(args ...string) (string, string, error) {
		var out, errs strings.Builder
		cmd := exec.Command(program, append([]string{"demo", "inference", "--dir", dir, "--guest", guest}, args...)...)
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		return out.String(), errs.String(), err
	}
	out, errs, err := run()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, errs)
	}
	for _, want := range []string{
		"answer     To be short, then, a whale is a spouting fish with a horizontal tail.", "found without a language model (provider extractive)",
		"provider       extractive\n", "input_tokens   NULL\n", "estimated_cost 0\n", "success        1\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the report lacks %q:\n%s", want, out)
		}
	}
	if out, _, err := run("--ask", "Quantum chromodynamics lattice"); err != nil || !strings.Contains(out, "finish_reason  no_match") {
		t.Errorf("a question that nothing fits: %v\n%s", err, out)
	}

	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if asked.Add(1) > 1 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if !strings.Contains(string(b), "horizontal tail") || r.URL.Path != "/v1/chat/completions" {
			t.Errorf("%s was asked %s", r.URL, b)
		}
		fmt.Fprint(w, `{"model":"m-1","choices":[{"message":{"content":"A flat one."},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":4}}`)
	}))
	defer server.Close()
	out, errs, err = run("--url", server.URL+"/v1", "--model", "m", "--json")
	var got InferenceSummary
	if err != nil || json.Unmarshal([]byte(out), &got) != nil || got.Answer != "A flat one." || got.Generation["model"] != "m-1" || got.Generation["total_tokens"] != 13.0 ||
		got.Generation["estimated_cost"] != nil || !strings.Contains(got.Label, "provider openai") {
		t.Errorf("by a server: %v\n%s%s", err, out, errs)
	}
	if _, errs, err := run("--url", server.URL+"/v1", "--model", "m"); err == nil || !strings.Contains(errs, "no answer: invalid_argument: ") {
		t.Errorf("a server that refuses: %v\n%s", err, errs)
	}
}
